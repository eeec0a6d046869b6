"""UltraGCN with features as published codes write it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights


class Net(nn.Module):
    """Tables of users (ids and content) and items, and a projection of all features.

    Args:
        n_users: with padding.
        n_items: with padding.
        modalities: feature matrices, ``[n_items, d_m]`` each.
        mask: ``[d]``, multiplied with the features in every step.
        embedding_size: width of ids and of content.
        init_std: standard deviation of the initial values.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        modalities: Sequence[Tensor],
        mask: Tensor,
        embedding_size: int = 64,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.modalities, self.mask = list(modalities), mask
        width = sum(part.shape[1] for part in modalities)
        self.users = nn.Embedding(n_users, 2 * embedding_size)
        self.items = nn.Embedding(n_items, embedding_size)
        self.projection = nn.Linear(width, embedding_size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=init_std)
        nn.init.zeros_(self.projection.bias)

    def item_table(self) -> Tensor:
        """``[t, W (mask (.) f) + b]`` of the whole catalogue."""
        features = torch.cat(self.modalities, dim=1) * self.mask
        return torch.cat([self.items.weight, self.projection(features)], dim=1)

    def loss(
        self,
        users: Tensor,
        positives: Tensor,
        negatives: Tensor,
        graph: GraphWeights,
        weights: UltraGCNWeights,
    ) -> Tensor:
        """Eq. 3 on one batch, ``negatives [B, N]``, summed over the batch."""
        table = self.item_table()
        vectors = self.users(users)
        candidates = torch.cat([positives[:, None], negatives], dim=1)
        scores = (vectors[:, None, :] * table[candidates]).sum(dim=-1)
        edge = graph.user_factor[users][:, None] * graph.item_factor[candidates]
        loss = pair_loss(scores, edge, weights)
        if weights.item_item:
            neighbours = graph.neighbours[positives]
            scores = (vectors[:, None, :] * table[neighbours]).sum(dim=-1)
            loss = loss + neighbour_loss(scores, graph.neighbour_weight[positives], weights)
        return loss

    def l2(self, embedding_weight: float, projection_weight: float) -> Tensor:
        """Squared norms of the whole tables and of the projection, weighted."""
        tables = self.users.weight.square().sum() + self.items.weight.square().sum()
        projection = self.projection.weight.square().sum() + self.projection.bias.square().sum()
        return embedding_weight * tables + projection_weight * projection


def pair_loss(scores: Tensor, edge: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Eq. 4 and 5: scores ``[B, 1 + N]`` with the positive first."""
    positive = F.binary_cross_entropy_with_logits(
        scores[:, 0],
        torch.ones_like(scores[:, 0]),
        weight=weights.w1 + weights.w2 * edge[:, 0],
        reduction="none",
    )
    negative = F.binary_cross_entropy_with_logits(
        scores[:, 1:],
        torch.zeros_like(scores[:, 1:]),
        weight=weights.w3 + weights.w4 * edge[:, 1:],
        reduction="none",
    )
    return (positive + weights.negative_weight * negative.mean(dim=1)).sum()


def neighbour_loss(scores: Tensor, similarity: Tensor, weights: UltraGCNWeights) -> Tensor:
    """Eq. 7: scores ``[B, K]`` of the user with the neighbours of the positive."""
    return -weights.item_item * (similarity * torch.sigmoid(scores).log()).sum()
