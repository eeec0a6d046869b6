"""The closed forms against dense algebra, and what they minimise."""

from __future__ import annotations

import pytest
import torch
from oracles import ease
from torch import Tensor

from recbole_painvrl.functional.closed_form import (
    bilinear_map,
    ease_weights,
    map_to,
    quadratic_forms,
    whitened_map,
)

N_USERS, N_ITEMS, WIDTH = 40, 30, 7


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N_ITEMS, WIDTH, dtype=torch.float64)


@pytest.fixture
def ratings() -> Tensor:
    return (torch.rand(N_USERS, N_ITEMS, dtype=torch.float64) < 0.2).double()


@pytest.mark.parametrize("reg_weight", [0.3, 20.0])
def test_ease(ratings: Tensor, reg_weight: float) -> None:
    gram = ratings.T @ ratings
    expected = ease(gram, reg_weight)
    torch.testing.assert_close(ease_weights(gram.clone(), reg_weight), expected)
    # Every column solves its own ridge regression without the item itself.
    others = [i for i in range(N_ITEMS) if i != 4]
    x, y = ratings[:, others], ratings[:, 4]
    ridge = torch.linalg.solve(x.T @ x + reg_weight * torch.eye(N_ITEMS - 1).double(), x.T @ y)
    torch.testing.assert_close(expected[others, 4], ridge)


@pytest.mark.parametrize("reg_weight", [0.3, 20.0])
def test_whitened_is_ease_on_features(features: Tensor, reg_weight: float) -> None:
    inverse = whitened_map(features, reg_weight)
    own = quadratic_forms(features, inverse)
    assert bool((own > 0).all() and (own < 1).all())
    weights = features @ inverse @ features.T / (1 - own)
    weights = weights - weights.diagonal().diag()
    torch.testing.assert_close(weights, ease(features @ features.T, reg_weight))


def test_bilinear_is_a_minimiser(features: Tensor, ratings: Tensor) -> None:
    x = ratings @ features
    w = bilinear_map(x, features, torch.zeros(N_ITEMS), 3.0, 0.7).requires_grad_()
    loss = (ratings - x @ w @ features.T).square().sum() + 0.7 * (x @ w).square().sum()
    loss = loss + 3.0 * (w @ features.T).square().sum() + 2.1 * w.square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    assert gradient.abs().max() < 1e-9


def test_identity_features(ratings: Tensor) -> None:
    eye = torch.eye(N_ITEMS, dtype=torch.float64)
    inverse = whitened_map(eye, 2.0)
    # Items share nothing: every weight off the diagonal is 0.
    torch.testing.assert_close(inverse, eye / 3)
    degrees = ratings.sum(dim=0)
    gram = ratings.T @ ratings
    found = ratings @ bilinear_map(ratings, eye, degrees, 3.0, 0.7)
    expected = ratings @ torch.linalg.inv(gram + 3 * eye) @ (gram - degrees.diag()) / 1.7
    torch.testing.assert_close(found, expected)


def test_map_to(features: Tensor) -> None:
    true = torch.randn(WIDTH, 3, dtype=torch.float64)
    table = features @ true
    degrees = torch.randint(0, 5, (N_ITEMS,)).double()
    # Rows of items without interactions are noise and do not count.
    table[degrees == 0] = 1e3
    torch.testing.assert_close(map_to(features, table, degrees, 1e-9), true, rtol=1e-5, atol=1e-7)
    noisy = table + torch.randn_like(table)
    w = map_to(features, noisy, degrees, 0.5).requires_grad_()
    loss = (degrees * (noisy - features @ w).square().sum(dim=1)).sum() + 0.5 * w.square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    assert gradient.abs().max() < 1e-8
