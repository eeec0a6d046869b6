"""ERM and IRM losses of the mask stage (Eq. 11, 12, 15) with environment gradients in closed form.

Every environment's gradient by the projection W is an explicit, differentiable expression of the
mask, of W and of the attention. One plain backward through it replaces the double backward that
Eq. 11 suggests (equal to rounding, several times faster).
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

# Above this share of the step's items an environment's product takes all of them.
_MOST_OF_THEM = 0.9

VarianceForm = Literal["mean", "sum"]


@dataclass(frozen=True)
class FrozenTables:
    """What the mask stage takes from the backbone and the graph, never changed by it.

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
        negatives: ``[B, N]``, drawn per positive, or ``[P]``, one pool for all of them.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True)
class Representation:
    """How the columns of f enter the score: one weight per column and part, one alpha per pair.

    Attributes:
        columns: ``[parts, d]``; with attention ``mu (.) m`` and ``mu (.) (1 - m)`` (Eq. 12, 13),
            without it the gate ``mu`` alone (InvRL).
        attention: gives alpha^Phi and alpha^Psi per pair (Eq. 14), or None.
    """

    columns: Tensor
    attention: PairAttention | None

    @classmethod
    def build(
        cls, mask: Tensor, gate: Tensor, attention: PairAttention | None, outer_gate: bool
    ) -> Representation:
        """Eq. 12 and 13.

        Deviations:
            Without ``outer_gate`` the noisy gate takes the place of ``m`` inside h; then the
            loss cannot tell the invariant part from the variant one (it is unchanged under
            ``m -> 1 - m`` with the two MLPs exchanged).
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
    own = [_own_items(batch, tables) for batch in batches]
    items, places, features = _items_of_step(own, tables)
    # The mask is folded into W: one GEMM for all parts and no n_items x d temporary.
    n_parts, k = len(representation.columns), len(projection)
    folded = (projection * representation.columns[:, None, :]).reshape(n_parts * k, -1)
    content = (features @ folded.T).view(-1, n_parts, k)
    hidden = _attention_tables(representation.attention, batches, tables, items, features)

    losses, gradients = [], []
    for index, batch in enumerate(batches):
        user_hidden = None if hidden is None else hidden[0][index]
        item_hidden = None if hidden is None else hidden[1]
        pairs = _Pairs(batch, own[index], places[index], content, user_hidden, item_hidden, tables)
        loss, accumulated = pairs.loss_and_accumulation(weights, representation.attention)
        losses.append(loss)
        by_part = _times_features(accumulated.flatten(1), places[index], features)
        by_part = by_part.view(n_parts, k, -1) * representation.columns[:, None, :]
        gradients.append(by_part.sum(dim=0))
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
class _OwnItems:
    """The items of one environment's batch and where its pairs find them.

    Attributes:
        items: distinct items of the batch, ``[M_e]``.
        own: places in ``items`` of every user's candidates, ``[B, C]``: the positive, then its
            own negatives (unless there is a pool), then the positive's neighbours.
        pool: places in ``items`` of the pool of negatives, ``[P]``; empty without one.
    """

    items: Tensor
    own: Tensor
    pool: Tensor


def _own_items(batch: EnvironmentBatch, tables: FrozenTables) -> _OwnItems:
    shared = batch.negatives.dim() == 1
    candidates = [batch.positives[:, None], tables.graph.neighbours[batch.positives]]
    if not shared:
        candidates.insert(1, batch.negatives)
    own = torch.cat(candidates, dim=1)
    pool = batch.negatives if shared else batch.negatives.new_empty(0)
    items, inverse = torch.unique(torch.cat([own.reshape(-1), pool]), return_inverse=True)
    return _OwnItems(items, inverse[: own.numel()].view_as(own), inverse[own.numel() :])


def _times_features(accumulated: Tensor, places: Tensor, features: Tensor) -> Tensor:
    """``A_e^T F`` over the rows of F that the environment's batch needs, ``[w, d]``."""
    if len(places) > _MOST_OF_THEM * len(features):
        # Cheaper than a copy of almost all features.
        whole = accumulated.new_zeros(len(features), accumulated.shape[1])
        return whole.index_copy(0, places, accumulated).T @ features
    return accumulated.T @ features.index_select(0, places)


def _items_of_step(
    own: Sequence[_OwnItems], tables: FrozenTables
) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Items of all batches ``[M]``, every batch's places among them, features ``[M, d]``."""
    sizes = [len(rows.items) for rows in own]
    of_all = torch.cat([rows.items for rows in own])
    items, inverse = torch.unique(of_all, return_inverse=True)
    if len(items) > _MOST_OF_THEM * len(tables.features):
        # Some products more, but no copy of almost all features.
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


class _Pairs:
    """Scores, loss and gradient accumulation of the pairs of one environment's batch."""

    def __init__(
        self,
        batch: EnvironmentBatch,
        own: _OwnItems,
        places: Tensor,
        content: Tensor,
        user_hidden: Tensor | None,
        item_hidden: Tensor | None,
        tables: FrozenTables,
    ) -> None:
        self.batch, self.own, self.tables = batch, own, tables
        self.content = content.index_select(0, places)
        self.user_hidden = user_hidden
        self.item_hidden = None if item_hidden is None else item_hidden.index_select(0, places)
        self.item_id = tables.item_id[own.items]
        self.user_id = tables.user_id[batch.users]
        self.user_content = tables.user_content[batch.users]

    def loss_and_accumulation(
        self, weights: UltraGCNWeights, attention: PairAttention | None
    ) -> tuple[Tensor, Tensor]:
        """Loss of the batch and A_e, ``[M_e, parts, k]``: sum of c alpha p^f_u by item and part."""
        own, graph = self.own, self.tables.graph
        n_own = own.own.shape[1] - 1 - graph.neighbours.shape[1]
        factor = graph.user_factor[self.batch.users][:, None]
        item_factor = graph.item_factor[own.items]
        scores, alphas = self._own_scores(attention)
        edge = factor * item_factor[own.own[:, : 1 + n_own]]
        kinds = [
            ("positive", scores[:, 0], edge[:, 0]),
            ("negative", scores[:, 1 : 1 + n_own], edge[:, 1:]),
            ("neighbour", scores[:, 1 + n_own :], graph.neighbour_weight[self.batch.positives]),
        ]
        present = [kind for kind in kinds if kind[1].numel()]
        loss = sum((_LOSS[name](s, e, weights) for name, s, e in present), scores.new_zeros(()))
        residuals = [
            _RESIDUAL[name](s, e, weights).reshape(len(scores), -1) for name, s, e in present
        ]
        pull = torch.cat(residuals, dim=1).unsqueeze(-1) * alphas
        sums = pair_sums(pull, self.user_content, own.own, len(own.items))
        if len(own.pool):
            scores, alphas = self._pool_scores(attention)
            edge = factor * item_factor[own.pool]
            loss = loss + ultragcn.negative_loss(scores, edge, weights)
            pull = ultragcn.negative_residual(scores, edge, weights).unsqueeze(-1) * alphas
            pooled = torch.einsum("bcp,bk->cpk", pull, self.user_content)
            sums = sums.index_add(0, own.pool, pooled)
        return loss, sums

    def _own_scores(self, attention: PairAttention | None) -> tuple[Tensor, Tensor]:
        """Eq. 15 for every user's own candidates ``[B, C]``, and alpha ``[B, C, parts]`` or 1."""
        rows = self.own.own
        by_id = pair_scores(self.item_id.unsqueeze(1), self.user_id, rows).squeeze(-1)
        content = pair_scores(self.content, self.user_content, rows)
        alphas = self._alphas(attention, rows)
        return by_id + (alphas * content).sum(dim=-1), alphas

    def _pool_scores(self, attention: PairAttention | None) -> tuple[Tensor, Tensor]:
        """The same for all users with the pool, ``[B, P]`` and ``[B, P, parts]``."""
        rows = self.own.pool
        by_id = self.user_id @ self.item_id.index_select(0, rows).T
        content = self.content.index_select(0, rows)
        content = torch.einsum("bk,cpk->bcp", self.user_content, content)
        alphas = self._alphas(attention, rows.unsqueeze(0))
        return by_id + (alphas * content).sum(dim=-1), alphas

    def _alphas(self, attention: PairAttention | None, rows: Tensor) -> Tensor:
        if attention is None or self.user_hidden is None or self.item_hidden is None:
            return self.content.new_ones(1, 1, self.content.shape[1])
        hidden = self.item_hidden.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
        alphas: Tensor = attention(self.user_hidden[:, None, :], hidden)
        return alphas


_LOSS = {
    "positive": ultragcn.positive_loss,
    "negative": ultragcn.negative_loss,
    "neighbour": ultragcn.item_item_loss,
}
_RESIDUAL = {
    "positive": ultragcn.positive_residual,
    "negative": ultragcn.negative_residual,
    "neighbour": ultragcn.item_item_residual,
}
