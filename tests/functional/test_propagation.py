"""Sparse propagation against dense matrices, and its backward against autograd's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_painvrl.functional.propagation import (
    GraphNorm,
    Propagation,
    interaction_matrices,
    layer_mean,
    layer_sum_of_one_side,
    ngcf_mean,
    self_loop_matrices,
    spread,
)


def interactions() -> Any:
    rng = np.random.default_rng(0)
    dense = (rng.random((7, 5)) < 0.4).astype(np.float32)
    dense[0], dense[:, 0] = 0, 0
    dense[3] = 0
    return sp.csr_matrix(dense)


def test_product_and_gradient_are_those_of_the_dense_matrix() -> None:
    matrix = interactions()
    matrix.data[:] = np.random.default_rng(1).random(matrix.nnz)
    table = torch.randn(5, 3, requires_grad=True)
    weight = torch.randn(7, 3)
    sparse = Propagation(matrix)(table)
    (by_sparse,) = torch.autograd.grad((sparse * weight).sum(), table)
    dense = torch.from_numpy(matrix.toarray()) @ table
    (by_dense,) = torch.autograd.grad((dense * weight).sum(), table)
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(by_sparse, by_dense)


@pytest.mark.parametrize("norm", ["symmetric", "mean", "row_sqrt"])
def test_norms_by_hand(norm: GraphNorm) -> None:
    matrix = interactions()
    dense = matrix.toarray()
    du, di = dense.sum(axis=1), dense.sum(axis=0)
    to_users, to_items = interaction_matrices(matrix, norm)
    for u in range(7):
        for i in range(5):
            if not dense[u, i]:
                assert to_users[u, i] == to_items[i, u] == 0
                continue
            expected = {
                "symmetric": ((du[u] * di[i]) ** -0.5,) * 2,
                "mean": (1 / du[u], 1 / di[i]),
                "row_sqrt": (du[u] ** -0.5, di[i] ** -0.5),
            }[norm]
            assert (to_users[u, i], to_items[i, u]) == pytest.approx(expected, rel=1e-6)


def test_a_copy_is_independent_and_equal() -> None:
    product = Propagation(interactions())
    other = copy.deepcopy(product).double()
    table = torch.randn(5, 2)
    torch.testing.assert_close(other(table.double()).float(), product(table))
    assert product.matrix.dtype == torch.float32


@pytest.mark.parametrize("loops", [False, True])
def test_layers_of_ngcf_by_hand(loops: bool) -> None:
    """On one dense matrix of users and items; the dropout here doubles."""
    matrix = interactions()
    a = np.zeros((12, 12))
    a[:7, 7:], a[7:, :7] = matrix.toarray(), matrix.toarray().T
    factors = None
    if loops:
        to_users, to_items, *both = self_loop_matrices(matrix)
        factors = both[0].double(), both[1].double()
        a = a + np.eye(12)
        a /= a.sum(axis=1, keepdims=True)
    else:
        to_users, to_items = interaction_matrices(matrix, "symmetric")
        degrees = np.maximum(a.sum(axis=1), 1)
        a = a / np.sqrt(degrees[:, None] * degrees)
    sides = [Propagation(side).double() for side in (to_users, to_items)]
    layers = [(torch.nn.Linear(3, 3).double(), torch.nn.Linear(3, 3).double()) for _ in range(2)]
    e = torch.randn(12, 3, dtype=torch.float64)
    found = ngcf_mean(e[:7], e[7:], sides[0], sides[1], factors, layers, lambda x: 2 * x)
    total = e
    for v, w in layers:
        near = torch.from_numpy(a) @ e
        own, product = near @ v.weight.T + v.bias, (e * near) @ w.weight.T + w.bias
        e = 2 * (torch.maximum(own, 0.01 * own) + torch.maximum(product, 0.01 * product))
        total = total + e / e.norm(dim=1, keepdim=True)
    torch.testing.assert_close(torch.cat(found), total / 3, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_one_side_at_a_time(n_layers: int) -> None:
    to_users, to_items = map(Propagation, interaction_matrices(interactions(), "symmetric"))
    users, items = torch.randn(7, 3), torch.randn(5, 3)
    both = layer_mean(users, items, to_users, to_items, n_layers, "sum")
    for found, expected in zip(
        (
            layer_sum_of_one_side(users, items, to_users, to_items, n_layers),
            layer_sum_of_one_side(items, users, to_items, to_users, n_layers),
        ),
        both,
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
    (own, at_items), (item_ids, at_users) = (
        spread(users, to_items, to_users, n_layers),
        spread(items, to_users, to_items, n_layers),
    )
    for found, expected in zip((own + at_users, at_items + item_ids), both, strict=True):
        torch.testing.assert_close(found, expected / (n_layers + 1))
