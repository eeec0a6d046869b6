r"""ERM and IRM losses of the mask stage (Eq. 11, 12, 15) with environment gradients in closed form.

The score of a pair is, with one branch r for Phi and one for Psi (the gate alone without
attention), column weights c_r and attention alpha_r::

    s_ui = <p^t_u, t_i> + <p^f_u, W h_ui>,    h_ui = sum_r alpha_r(u, i) (c_r (.) f_i)

The gradient of an environment's loss by W needs the gradient of the loss by every score alone.
It is collected per item and branch in A_e, one row per item::

    A_er[i] = sum_u dL^e/ds_ui  alpha_r(u, i)  p^f_u
    g_e     = dL^e/dW = sum_r (A_er^T F) (.) c_r

This is an explicit, differentiable expression of the mask, of W and of the attention. One backward
pass through it replaces the double backward that Eq. 11 suggests (equal to rounding, several times
faster).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recbole_painvrl.functional import ultragcn
from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.pairs import pair_scores, pair_sums
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

# Above this fraction of the step's items an environment's product takes all of them.
_ALMOST_ALL = 0.9

VarianceForm = Literal["mean", "sum"]


@dataclass(frozen=True)
class FrozenTables:
    """Constants of the mask stage, from the backbone and the graph.

    Attributes:
        user_id: p^t, ``[n_users, k]``.
        user_content: p^f, ``[n_users, k]``.
        item_id: t, ``[n_items, k]``.
        features: f, ``[n_items, d]``.
        graph: tables of Eq. 6 and 8.
    """

    user_id: Tensor
    user_content: Tensor
    item_id: Tensor
    features: Tensor
    graph: GraphWeights


@dataclass(frozen=True)
class EnvironmentBatch:
    """Positives of one environment with their negatives.

    Attributes:
        users: ``[B]``.
        positives: ``[B]``.
        negatives: ``[B, N]``, drawn per positive, or ``[P]``, shared by all of them.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True)
class Representation:
    """Weights of the features in the score: one per column and branch, one alpha per pair.

    Attributes:
        columns: ``[branches, d]``; with attention ``mu (.) m`` and ``mu (.) (1 - m)`` (Eq. 12, 13),
            without it the gate ``mu`` alone (InvRL).
        attention: computes alpha^Phi and alpha^Psi per pair (Eq. 14), or None.
    """

    columns: Tensor
    attention: PairAttention | None

    @classmethod
    def build(
        cls, mask: Tensor, gate: Tensor, attention: PairAttention | None, outer_gate: bool
    ) -> Representation:
        """Eq. 12 and 13.

        Deviations:
            Without ``outer_gate`` the noisy gate replaces ``m`` in h; the invariant and the variant
            branch are then interchangeable (the loss does not change under ``m -> 1 - m`` with the
            two MLPs exchanged).
        """
        if attention is None:
            return cls(gate.unsqueeze(0), None)
        inner = mask.clamp(0.0, 1.0) if outer_gate else gate
        columns = torch.stack([inner, 1.0 - inner])
        return cls(columns * gate if outer_gate else columns, attention)


def joint_losses(
    representation: Representation,
    projection: Tensor,
    batches: Sequence[EnvironmentBatch],
    tables: FrozenTables,
    weights: UltraGCNWeights,
) -> tuple[Tensor, Tensor]:
    """Loss of every environment and its gradient by the projection W (Eq. 11, 12, 15).

    Args:
        representation: weights of the columns and of the pairs.
        projection: W, ``[k, d]``, without bias.
        batches: one batch per environment.
        tables: the frozen backbone.
        weights: scalars of the UltraGCN loss.

    Returns:
        ``(losses [E], gradients [E, k, d])``, both differentiable by the mask, W and the
        attention's parameters; each loss is a sum over the batch.
    """
    candidates = [_candidates(batch, tables) for batch in batches]
    items, indices, features = _items_of_step(candidates, tables)
    # The mask is folded into W: one GEMM for all branches and no n_items x d temporary.
    n_branches, k = len(representation.columns), len(projection)
    folded = (projection * representation.columns[:, None, :]).reshape(n_branches * k, -1)
    content = (features @ folded.T).view(-1, n_branches, k)
    hidden = _attention_tables(representation.attention, batches, tables, items, features)

    losses, gradients = [], []
    for number, batch in enumerate(batches):
        rows = indices[number]
        pairs = _Pairs(
            batch,
            candidates[number],
            tables,
            content.index_select(0, rows),
            None if hidden is None else hidden[0][number],
            None if hidden is None else hidden[1].index_select(0, rows),
        )
        loss, accumulated = pairs.loss_and_accumulation(weights, representation.attention)
        losses.append(loss)
        by_branch = _times_features(accumulated.flatten(1), rows, features)
        by_branch = by_branch.view(n_branches, k, -1) * representation.columns[:, None, :]
        gradients.append(by_branch.sum(dim=0))
    return torch.stack(losses), torch.stack(gradients)


def irm_loss(gradients: Tensor, gate: Tensor, form: VarianceForm = "mean") -> Tensor:
    """L_IRM of Eq. 11, ``|| Var_e(g_e) (.) mu ||_F^2``.

    Args:
        gradients: ``[E, k, d]``.
        gate: mu, ``[d]``.
        form: the variance is a ``mean`` over environments (paper) or a ``sum`` (InvRL's code).
    """
    centred = gradients - gradients.mean(dim=0)
    variance = centred.square().sum(dim=0)
    if form == "mean":
        variance = variance / gradients.shape[0]
    return (variance * gate).square().sum()


@dataclass(frozen=True)
class _Candidates:
    """The items scored in a batch, as indices into its distinct items.

    Attributes:
        items: distinct items of the batch, ``[M_e]``.
        positive: ``[B, 1]``.
        negative: ``[B, N]``, drawn per positive; N is 0 with shared negatives.
        neighbour: ``[B, K]``, of the positive.
        shared: ``[P]``, negatives shared by the batch; P is 0 without.
    """

    items: Tensor
    positive: Tensor
    negative: Tensor
    neighbour: Tensor
    shared: Tensor

    @property
    def local(self) -> Tensor:
        """Candidates of each user, without shared negatives, ``[B, 1 + N + K]``."""
        return torch.cat([self.positive, self.negative, self.neighbour], dim=1)

    def split_local(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values ``[B, 1 + N + K]`` of positives, negatives and neighbours."""
        sizes = [part.shape[1] for part in (self.positive, self.negative, self.neighbour)]
        return tuple(torch.split(values, sizes, dim=1))


def _candidates(batch: EnvironmentBatch, tables: FrozenTables) -> _Candidates:
    none = batch.negatives.new_empty(0)
    shared = batch.negatives if batch.negatives.dim() == 1 else none
    drawn = none.view(len(batch.users), 0) if batch.negatives.dim() == 1 else batch.negatives
    neighbours = tables.graph.neighbours[batch.positives]
    local = torch.cat([batch.positives[:, None], drawn, neighbours], dim=1)
    items, inverse = torch.unique(torch.cat([local.reshape(-1), shared]), return_inverse=True)
    indices = inverse[: local.numel()].view_as(local)
    first = 1 + drawn.shape[1]
    return _Candidates(
        items,
        positive=indices[:, :1],
        negative=indices[:, 1:first],
        neighbour=indices[:, first:],
        shared=inverse[local.numel() :],
    )


def _times_features(accumulated: Tensor, rows: Tensor, features: Tensor) -> Tensor:
    """``A_e^T F`` over the rows of F that the environment's batch needs, ``[w, d]``."""
    if len(rows) > _ALMOST_ALL * len(features):
        # A product with all features is cheaper than a copy of almost all.
        whole = accumulated.new_zeros(len(features), accumulated.shape[1])
        return whole.index_copy(0, rows, accumulated).T @ features
    return accumulated.T @ features.index_select(0, rows)


def _items_of_step(
    candidates: Sequence[_Candidates], tables: FrozenTables
) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Items of all batches ``[M]``, every batch's indices among them, features ``[M, d]``."""
    sizes = [len(one.items) for one in candidates]
    of_all = torch.cat([one.items for one in candidates])
    items, inverse = torch.unique(of_all, return_inverse=True)
    if len(items) > _ALMOST_ALL * len(tables.features):
        # Using all items is cheaper than a copy of almost all features.
        items = torch.arange(len(tables.features), device=of_all.device)
        return items, of_all.split(sizes), tables.features
    return items, inverse.split(sizes), tables.features.index_select(0, items)


def _attention_tables(
    attention: PairAttention | None,
    batches: Sequence[EnvironmentBatch],
    tables: FrozenTables,
    items: Tensor,
    features: Tensor,
) -> tuple[list[Tensor], Tensor] | None:
    if attention is None:
        return None
    users = torch.cat([batch.users for batch in batches])
    user_input = (tables.user_id[users], tables.user_content[users])
    item_input = (tables.item_id.index_select(0, items), features)
    user_hidden, item_hidden = attention.tables(user_input, item_input)
    return list(user_hidden.split([len(batch.users) for batch in batches])), item_hidden


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one environment's batch.

    Attributes:
        batch: users, positives, negatives.
        candidates: the scored items; M_e of them are distinct.
        tables: the frozen backbone.
        content: W (c_r (.) f) of the distinct items, ``[M_e, branches, k]``.
        user_hidden: the users' terms of the attention's hidden layer, or None without attention.
        item_hidden: the same of the distinct items, or None.
    """

    batch: EnvironmentBatch
    candidates: _Candidates
    tables: FrozenTables
    content: Tensor
    user_hidden: Tensor | None
    item_hidden: Tensor | None

    def loss_and_accumulation(
        self, weights: UltraGCNWeights, attention: PairAttention | None
    ) -> tuple[Tensor, Tensor]:
        """Loss of the batch and A_e, ``[M_e, branches, k]``."""
        candidates, graph = self.candidates, self.tables.graph
        user_content = self.tables.user_content[self.batch.users]
        user_factor = graph.user_factor[self.batch.users][:, None]
        item_factor = graph.item_factor[candidates.items]
        scores, alphas = self._local_scores(attention, user_content)
        positive, negative, neighbour = candidates.split_local(scores)
        edge = user_factor * item_factor[candidates.positive]
        loss = ultragcn.positive_loss(positive[:, 0], edge[:, 0], weights)
        by_score = [ultragcn.positive_score_gradient(positive, edge, weights)]
        if negative.numel():
            edge = user_factor * item_factor[candidates.negative]
            loss = loss + ultragcn.negative_loss(negative, edge, weights)
            by_score.append(ultragcn.negative_score_gradient(negative, edge, weights))
        if neighbour.numel():
            omega = graph.neighbour_weight[self.batch.positives]
            loss = loss + ultragcn.item_item_loss(neighbour, omega, weights)
            by_score.append(ultragcn.item_item_score_gradient(neighbour, omega, weights))
        weighted = torch.cat(by_score, dim=1).unsqueeze(-1) * alphas
        sums = pair_sums(weighted, user_content, candidates.local, len(candidates.items))
        if len(candidates.shared):
            scores, alphas = self._shared_scores(attention, user_content)
            edge = user_factor * item_factor[candidates.shared]
            loss = loss + ultragcn.negative_loss(scores, edge, weights)
            gradient = ultragcn.negative_score_gradient(scores, edge, weights)
            weighted = gradient.unsqueeze(-1) * alphas
            shared_sums = torch.einsum("bcp,bk->cpk", weighted, user_content)
            sums = sums.index_add(0, candidates.shared, shared_sums)
        return loss, sums

    def _local_scores(
        self, attention: PairAttention | None, user_content: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Eq. 15 for the candidates of each user, ``[B, C]``, and alpha ``[B, C, branches]``."""
        rows = self.candidates.local
        item_id = self.tables.item_id[self.candidates.items]
        user_id = self.tables.user_id[self.batch.users]
        by_id = pair_scores(item_id.unsqueeze(1), user_id, rows).squeeze(-1)
        content = pair_scores(self.content, user_content, rows)
        alphas = self._alphas(attention, rows)
        return by_id + (alphas * content).sum(dim=-1), alphas

    def _shared_scores(
        self, attention: PairAttention | None, user_content: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same for all users with the shared negatives, ``[B, P]`` and ``[B, P, branches]``."""
        rows = self.candidates.shared
        item_id = self.tables.item_id[self.candidates.items]
        by_id = self.tables.user_id[self.batch.users] @ item_id.index_select(0, rows).T
        content = self.content.index_select(0, rows)
        content = torch.einsum("bk,cpk->bcp", user_content, content)
        alphas = self._alphas(attention, rows.unsqueeze(0))
        return by_id + (alphas * content).sum(dim=-1), alphas

    def _alphas(self, attention: PairAttention | None, rows: Tensor) -> Tensor:
        """Alpha of Eq. 14 for pairs; 1 without attention."""
        if attention is None or self.user_hidden is None or self.item_hidden is None:
            return self.content.new_ones(1, 1, self.content.shape[1])
        hidden = self.item_hidden.index_select(0, rows.reshape(-1)).view(
            *rows.shape, self.item_hidden.shape[1]
        )
        alphas: Tensor = attention(self.user_hidden[:, None, :], hidden)
        return alphas
