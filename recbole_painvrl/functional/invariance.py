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
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

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
    items, local = _local_items(batches, tables)
    features = tables.features[items]
    # The mask is folded into W: one GEMM per part and no n_items x d temporary.
    parts = [features @ (projection * column).T for column in representation.columns]
    hidden = _attention_tables(representation.attention, batches, items, tables)

    losses, columns_of_a = [], []
    for index, batch in enumerate(batches):
        pairs = _Pairs(index, batch, local[index], items, parts, hidden, tables)
        loss, accumulated = pairs.loss_and_accumulation(weights, representation.attention)
        losses.append(loss)
        columns_of_a.append(accumulated)
    n_parts, k = len(parts), projection.shape[0]
    # [M, E * parts * k]^T @ [M, d]: all environments and parts in one GEMM.
    stacked = torch.cat([a for env in columns_of_a for a in env], dim=1).T @ features
    per_part = stacked.view(len(batches), n_parts, k, -1) * representation.columns[:, None, :]
    return torch.stack(losses), per_part.sum(dim=1)


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


def _local_items(
    batches: Sequence[EnvironmentBatch], tables: FrozenTables
) -> tuple[Tensor, list[list[Tensor]]]:
    """Items that occur in the step, and every index tensor rewritten to rows of that list."""
    groups = []
    for batch in batches:
        group = [batch.positives, batch.negatives]
        if tables.graph.neighbours.shape[1]:
            group.append(tables.graph.neighbours[batch.positives])
        groups.append(group)
    flat = [tensor.reshape(-1) for group in groups for tensor in group]
    items, inverse = torch.unique(torch.cat(flat), return_inverse=True)
    pieces = iter(torch.split(inverse, [len(tensor) for tensor in flat]))
    return items, [[next(pieces).view(tensor.shape) for tensor in group] for group in groups]


def _attention_tables(
    attention: PairAttention | None,
    batches: Sequence[EnvironmentBatch],
    items: Tensor,
    tables: FrozenTables,
) -> tuple[list[Tensor], Tensor] | None:
    if attention is None:
        return None
    users = torch.cat([batch.users for batch in batches])
    user_input = torch.cat([tables.user_id[users], tables.user_content[users]], dim=1)
    item_input = torch.cat([tables.item_id[items], tables.features[items]], dim=1)
    user_hidden, item_hidden = attention.tables(user_input, item_input)
    return list(user_hidden.split([len(batch.users) for batch in batches])), item_hidden


class _Pairs:
    """Scores, loss and gradient accumulation of the pairs of one environment's batch."""

    def __init__(
        self,
        index: int,
        batch: EnvironmentBatch,
        local: list[Tensor],
        items: Tensor,
        parts: list[Tensor],
        hidden: tuple[list[Tensor], Tensor] | None,
        tables: FrozenTables,
    ) -> None:
        self.batch, self.local, self.items, self.parts = batch, local, items, parts
        self.user_hidden = None if hidden is None else hidden[0][index]
        self.item_hidden = None if hidden is None else hidden[1]
        self.tables = tables
        self.user_id = tables.user_id[batch.users]
        self.user_content = tables.user_content[batch.users]

    def loss_and_accumulation(
        self, weights: UltraGCNWeights, attention: PairAttention | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Loss of the batch and ``A_e`` of every part, ``[M, k]``: sum of c alpha p^f by item."""
        tables, batch = self.tables, self.batch
        factor = tables.graph.user_factor[batch.users]
        totals = [torch.zeros_like(part) for part in self.parts]
        loss = self.user_id.new_zeros(())
        for kind, rows in zip(("positive", "negative", "neighbour"), self.local, strict=False):
            item_ids = self.items[rows]
            scores, alphas = self._scores(rows, item_ids, attention)
            if kind == "neighbour":
                edge = tables.graph.neighbour_weight[batch.positives]
            elif kind == "negative":
                edge = factor[:, None] * tables.graph.item_factor[item_ids]
            else:
                edge = factor * tables.graph.item_factor[item_ids]
            loss = loss + _LOSS[kind](scores, edge, weights)
            residual = _RESIDUAL[kind](scores, edge, weights)
            shared = kind == "negative" and rows.dim() == 1
            for part, alpha in enumerate(alphas):
                pull = residual if alpha is None else residual * alpha
                totals[part] = totals[part] + self._accumulate(rows, pull, shared)
        return loss, totals

    def _scores(
        self, rows: Tensor, item_ids: Tensor, attention: PairAttention | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Eq. 15 for positives ``[B]``, own candidates ``[B, N]`` or a shared pool ``[P]``."""
        shared = rows.dim() == 1 and rows is self.local[1]
        own = rows.dim() == 2

        def product(users: Tensor, table: Tensor) -> Tensor:
            if shared:
                return users @ table.T
            if own:
                return torch.einsum("bk,bnk->bn", users, table)
            return (users * table).sum(dim=-1)

        scores = product(self.user_id, self.tables.item_id[item_ids])
        alphas: list[Tensor | None] = [None] * len(self.parts)
        if attention is not None and self.user_hidden is not None and self.item_hidden is not None:
            users = self.user_hidden if not (shared or own) else self.user_hidden[:, None, :]
            alphas = list(attention(users, self.item_hidden[rows]))
        for part, alpha in zip(self.parts, alphas, strict=True):
            content = product(self.user_content, part[rows])
            scores = scores + (content if alpha is None else alpha * content)
        return scores, alphas

    def _accumulate(self, rows: Tensor, pull: Tensor, shared: bool) -> Tensor:
        """Sum of ``pull * p^f_u`` by item, ``[M, k]``."""
        empty = self.user_content.new_zeros(len(self.items), self.user_content.shape[1])
        if shared:
            return empty.index_add(0, rows, pull.T @ self.user_content)
        if rows.dim() == 2:
            values = pull.unsqueeze(-1) * self.user_content[:, None, :]
            return empty.index_add(0, rows.reshape(-1), values.flatten(0, 1))
        return empty.index_add(0, rows, pull.unsqueeze(-1) * self.user_content)


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
