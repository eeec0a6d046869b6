"""Oracles that several test modules share: slow, literal, easy to read."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.graph import degree_factors
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

Score = Callable[[int, int], Tensor]


def source(seed: int = 0) -> torch.Generator:
    """A generator of random numbers of this seed."""
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal random numbers in float64."""
    return torch.randn(shape, generator=source(seed), dtype=torch.float64)


def table(*shape: int, seed: int = 0) -> Tensor:
    """The same, by which can be differentiated."""
    return draw(*shape, seed=seed).requires_grad_()


def random_graph(
    n_users: int, n_items: int, n_neighbours: int, source: torch.Generator
) -> GraphWeights:
    """Tables of Eq. 6 and 8 with random values in float64; item 0 has factor 0."""
    item_factor = torch.rand(n_items, generator=source, dtype=torch.float64)
    item_factor[0] = 0
    return GraphWeights(
        torch.rand(n_users, generator=source, dtype=torch.float64),
        item_factor,
        torch.randint(1, n_items, (n_items, n_neighbours), generator=source),
        torch.rand(n_items, n_neighbours, generator=source, dtype=torch.float64),
    )


def degrees_alone(users: Tensor, items: Tensor, n_users: int, n_items: int) -> GraphWeights:
    """The graph's weights of these interactions, without neighbours of items."""
    none = torch.zeros(n_items, 0)
    degrees = torch.bincount(users, minlength=n_users), torch.bincount(items, minlength=n_items)
    return GraphWeights(*degree_factors(*degrees), none.long(), none)


def literal_loss(
    score: Score,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    graph: GraphWeights,
    weights: UltraGCNWeights,
) -> Tensor:
    """Eq. 3 to 8 one pair at a time; ``negatives`` is [B, N] or one pool [P] for everybody."""
    total = torch.zeros((), dtype=torch.float64)
    for row, (u, i) in enumerate(zip(users.tolist(), positives.tolist(), strict=True)):
        beta = graph.user_factor[u] * graph.item_factor
        total = total - (weights.w1 + weights.w2 * beta[i]) * F.logsigmoid(score(u, i))
        own = (negatives if negatives.dim() == 1 else negatives[row]).tolist()
        for j in own:
            loss = -(weights.w3 + weights.w4 * beta[j]) * F.logsigmoid(-score(u, j))
            total = total + weights.negative_weight * loss / len(own)
        for place, j in enumerate(graph.neighbours[i].tolist()):
            omega = graph.neighbour_weight[i, place]
            total = total - weights.item_item * omega * F.logsigmoid(score(u, j))
    return total


def literal_score(
    tables: FrozenTables,
    projection: Tensor,
    mask: Tensor,
    gate: Tensor,
    attention: PairAttention | None,
    outer_gate: bool,
) -> Score:
    """Eq. 12 to 15 for one pair: the representation h, then its projection."""

    def score(u: int, i: int) -> Tensor:
        f = tables.features[i]
        if attention is None:
            h = gate * f
        else:
            inner = mask.clamp(0, 1) if outer_gate else gate
            alphas = concatenated_attention(attention, tables, u, i)
            h = alphas[0] * inner * f + alphas[1] * (1 - inner) * f
            h = gate * h if outer_gate else h
        by_id = tables.user_id[u] @ tables.item_id[i]
        return by_id + tables.user_content[u] @ (projection @ h)

    return score


def concatenated_attention(
    attention: PairAttention, tables: FrozenTables, u: int, i: int
) -> tuple[Tensor, Tensor]:
    """Eq. 14 on the concatenation, with sigmoid output."""
    pair = torch.cat(
        [tables.user_id[u], tables.user_content[u], tables.item_id[i], tables.features[i]]
    )
    first_layer = torch.cat([attention.user_weight, attention.item_weight])
    hidden = torch.relu(pair @ first_layer + attention.bias)
    half = attention.hidden_size
    first = hidden[:half] @ attention.last_weight[0] + attention.last_bias[0]
    second = hidden[half:] @ attention.last_weight[1] + attention.last_bias[1]
    return torch.sigmoid(first), torch.sigmoid(second)


def literal_environment_losses(
    score: Score, batches: list[EnvironmentBatch], tables: FrozenTables, weights: UltraGCNWeights
) -> Tensor:
    """Loss of every environment, ``[E]``."""
    return torch.stack(
        [
            literal_loss(score, b.users, b.positives, b.negatives, tables.graph, weights)
            for b in batches
        ]
    )


def ease(gram: Tensor, reg_weight: float) -> Tensor:
    """Steck's B, written down."""
    p = torch.linalg.inv(gram + reg_weight * torch.eye(len(gram), dtype=gram.dtype))
    b = -p / p.diagonal()
    return b - b.diagonal().diag()
