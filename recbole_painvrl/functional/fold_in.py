"""The vector of a user whom training has not seen, all items' vectors frozen.

A convex problem in one vector: minus the log-likelihood of the user's items, which is the
recommender's own loss with the expectation over negatives in place of draws, and a normal prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

# Of z: value, gradient [D] and Hessian [D, D].
Objective = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

_MOST_STEPS = 50
_HALVINGS = 40
# Relative bound of the Newton decrement; the minimum is lower by about half of it.
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Prior:
    """Normal distribution of a user's vector with independent columns.

    ``p = mean + scale * z`` with z standard normal; a column of scale 0 stays at its mean.

    Attributes:
        mean: ``[D]``.
        scale: standard deviations, ``[D]``.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def around_zero(cls, vectors: Tensor, strength: float) -> Prior:
        """The prior that amounts to an L2 term, scaled by the size of the trained vectors.

        Args:
            vectors: of trained users, ``[n, D]``; a column that is the same for all of them
                stays so.
            strength: standard deviation divided by the root mean square of the vectors' entries.
        """
        vectors = vectors.double()
        constant = vectors.std(dim=0, correction=0) == 0
        size = vectors[:, ~constant].square().mean().sqrt()
        mean = torch.where(constant, vectors[0], 0.0)
        return cls(mean, torch.where(constant, 0.0, strength * size))

    def vector(self, z: Tensor) -> Tensor:
        """The vector ``mean + scale * z``."""
        return self.mean + self.scale * z


def fold_in(objective: Objective, width: int) -> Tensor:
    """Minimum of a convex objective plus ``|z|^2 / 2`` by damped Newton steps, ``[width]``.

    Args:
        objective: of z, twice differentiable and convex.
        width: number of entries of z.

    Raises:
        RuntimeError: no convergence, which a convex objective does not cause.
    """
    z = torch.zeros(width, dtype=torch.float64)
    unit = torch.eye(width, dtype=torch.float64)
    for _ in range(_MOST_STEPS):
        value, gradient, hessian = objective(z)
        value, gradient = value + z @ z / 2, gradient + z
        factor = torch.linalg.cholesky(hessian + unit)
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0]
        decrement = gradient @ step
        if decrement <= _TOLERANCE * (1 + value.abs()):
            return z - step
        length = 1.0
        for _ in range(_HALVINGS):
            there = z - length * step
            if objective(there)[0] + there @ there / 2 <= value - 1e-4 * length * decrement:
                break
            length /= 2
        z = there
    raise RuntimeError("the vector of a new user did not converge")


def pointwise_objective(
    vectors: Tensor, positive: Tensor, negative: Tensor, prior: Prior
) -> Objective:
    """``sum_j a_j softplus(-s_j) + b_j softplus(s_j)`` with ``s = vectors p``.

    Args:
        vectors: of all items, ``[n, D]``, float64.
        positive: a, ``[n]``, not negative.
        negative: b, ``[n]``, not negative.
        prior: of p.
    """
    offset, scaled = vectors @ prior.mean, vectors * prior.scale

    def objective(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = offset + scaled @ z
        up, down = torch.sigmoid(s), torch.sigmoid(-s)
        value = positive @ F.softplus(-s) + negative @ F.softplus(s)
        gradient = scaled.T @ (negative * up - positive * down)
        curvature = (positive + negative) * up * down
        return value, gradient, scaled.T @ (curvature[:, None] * scaled)

    return objective


def pairwise_objective(vectors: Tensor, items: Tensor, others: Tensor, prior: Prior) -> Objective:
    """BPR, ``sum_i mean_j softplus(s_j - s_i)``, for the user's items i and all other items j.

    Args:
        vectors: of all items, ``[n, D]``, float64.
        items: the user's items, ``[m]``.
        others: items that BPR may draw as negatives, ``[N]``.
        prior: of p.
    """
    liked, other = vectors[items], vectors[others]
    gap = (liked @ prior.mean)[:, None] - (other @ prior.mean)[None, :]
    liked, other = liked * prior.scale, other * prior.scale

    def objective(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = gap + (liked @ z)[:, None] - (other @ z)[None, :]
        pull = torch.sigmoid(-s) / len(others)
        value = F.softplus(-s).mean(dim=1).sum()
        gradient = other.T @ pull.sum(dim=0) - liked.T @ pull.sum(dim=1)
        q = pull * torch.sigmoid(s)
        mixed = liked.T @ (q @ other)
        hessian = liked.T @ (q.sum(dim=1)[:, None] * liked) - mixed - mixed.T
        return value, gradient, hessian + other.T @ (q.sum(dim=0)[:, None] * other)

    return objective


def ultragcn_item_weights(
    items: Tensor, graph: GraphWeights, weights: UltraGCNWeights, may_be_negative: Tensor
) -> tuple[Tensor, Tensor]:
    """Eq. 3 of one user as weights of ``softplus(-s_j)`` and ``softplus(s_j)`` of every item.

    Args:
        items: the user's items, ``[m]``, distinct.
        graph: tables of Eq. 6 and 8 of all items; the user's own factor is computed here.
        weights: scalars of the loss.
        may_be_negative: which items are drawn as negatives, ``[n]``, each equally often.

    Returns:
        ``(positive [n], negative [n])``, float64; negatives in expectation.
    """
    factor = (len(items) + 1) ** 0.5 / len(items)
    beta = factor * graph.item_factor.double()
    positive = torch.zeros_like(beta)
    positive[items] = weights.w1 + weights.w2 * beta[items]
    if weights.item_item and graph.neighbours.shape[1]:
        near = graph.neighbours[items].reshape(-1)
        share = weights.item_item * graph.neighbour_weight[items].double().reshape(-1)
        positive.index_add_(0, near, share)
    chance = may_be_negative.double() / may_be_negative.sum()
    scale = weights.negative_weight * len(items)
    return positive, scale * chance * (weights.w3 + weights.w4 * beta)
