"""Eq. 3 to 8: the loss is the literal one, its weights by hand and against dense matrices."""

from __future__ import annotations

from itertools import combinations
from math import log, sqrt

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch
from oracles import literal_loss, random_graph

from recbole_painvrl.functional import ultragcn
from recbole_painvrl.functional.graph import ItemGraphForm, degree_factors, item_neighbours
from recbole_painvrl.functional.ultragcn import (
    Distinct,
    GraphWeights,
    UltraGCNWeights,
    batch_loss,
)

WEIGHTS = UltraGCNWeights(0.7, 0.3, 0.9, 0.2, 1.5, 0.4)
N_USERS, N_ITEMS, WIDTH, BATCH = 11, 17, 5, 6


def repeated(indices: torch.Tensor) -> Distinct:
    """The indices as a GPU has them."""
    return Distinct(indices, torch.arange(len(indices)), torch.ones_like(indices))


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("n_neighbours", [0, 3])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_batch_loss_is_the_literal_loss(
    on_gpu: bool, n_neighbours: int, shared: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = torch.Generator().manual_seed(seed)
    graph = random_graph(N_USERS, N_ITEMS, n_neighbours, source)
    user_table = torch.randn(N_USERS, WIDTH, generator=source, dtype=torch.float64).requires_grad_()
    item_table = torch.randn(N_ITEMS, WIDTH, generator=source, dtype=torch.float64).requires_grad_()
    users = torch.randint(1, 5, (BATCH,), generator=source)  # Some of them repeated.
    positives = torch.randint(1, N_ITEMS, (BATCH,), generator=source)
    shape = (7,) if shared else (BATCH, 4)
    negatives = torch.randint(1, N_ITEMS, shape, generator=source)
    if on_gpu:
        monkeypatch.setattr(Distinct, "of", repeated)
    own = Distinct.of(users)
    found = batch_loss(
        user_table[own.values], item_table, own, positives, negatives, graph, WEIGHTS
    )
    expected = literal_loss(
        lambda u, i: user_table[u] @ item_table[i], users, positives, negatives, graph, WEIGHTS
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    by_table = [torch.autograd.grad(loss, [user_table, item_table]) for loss in (found, expected)]
    torch.testing.assert_close(*by_table, rtol=1e-12, atol=1e-14)


def test_batch_loss_by_hand() -> None:
    """All scores 0: every pair costs log 2 times its weight; sums over positives, means over j."""
    graph = GraphWeights(
        torch.tensor([0.0, 2.0]),
        torch.tensor([0.0, 0.5, 0.25]),
        torch.tensor([[0], [2], [1]]),
        torch.tensor([[0.0], [3.0], [5.0]]),
    )
    users, positives = Distinct.of(torch.tensor([1, 1])), torch.tensor([1, 2])
    loss = batch_loss(
        torch.zeros(1, 4), torch.ones(3, 4), users, positives,
        torch.tensor([[1, 2], [2, 2]]), graph, WEIGHTS,
    )  # fmt: skip
    positive = (0.7 + 0.3 * 2 * 0.5) + (0.7 + 0.3 * 2 * 0.25)
    first, second = 0.9 + 0.2 * 2 * 0.5, 0.9 + 0.2 * 2 * 0.25
    negative = 1.5 * ((first + second) / 2 + (second + second) / 2)
    item_item = 0.4 * (3 + 5)
    assert loss.item() == pytest.approx((positive + negative + item_item) * log(2))


def test_counting_the_draws_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product with all items, each weighted by its draws: the same loss and gradients."""
    source = torch.Generator().manual_seed(3)
    graph = random_graph(N_USERS, N_ITEMS, 3, source)
    users = Distinct.of(torch.randint(4, 6, (BATCH,), generator=source))
    positives = torch.randint(1, N_ITEMS, (BATCH,), generator=source)
    negatives = torch.randint(1, N_ITEMS, (6, BATCH), generator=source).T
    vectors = torch.randn(2, WIDTH, dtype=torch.float64).requires_grad_()
    table = torch.randn(N_ITEMS, WIDTH, dtype=torch.float64).requires_grad_()
    found = []
    for limit in (0, N_ITEMS):
        monkeypatch.setattr(ultragcn, "_DENSE_BELOW", limit)
        loss = batch_loss(vectors, table, users, positives, negatives, graph, WEIGHTS)
        found.append([loss, *torch.autograd.grad(loss, [vectors, table])])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("positive", (9,)), ("negative", (9, 4)), ("item_item", (9, 3))],
)
def test_score_gradients_are_derivatives(kind: str, shape: tuple[int, ...]) -> None:
    loss = getattr(ultragcn, f"{kind}_loss")
    gradient = getattr(ultragcn, f"{kind}_score_gradient")
    scores = (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    edge = torch.rand(shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(loss(scores, edge, WEIGHTS), scores, create_graph=True)
    found = gradient(scores, edge, WEIGHTS)
    torch.testing.assert_close(found, expected)
    # The score gradient must be differentiable itself: L_IRM differentiates it once more.
    second = torch.autograd.grad(expected.square().sum(), scores)
    again = torch.autograd.grad(found.square().sum(), scores)
    torch.testing.assert_close(again, second)


def test_extreme_scores_stay_finite_and_sums_are_not_rounded() -> None:
    """In bfloat16 a sum of 512 losses would have 8 binary digits."""
    scores = torch.tensor([1e4, -1e4, 0.0])
    edge = torch.ones(3)
    assert ultragcn.positive_loss(scores, edge, WEIGHTS).isfinite()
    assert ultragcn.negative_loss(scores[:, None], edge[:, None], WEIGHTS).isfinite()
    assert ultragcn.positive_score_gradient(scores, edge, WEIGHTS).isfinite().all()
    scores = torch.zeros(2, 512, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ones = torch.ones(2), torch.ones(512)
        loss = ultragcn.shared_negative_loss(scores, *ones, *ones, WEIGHTS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2 * 1.5 * 1.1 * log(2), rel=1e-5)


def test_weights_of_the_paper() -> None:
    assert UltraGCNWeights.from_paper(1e-4, 1e-2) == UltraGCNWeights(1, 1e-4, 1, 1e-4, 1, 1e-2)


HAND = sp.csr_matrix(
    [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1],
    ]
)


def test_beta_by_hand() -> None:
    """beta_ui = 1 / d_u * sqrt((d_u + 1) / (d_i + 1))."""
    user_degree = torch.from_numpy(HAND.getnnz(axis=1).astype(np.int64))
    item_degree = torch.from_numpy(HAND.getnnz(axis=0).astype(np.int64))
    users, items = degree_factors(user_degree, item_degree)
    beta = users[:, None] * items
    assert beta[1, 1].item() == pytest.approx(1 / 2 * sqrt(3 / 4))
    assert beta[2, 3].item() == pytest.approx(1 / 3 * sqrt(4 / 2))
    assert beta[3, 1].item() == pytest.approx(1 / 1 * sqrt(2 / 4))
    assert beta[4, 4].item() == pytest.approx(1 / 1 * sqrt(2 / 2))
    # u1 never had i4: negatives are weighted, too.
    assert beta[1, 4].item() == pytest.approx(1 / 2 * sqrt(3 / 2))
    users, items = degree_factors(torch.tensor([0, 3]), torch.tensor([0, 8]))
    assert users.tolist() == pytest.approx([0.0, 2 / 3])
    assert items.tolist() == pytest.approx([1.0, 1 / 3])


def test_ties_go_to_the_smaller_item_number() -> None:
    """Every two of five items have one user in common: all weights are equal."""
    pairs = [
        (user, item) for user, both in enumerate(combinations(range(1, 6), 2)) for item in both
    ]
    users, items = zip(*pairs, strict=True)
    matrix = sp.csr_matrix((np.ones(len(pairs)), (users, items)), shape=(10, 6))
    neighbours, weights = item_neighbours(matrix, 2, "paper")
    assert neighbours[1:].tolist() == [[2, 3], [1, 3], [1, 2], [1, 2], [1, 2]]
    assert weights[1:].flatten().tolist() == pytest.approx([1 / 4] * 10)


def dense_omega(matrix: sp.csr_matrix, form: ItemGraphForm) -> npt.NDArray[np.float64]:
    """The formulas entry by entry on the dense G; 0 where they divide by 0."""
    dense = matrix.toarray().astype(np.float64)
    gram = dense.T @ dense
    totals = gram.sum(axis=1)
    omega = np.zeros_like(gram)
    for i, j in zip(*np.nonzero(gram), strict=True):
        if form == "code":
            omega[i, j] = gram[i, j] * sqrt(totals[i] + 1) / totals[i] / sqrt(totals[j] + 1)
        elif i != j:
            omega[i, j] = gram[i, j] / (totals[i] - gram[i, i]) * sqrt(totals[i] / totals[j])
    return omega


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("seed", range(4))
def test_neighbours_against_dense_matrices(form: ItemGraphForm, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = (rng.random((30, 21)) < rng.uniform(0.02, 0.3)).astype(np.float64)
    dense[0], dense[:, 0] = 0, 0
    matrix, n_neighbours = sp.csr_matrix(dense), 4
    omega = dense_omega(matrix, form)
    # Small blocks, so that the rows of one result come from several of them.
    neighbours, weights = item_neighbours(matrix, n_neighbours, form, block_rows=7)
    assert neighbours.dtype == torch.int64
    assert weights.isfinite().all()
    for item in range(21):
        order = sorted(range(21), key=lambda j: (-omega[item, j], j))[:n_neighbours]
        expected = [omega[item, j] for j in order]
        np.testing.assert_allclose(weights[item].numpy(), expected, rtol=1e-6)
        for j, weight in zip(neighbours[item].tolist(), weights[item].tolist(), strict=True):
            assert weight == pytest.approx(omega[item, j], rel=1e-6)
            assert j > 0 or weight == 0.0
        if form == "paper":
            assert item not in neighbours[item][weights[item] > 0]
    again = item_neighbours(matrix, n_neighbours, form)
    assert torch.equal(neighbours, again[0])
