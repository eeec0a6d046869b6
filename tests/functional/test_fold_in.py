"""The vector of a new user, against literal losses and a general minimiser."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from oracles import draw, random_graph
from scipy.optimize import minimize

from recbole_painvrl.functional.fold_in import (
    Objective,
    Prior,
    fold_in,
    pairwise_objective,
    pointwise_objective,
    ultragcn_item_weights,
)
from recbole_painvrl.functional.graph import degree_factors
from recbole_painvrl.functional.ultragcn import (
    Distinct,
    GraphWeights,
    UltraGCNWeights,
    batch_loss,
)

N, D = 40, 6


VECTORS = draw(N, D)
PRIOR = Prior(0.3 * draw(D, seed=1), 0.5 + draw(D, seed=2).abs())
ITEMS = torch.tensor([3, 7, 8, 21])
OTHERS = torch.tensor([1, 2, 5, 9, 10, 30, 31])
UP, DOWN = draw(N, seed=3).abs(), draw(N, seed=4).abs()
OBJECTIVES = {
    "pointwise": pointwise_objective(VECTORS, UP, DOWN, PRIOR),
    "pairwise": pairwise_objective(VECTORS, ITEMS, OTHERS, PRIOR),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_and_hessian_are_derivatives(name: str) -> None:
    objective, z = OBJECTIVES[name], draw(D, seed=5).requires_grad_()
    value, gradient, hessian = objective(z)
    assert torch.allclose(torch.autograd.grad(value, z)[0], gradient)
    expected = torch.autograd.functional.jacobian(lambda w: objective(w)[1], z.detach())
    assert torch.allclose(expected, hessian)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_general_minimiser_finds_the_same(name: str) -> None:
    objective: Objective = OBJECTIVES[name]

    def total(z: object) -> float:
        w = torch.as_tensor(z)
        return float(objective(w)[0] + w @ w / 2)

    found = fold_in(objective, D)
    other = minimize(total, draw(D, seed=6).numpy(), method="BFGS", options={"gtol": 1e-9})
    assert torch.allclose(found, torch.from_numpy(other.x), atol=1e-5)
    assert total(found) <= other.fun + 1e-12


def test_far_from_its_minimum_newton_still_gets_there() -> None:
    wide = Prior(torch.full((D,), 50.0, dtype=torch.float64), torch.full((D,), 100.0).double())
    objective = pairwise_objective(VECTORS, ITEMS, OTHERS, wide)
    z = fold_in(objective, D).requires_grad_()
    gradient = torch.autograd.grad(objective(z)[0] + z @ z / 2, z)[0]
    assert gradient.abs().max() < 1e-4


def test_objectives_are_literal_sums() -> None:
    """Over items and over pairs."""
    z, total = draw(D, seed=7), torch.zeros(()).double()
    for item in range(N):
        s = VECTORS[item] @ (PRIOR.mean + PRIOR.scale * z)
        total = total + UP[item] * F.softplus(-s) + DOWN[item] * F.softplus(s)
    assert torch.isclose(OBJECTIVES["pointwise"](z)[0], total)
    z = draw(D, seed=7)
    s = VECTORS @ PRIOR.vector(z)
    literal = sum(
        F.softplus(s[j] - s[i]) / len(OTHERS) for i in ITEMS.tolist() for j in OTHERS.tolist()
    )
    assert torch.isclose(OBJECTIVES["pairwise"](z)[0], torch.as_tensor(literal))


def test_ultragcn_weights_are_its_loss_with_every_negative_drawn_once() -> None:
    graph = random_graph(5, N, 3, torch.Generator().manual_seed(8))
    weights = UltraGCNWeights(0.9, 0.4, 1.2, 0.3, 2.0, 0.7)
    factor, _ = degree_factors(torch.tensor([len(ITEMS)] * 5), torch.ones(N, dtype=torch.long))
    graph = GraphWeights(
        factor.double(), graph.item_factor, graph.neighbours, graph.neighbour_weight
    )
    p = draw(D, seed=9)
    user = Distinct.of(torch.zeros(len(ITEMS), dtype=torch.long))
    negatives = torch.arange(1, N).expand(len(ITEMS), -1)
    expected = batch_loss(p[None], VECTORS, user, ITEMS, negatives, graph, weights)
    drawn = torch.arange(N) > 0
    up, down = ultragcn_item_weights(ITEMS, graph, weights, drawn)
    point = Prior(p, torch.zeros(D, dtype=torch.float64))
    value, _, _ = pointwise_objective(VECTORS, up, down, point)(torch.zeros(D).double())
    assert torch.isclose(value, expected, rtol=1e-6)


def test_a_constant_column_stays_constant() -> None:
    vectors = torch.cat([draw(30, D - 1), torch.ones(30, 1)], dim=1)
    prior = Prior.around_zero(vectors, 2.0)
    assert prior.mean.tolist() == [0.0] * (D - 1) + [1.0]
    assert prior.scale[-1] == 0
    size = vectors[:, :-1].double().square().mean().sqrt()
    assert torch.allclose(prior.scale[:-1], 2 * size)
    z = fold_in(pairwise_objective(VECTORS, ITEMS, OTHERS, prior), D)
    assert prior.vector(z)[-1] == 1
