"""Sparse products against dense matrices: propagation, hypergraphs, rows of length 1."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from oracles import table

from recbole_painvrl.functional.hypergraph import (
    hyperedge_vectors,
    hypergraph_contrast,
    memberships,
)
from recbole_painvrl.functional.propagation import (
    GraphNorm,
    Propagation,
    interaction_matrices,
    layer_mean,
    layer_sum_of_one_side,
    spread,
)
from recbole_painvrl.functional.rows import unit_rows


def test_unit_rows() -> None:
    """Values and gradients are those of ``normalize``, and a zero row has none."""
    table = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit_rows(table), F.normalize(table))
    assert torch.autograd.gradcheck(unit_rows, (table,))
    table = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = unit_rows(table)
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    unit.backward(torch.ones(2, 2))
    assert table.grad[0].tolist() == [0.0, 0.0]
    torch.testing.assert_close(table.grad[1], torch.tensor([4.0, -3.0]) / 125)


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


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_one_side_at_a_time(n_layers: int) -> None:
    to_users, to_items = map(Propagation, interaction_matrices(interactions(), "symmetric"))
    users, items = torch.randn(7, 3), torch.randn(5, 3)
    both = layer_mean(users, items, to_users, to_items, n_layers, "sum")
    torch.testing.assert_close(
        (
            layer_sum_of_one_side(users, items, to_users, to_items, n_layers),
            layer_sum_of_one_side(items, users, to_items, to_users, n_layers),
        ),
        both,
    )
    (own, at_items), (item_ids, at_users) = (
        spread(users, to_items, to_users, n_layers),
        spread(items, to_users, to_items, n_layers),
    )
    for found, expected in zip((own + at_users, at_items + item_ids), both, strict=True):
        torch.testing.assert_close(found, expected / (n_layers + 1))


def test_memberships() -> None:
    """They add up to one, and denormal numbers are zero."""
    logits = table(7, 3)
    torch.testing.assert_close(memberships(logits, 0.5), (logits / 0.5).softmax(dim=1))
    noisy = memberships(logits, 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(noisy.sum(dim=1), torch.ones(7, dtype=torch.float64))
    assert not torch.allclose(noisy, memberships(logits, 0.5))
    dropped = memberships(logits, 0.5, torch.Generator().manual_seed(1), rate=0.5)
    kept = dropped > 0
    assert 0 < int(kept.sum()) < kept.numel()
    # The noise is drawn before the dropout.
    torch.testing.assert_close(dropped[kept], 2 * noisy[kept])
    members = memberships(torch.tensor([[0.0, -9.0, -19.0]]), 0.2)
    assert members[0, 1:].tolist() == [0.0, 0.0]


def test_noise_is_gumbel() -> None:
    """The nearest to hard memberships follow the softmax of the logits."""
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20000, 3)
    chosen = memberships(logits, 0.01, torch.Generator().manual_seed(1)).argmax(dim=1)
    frequencies = torch.bincount(chosen, minlength=3) / 20000
    torch.testing.assert_close(frequencies, logits[0].softmax(dim=0), rtol=0, atol=0.01)


@pytest.mark.parametrize("n_layers", [5, 12, 60])
def test_many_rounds_over_large_hyperedges(n_layers: int) -> None:
    """In float32 the directions and the relative lengths are those of numbers without limits."""
    source = torch.Generator().manual_seed(0)
    members = [torch.rand(4000, 3, generator=source).softmax(dim=1) for _ in range(2)]
    # The second overlaps more, so that its vectors grow by more.
    members[1] = torch.cat([members[1][:, :1] + members[1][:, 1:2], members[1][:, 2:]], dim=1)
    x = torch.rand(4000, 4, generator=source).requires_grad_()
    found = hyperedge_vectors(members, x, n_layers)
    exact, logs = [], []
    for one in members:
        h = one[1:].double()
        vectors, log = h.T @ x[1:].detach().double(), 0.0
        for _ in range(n_layers - 1):
            vectors = h.T @ (h @ vectors)
            log += float(vectors.abs().max().log())
            vectors = vectors / vectors.abs().max()
        exact.append(F.normalize(vectors.flatten(), dim=0))
        logs.append(log + float(vectors.norm().log()))
    for vectors, direction in zip(found, exact, strict=True):
        assert torch.isfinite(vectors.square()).all()
        unit = F.normalize(vectors.detach().double().flatten(), dim=0)
        torch.testing.assert_close(unit, direction, rtol=1e-4, atol=1e-5)
    ratio = float(found[0].detach().double().norm().log() - found[1].detach().double().norm().log())
    assert (
        ratio == pytest.approx(logs[0] - logs[1], abs=1e-3) or min(ratio, logs[0] - logs[1]) < -20
    )
    parts = [F.normalize(one @ t)[:, 0].sum() for one, t in zip(members, found, strict=True)]
    loss = torch.stack(parts).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert torch.isfinite(gradient).all() and gradient.any()


def test_few_rounds_are_left_alone() -> None:
    """Bit by bit, where the squares are in range."""
    members, x = table(50, 3).float(), table(50, 4, seed=1).float()
    overlap = members[1:].T @ members[1:]
    (found,) = hyperedge_vectors([members], x, 3)
    assert torch.equal(found, overlap @ (overlap @ (members[1:].T @ x[1:])))


def test_contrast_against_dense_vectors() -> None:
    """Factors against vectors of all nodes, with repeated nodes and a node in no hyperedge."""
    shapes = ((9, 3), (3, 5), (9, 4), (4, 5))
    tables = [table(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    with torch.no_grad():
        tables[0][2] = 0
    h_one, t_one, h_other, t_other = tables
    nodes, counts = torch.tensor([1, 2, 5, 8]), torch.tensor([2, 1, 1, 3])
    loss = hypergraph_contrast((h_one, t_one), (h_other, t_other), nodes, 0.3, counts)
    rows = nodes.repeat_interleave(counts)
    cosines = F.normalize(h_one @ t_one)[rows] @ F.normalize(h_other @ t_other)[1:].T / 0.3
    by_hand = (cosines.logsumexp(dim=1) - cosines.gather(1, rows[:, None] - 1)[:, 0]).mean()
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(
        torch.autograd.grad(loss, tables[1:]), torch.autograd.grad(by_hand, tables[1:])
    )
    gradient = torch.autograd.grad(
        hypergraph_contrast((h_one, t_one), (h_other, t_other), nodes, 0.3), tables
    )
    assert all(torch.isfinite(g).all() for g in gradient)
