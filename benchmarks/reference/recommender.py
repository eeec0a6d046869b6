"""One training step of the final model, of the backbone, and of an environment's model."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.reference.net import Net
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights


class Recommender:
    """A net with its optimisers, stepped batch by batch.

    Args:
        net: the net.
        graph: tables of Eq. 6 and 8.
        weights: scalars of the loss.
        embedding_weight: L2 of the tables, part of the loss.
        projection_weight: L2 of the projection.
        adagrad_tables: Adagrad for the tables, as in the environment models of InvRL's code.
        learning_rate: of both optimisers.
    """

    def __init__(
        self,
        net: Net,
        graph: GraphWeights,
        weights: UltraGCNWeights,
        embedding_weight: float = 1e-4,
        projection_weight: float = 0.1,
        adagrad_tables: bool = False,
        learning_rate: float = 1e-3,
    ) -> None:
        self.net, self.graph, self.weights = net, graph, weights
        self.l2 = embedding_weight, projection_weight
        tables = torch.optim.Adagrad if adagrad_tables else torch.optim.Adam
        self.optimizers: list[torch.optim.Optimizer] = [
            tables([net.users.weight, net.items.weight], lr=learning_rate),
            torch.optim.Adam(net.projection.parameters(), lr=learning_rate),
        ]

    def step(self, users: Tensor, positives: Tensor, negatives: Tensor) -> float:
        """One step on a batch; returns its loss."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.net.loss(users, positives, negatives, self.graph, self.weights)
        loss = loss + self.net.l2(*self.l2)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()
