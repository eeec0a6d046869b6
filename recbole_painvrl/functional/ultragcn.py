"""The UltraGCN loss (Eq. 3, 4, 5, 7), summed over the positives of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.pairs import pair_scores

# Below this many items per negative one product with all items beats gathering the negatives.
_DENSE_BELOW = 25


@dataclass(frozen=True)
class UltraGCNWeights:
    """The scalars of the loss, in UltraGCN's names (its release: w1 to w4, negative weight).

    A positive pair weighs ``w1 + w2 * v_ui`` and a negative pair ``w3 + w4 * v_uj``.
    PaInvRL's Eq. 3 is ``w1 = w3 = 1``, ``w2 = w4 = eta``, ``negative_weight = 1``,
    ``item_item = kappa``.
    """

    w1: float
    w2: float
    w3: float
    w4: float
    negative_weight: float
    item_item: float

    @classmethod
    def from_paper(cls, eta: float, kappa: float) -> UltraGCNWeights:
        """Eq. 3 with its two weights ``eta`` (L_U) and ``kappa`` (L_I)."""
        return cls(1.0, eta, 1.0, eta, 1.0, kappa)

    def terms(self) -> dict[str, UltraGCNWeights]:
        """The weights of L_C, L_U and L_I (Eq. 4, 5, 7) alone; their losses sum to the loss."""
        return {
            "L_C": replace(self, w2=0.0, w4=0.0, item_item=0.0),
            "L_U": replace(self, w1=0.0, w3=0.0, item_item=0.0),
            "L_I": replace(self, w1=0.0, w2=0.0, w3=0.0, w4=0.0),
        }


@dataclass(frozen=True)
class GraphWeights:
    """The two graphs as tables (see ``graph.py``).

    Attributes:
        user_factor: factor of Eq. 6, ``[n_users]``.
        item_factor: factor of Eq. 6, ``[n_items]``.
        neighbours: S(i) of Eq. 7, ``[n_items, K]``; K = 0 switches L_I off.
        neighbour_weight: s_ij of Eq. 8, ``[n_items, K]``.
    """

    user_factor: Tensor
    item_factor: Tensor
    neighbours: Tensor
    neighbour_weight: Tensor

    def to(self, device: torch.device) -> GraphWeights:
        """The same tables on another device."""
        return GraphWeights(*(table.to(device) for table in vars(self).values()))


def positive_loss(scores: Tensor, edge_weight: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Positive half of Eq. 4 + 5, ``sum_b (w1 + w2 v) softplus(-s)``.

    Args:
        scores: ``[B]`` scores of the positives.
        edge_weight: ``[B]`` values of Eq. 6.
    """
    return ((weights.w1 + weights.w2 * edge_weight) * F.softplus(-scores)).sum()


def negative_loss(scores: Tensor, edge_weight: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Negative half of Eq. 4 + 5: mean over the negatives of each positive, summed over positives.

    Args:
        scores: ``[B, N]`` scores of the sampled negatives, drawn per positive or shared.
        edge_weight: ``[B, N]`` values of Eq. 6.

    Deviations:
        The paper sums over every unobserved pair; a mean over N uniform draws per positive is
        what the public codes of UltraGCN and InvRL do.
    """
    losses = (weights.w3 + weights.w4 * edge_weight) * F.softplus(scores)
    return weights.negative_weight * losses.mean(dim=-1).sum()


def shared_negative_loss(
    scores: Tensor,
    user_factor: Tensor,
    item_factor: Tensor,
    times: Tensor,
    draws: Tensor,
    weights: UltraGCNWeights,
) -> Tensor:
    """:func:`negative_loss` of shared negatives, without a table of weights or repeated rows.

    The weights have rank 2, ``w3 + w4 v_u v_j``: two sums over the negatives give a user's loss.

    Args:
        scores: ``[U, C]`` scores of the users with the negatives.
        user_factor: factor of Eq. 6, ``[U]``.
        item_factor: factor of Eq. 6, ``[C]``.
        times: number of positives of every user, ``[U]``.
        draws: how often every negative was drawn, ``[C]``.
        weights: scalars of the loss.
    """
    precision = torch.promote_types(scores.dtype, item_factor.dtype)
    columns = torch.stack([draws, draws * item_factor], dim=1).to(precision)
    # Mixed precision would round the sums.
    with torch.autocast(scores.device.type, enabled=False):
        plain, by_item = (F.softplus(scores.to(precision)) @ columns).unbind(dim=1)
    total = (times * (weights.w3 * plain + weights.w4 * user_factor * by_item)).sum()
    return weights.negative_weight * total / draws.sum()


def counted_negative_loss(
    scores: Tensor, places: Tensor, negatives: Tensor, edge_weight: Tensor, weights: UltraGCNWeights
) -> Tensor:
    """:func:`negative_loss` from the scores of all items, each with the weight of its draws.

    Args:
        scores: ``[U, n_items]`` scores of the users with all items.
        places: row of each positive's user, ``[B]``.
        negatives: ``[B, N]`` items drawn, with repetition.
        edge_weight: ``[B, N]`` values of Eq. 6 of the draws.
        weights: scalars of the loss.
    """
    # Scores may have another precision than the graph.
    drawn = edge_weight.new_zeros(scores.shape)
    cells = places[:, None] * scores.shape[1] + negatives
    pair_weights = weights.w3 + weights.w4 * edge_weight
    drawn.view(-1).scatter_add_(0, cells.flatten(), pair_weights.flatten())
    losses = drawn * F.softplus(scores)
    return weights.negative_weight / negatives.shape[1] * losses.sum()


def item_item_loss(scores: Tensor, neighbour_weight: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Eq. 7 times kappa: ``-kappa sum_b sum_{j in S(i)} s_ij log sigma(score_uj)``.

    Args:
        scores: ``[B, K]`` scores of the user with the neighbours of the positive item.
        neighbour_weight: ``[B, K]`` values of Eq. 8.
    """
    return weights.item_item * (neighbour_weight * F.softplus(-scores)).sum()


def positive_score_gradient(
    scores: Tensor, edge_weight: Tensor, weights: UltraGCNWeights
) -> Tensor:
    """Derivative of :func:`positive_loss` by each score, itself differentiable (``[B]``)."""
    return -(weights.w1 + weights.w2 * edge_weight) * torch.sigmoid(-scores)


def negative_score_gradient(
    scores: Tensor, edge_weight: Tensor, weights: UltraGCNWeights
) -> Tensor:
    """Derivative of :func:`negative_loss` by each score, itself differentiable (``[B, N]``)."""
    scale = weights.negative_weight / scores.shape[-1]
    return scale * (weights.w3 + weights.w4 * edge_weight) * torch.sigmoid(scores)


def item_item_score_gradient(
    scores: Tensor, neighbour_weight: Tensor, weights: UltraGCNWeights
) -> Tensor:
    """Derivative of :func:`item_item_loss` by each score, itself differentiable (``[B, K]``)."""
    return -weights.item_item * neighbour_weight * torch.sigmoid(-scores)


@dataclass(frozen=True)
class Distinct:
    """Indices ``[B]`` by their values, of which each occurs once, but on a GPU any number of times.

    Attributes:
        values: ``[U]``; ``values[places]`` are the indices.
        places: place of every index in ``values``, ``[B]``.
        counts: number of indices that have the place of every value, ``[U]``.
    """

    values: Tensor
    places: Tensor
    counts: Tensor

    @classmethod
    def of(cls, indices: Tensor) -> Distinct:
        """On a GPU the indices as they are, since counting would wait for the device."""
        if indices.is_cuda:
            places = torch.arange(len(indices), device=indices.device)
            return cls(indices, places, torch.ones_like(indices))
        return cls(*torch.unique(indices, return_inverse=True, return_counts=True))


def batch_loss(
    user_vectors: Tensor,
    item_table: Tensor,
    users: Distinct,
    positives: Tensor,
    negatives: Tensor,
    graph: GraphWeights,
    weights: UltraGCNWeights,
) -> Tensor:
    """Eq. 3 on one batch when the score is a plain dot product.

    Args:
        user_vectors: vectors of ``users.values``, ``[U, D]``.
        item_table: vectors of all items, ``[n_items, D]``.
        users: of the positives.
        positives: ``[B]``.
        negatives: ``[B, N]``, drawn per positive, or ``[P]``, shared and scored by a single GEMM.
        graph: tables of Eq. 6 and 8.
        weights: scalars of the loss.

    Returns:
        The loss, summed over the B positives.
    """
    user_factor, places = graph.user_factor[users.values], users.places
    vectors, factor = user_vectors.index_select(0, places), user_factor[places]
    positive_scores = (vectors * item_table.index_select(0, positives)).sum(dim=-1)
    loss = positive_loss(positive_scores, factor * graph.item_factor[positives], weights)
    if negatives.dim() == 1:
        items = Distinct.of(negatives)
        scores = user_vectors @ item_table.index_select(0, items.values).T
        factors = user_factor, graph.item_factor[items.values]
        loss = loss + shared_negative_loss(scores, *factors, users.counts, items.counts, weights)
    elif len(item_table) <= _DENSE_BELOW * negatives.shape[1]:
        scores = user_vectors @ item_table.T
        edge_weight = factor[:, None] * graph.item_factor[negatives]
        loss = loss + counted_negative_loss(scores, places, negatives, edge_weight, weights)
    else:
        scores = own_scores(vectors, item_table, negatives)
        edge_weight = factor[:, None] * graph.item_factor[negatives]
        loss = loss + negative_loss(scores, edge_weight, weights)
    if weights.item_item and graph.neighbours.shape[1]:
        neighbours = graph.neighbours[positives]
        scores = own_scores(vectors, item_table, neighbours)
        loss = loss + item_item_loss(scores, graph.neighbour_weight[positives], weights)
    return loss


def own_scores(user_vectors: Tensor, item_table: Tensor, items: Tensor) -> Tensor:
    """Scores of every user with a list of its own items, ``[B, D], [n, D], [B, N] -> [B, N]``."""
    return pair_scores(item_table.unsqueeze(1), user_vectors, items).squeeze(-1)
