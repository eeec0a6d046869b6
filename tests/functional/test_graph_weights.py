"""Eq. 6 and 8 by hand on a 4 x 4 example, and against dense matrices on random data.

The example (users u1..u4, items i1..i4; number 0 is padding)::

         i1 i2 i3 i4         G = R^T R   i1 i2 i3 i4    g
    u1    1  1  0  0              i1      3  2  1  0    6
    u2    1  1  1  0              i2      2  2  1  0    5
    u3    1  0  0  0              i3      1  1  1  0    3
    u4    0  0  0  1              i4      0  0  0  1    1
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch

from recbole_painvrl.functional.graph import ItemGraphForm, degree_factors, item_neighbours

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


def test_beta_without_interactions_is_finite() -> None:
    users, items = degree_factors(torch.tensor([0, 3]), torch.tensor([0, 8]))
    assert users.tolist() == pytest.approx([0.0, 2 / 3])
    assert items.tolist() == pytest.approx([1.0, 1 / 3])


def test_omega_of_the_paper_by_hand() -> None:
    """s_ij = G_ij / (g_i - G_ii) * sqrt(g_i / g_j), the diagonal left out."""
    neighbours, weights = item_neighbours(HAND, 2, "paper")
    assert neighbours[1].tolist() == [2, 3]
    assert weights[1].tolist() == pytest.approx([2 / (6 - 3) * sqrt(6 / 5), 1 / 3 * sqrt(6 / 3)])
    assert neighbours[2].tolist() == [1, 3]
    assert weights[2].tolist() == pytest.approx([2 / (5 - 2) * sqrt(5 / 6), 1 / 3 * sqrt(5 / 3)])
    assert neighbours[3].tolist() == [2, 1]
    assert weights[3].tolist() == pytest.approx([1 / (3 - 1) * sqrt(3 / 5), 1 / 2 * sqrt(3 / 6)])
    # i4 co-occurs with nothing: g - G = 0, no neighbour; so has the padding item.
    for lonely in (4, 0):
        assert neighbours[lonely].tolist() == [0, 0]
        assert weights[lonely].tolist() == [0.0, 0.0]


def test_omega_of_the_code_by_hand() -> None:
    """omega_ij = G_ij * sqrt(g_i + 1) / g_i / sqrt(g_j + 1), the diagonal kept."""
    neighbours, weights = item_neighbours(HAND, 2, "code")
    assert neighbours[1].tolist() == [1, 2]
    assert weights[1].tolist() == pytest.approx(
        [3 * sqrt(7) / 6 / sqrt(7), 2 * sqrt(7) / 6 / sqrt(6)]
    )
    assert neighbours[3].tolist() == [3, 2]
    assert weights[3].tolist() == pytest.approx(
        [1 * sqrt(4) / 3 / sqrt(4), 1 * sqrt(4) / 3 / sqrt(6)]
    )
    assert neighbours[4].tolist() == [4, 0]
    assert weights[4].tolist() == pytest.approx([1 * sqrt(2) / 1 / sqrt(2), 0.0])
    assert weights[0].tolist() == [0.0, 0.0]


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
