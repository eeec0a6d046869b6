"""The published structure of the method, written plainly, with which the package is compared.

Every step projects the whole catalogue, every environment projects it again, the gradients of the
environments come from a double backward (``create_graph``), negatives are drawn for every
positive, attention reads concatenated vectors, losses are weighted binary cross-entropy, and the
L2 terms are part of the loss. ``tests/benchmarks/test_reference.py`` compares its losses and
gradients with the package's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

Gradients = tuple[Tensor, ...]


def pair_loss(scores: Tensor, edge: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Eq. 4 and 5: scores ``[B, 1 + N]`` with the positive first."""
    cross_entropy = partial(F.binary_cross_entropy_with_logits, reduction="none")
    positive, negative = scores[:, 0], scores[:, 1:]
    w_positive = weights.w1 + weights.w2 * edge[:, 0]
    w_negative = weights.w3 + weights.w4 * edge[:, 1:]
    l_positive = cross_entropy(positive, torch.ones_like(positive), w_positive)
    l_negative = cross_entropy(negative, torch.zeros_like(negative), w_negative)
    return (l_positive + weights.negative_weight * l_negative.mean(dim=1)).sum()


def neighbour_loss(scores: Tensor, similarity: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Eq. 7: scores ``[B, K]`` of the user with the neighbours of the positive."""
    return -weights.item_item * (similarity * torch.sigmoid(scores).log()).sum()


class Recommender(nn.Module):
    """UltraGCN with features and its optimizers, as in the published code.

    ``n_users`` and ``n_items`` include padding; ``mask [d]`` is multiplied by the features in every
    step; ``l2`` weighs the squared norms of the tables and of the projection. InvRL's code trains
    the tables of its environment models by Adagrad (``adagrad_tables``).
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        modalities: Sequence[Tensor],
        mask: Tensor,
        graph: GraphWeights,
        weights: UltraGCNWeights,
        l2: tuple[float, float] = (1e-4, 0.1),
        adagrad_tables: bool = False,
        embedding_size: int = 64,
        init_std: float = 0.01,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.modalities, self.mask = list(modalities), mask
        self.graph, self.weights, self.l2 = graph, weights, l2
        self.users = nn.Embedding(n_users, 2 * embedding_size)
        self.items = nn.Embedding(n_items, embedding_size)
        self.projection = nn.Linear(sum(matrix.shape[1] for matrix in modalities), embedding_size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=init_std)
        nn.init.zeros_(self.projection.bias)
        self.to(device)
        tables = torch.optim.Adagrad if adagrad_tables else torch.optim.Adam
        self.optimizers: list[torch.optim.Optimizer] = [
            tables([self.users.weight, self.items.weight], lr=1e-3),
            torch.optim.Adam(self.projection.parameters(), lr=1e-3),
        ]

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Eq. 3 and the L2 terms, summed over a batch with ``negatives [B, N]``."""
        # [t, W (mask (.) f) + b] of the whole catalogue.
        features = torch.cat(self.modalities, dim=1) * self.mask
        table = torch.cat([self.items.weight, self.projection(features)], dim=1)
        vectors = self.users(users)[:, None, :]
        candidates = torch.cat([positives[:, None], negatives], dim=1)
        graph = self.graph
        edge = graph.user_factor[users][:, None] * graph.item_factor[candidates]
        loss = pair_loss((vectors * table[candidates]).sum(dim=-1), edge, self.weights)
        if self.weights.item_item:
            scores = (vectors * table[graph.neighbours[positives]]).sum(dim=-1)
            loss = loss + neighbour_loss(scores, graph.neighbour_weight[positives], self.weights)
        tables = self.users.weight.square().sum() + self.items.weight.square().sum()
        projection = self.projection.weight.square().sum() + self.projection.bias.square().sum()
        return loss + self.l2[0] * tables + self.l2[1] * projection

    def step(self, users: Tensor, positives: Tensor, negatives: Tensor) -> float:
        """Train on one batch and return its loss."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.loss(users, positives, negatives)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()


def joint_gradients(
    mask: Tensor,
    noise: Tensor,
    projection: Tensor,
    attention: PairAttention | None,
    batches: Sequence[EnvironmentBatch],
    tables: FrozenTables,
    weights: UltraGCNWeights,
) -> tuple[Tensor, Tensor, Gradients, Gradients]:
    """L_ERM and L_IRM of Eq. 11 and 12, and the gradients of each by mask, W and attention.

    The mask m ``[d]`` and W ``[k, d]`` are leaves, ``noise [d]`` is one draw of eps. ``attention``
    holds the MLPs of Eq. 14, or is None for the plain gate of InvRL. There is one batch per
    environment, with negatives ``[B, N]``.
    """
    gate = torch.clamp(mask + noise, 0.0, 1.0)
    losses, gradients = [], []
    for batch in batches:
        loss = _environment_loss(mask, gate, projection, attention, batch, tables, weights)
        (gradient,) = torch.autograd.grad(loss, projection, create_graph=True)
        losses.append(loss)
        gradients.append(gradient)
    l_erm = torch.stack(losses).mean()
    stacked = torch.stack(gradients)
    variance = ((stacked - stacked.mean(dim=0)) ** 2).mean(dim=0)
    l_irm = ((variance * gate) ** 2).sum()
    variables = [mask, projection, *([] if attention is None else attention.parameters())]
    by_erm = torch.autograd.grad(l_erm, variables, retain_graph=True)
    by_irm = torch.autograd.grad(l_irm, variables, materialize_grads=True)
    return l_erm.detach(), l_irm.detach(), by_erm, by_irm


def _environment_loss(
    mask: Tensor,
    gate: Tensor,
    projection: Tensor,
    attention: PairAttention | None,
    batch: EnvironmentBatch,
    tables: FrozenTables,
    weights: UltraGCNWeights,
) -> Tensor:
    """Eq. 3 on the batch of one environment, with projections of the whole catalogue."""
    features, graph = tables.features, tables.graph
    if attention is None:
        branches = [(features * gate) @ projection.T]
    else:
        inner = mask.clamp(0.0, 1.0)
        invariant, variant = features * inner, features * (1 - inner)
        branches = [(one * gate) @ projection.T for one in (invariant, variant)]

    def scores(items: Tensor) -> Tensor:
        users = batch.users
        by_id = (tables.user_id[users][:, None, :] * tables.item_id[items]).sum(dim=-1)
        content = tables.user_content[users][:, None, :]
        terms = [(content * branch[items]).sum(dim=-1) for branch in branches]
        if attention is None:
            return by_id + terms[0]
        alphas = _attention(attention, users, items, tables)
        return by_id + alphas[0] * terms[0] + alphas[1] * terms[1]

    candidates = torch.cat([batch.positives[:, None], batch.negatives], dim=1)
    edge = graph.user_factor[batch.users][:, None] * graph.item_factor[candidates]
    loss = pair_loss(scores(candidates), edge, weights)
    if weights.item_item:
        neighbours = scores(graph.neighbours[batch.positives])
        loss = loss + neighbour_loss(neighbours, graph.neighbour_weight[batch.positives], weights)
    return loss


def _attention(
    attention: PairAttention, users: Tensor, items: Tensor, tables: FrozenTables
) -> tuple[Tensor, Tensor]:
    """Eq. 14 on ``[p^t, p^f, t, f]`` of every pair, concatenated; sigmoid output."""
    user = torch.cat([tables.user_id[users], tables.user_content[users]], dim=1)
    item = torch.cat([tables.item_id[items], tables.features[items]], dim=-1)
    pair = torch.cat([user[:, None, :].expand(*items.shape, -1), item], dim=-1)
    first_layer = torch.cat([attention.user_weight, attention.item_weight])
    hidden = torch.relu(pair @ first_layer + attention.bias)
    size = attention.hidden_size
    first = hidden[..., :size] @ attention.last_weight[0] + attention.last_bias[0]
    second = hidden[..., size:] @ attention.last_weight[1] + attention.last_bias[1]
    return torch.sigmoid(first), torch.sigmoid(second)
