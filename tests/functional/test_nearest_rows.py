"""Nearest rows, the graphs made of them and users with common items, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.graph import co_users, user_graph
from recbole_painvrl.functional.item_graph import mix_graphs, neighbour_graph
from recbole_painvrl.functional.nearest import nearest_rows


def rows_with_gaps(n: int = 30) -> tuple[Tensor, Tensor]:
    """Rows in float64 with duplicates, and some that do not exist; row 0 is padding."""
    source = torch.Generator().manual_seed(2)
    rows = torch.randn(n, 5, generator=source, dtype=torch.float64)
    rows[0] = 0
    rows[7] = rows[3]
    rows[9] = rows[3]
    present = torch.rand(n, generator=source) > 0.2
    present[[0, 3, 7, 9]] = True
    return rows, present


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("k", [1, 4, 40])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_nearest_rows_pair_by_pair(k: int, include_self: bool, block: int) -> None:
    rows, present = rows_with_gaps()
    # The same bits for duplicates, whatever the block: small integers.
    rows = (rows * 4).round()
    rows[rows.abs().sum(dim=1) == 0, 0] = 1.0
    rows[0] = 0
    indices, cosines = nearest_rows(rows, present, k, include_self, block)
    unit = F.normalize(rows)
    for i in range(len(rows)):
        found = [j for j in range(1, len(rows)) if present[j] and (include_self or j != i)]
        found = found if present[i] and i else []
        found.sort(key=lambda j: (-round(float(unit[i] @ unit[j]), 12), j))
        expected = (found + [-1] * k)[:k]
        got = [round(float(unit[i] @ unit[j]), 12) for j in indices[i].tolist() if j >= 0]
        assert got == [round(float(unit[i] @ unit[j]), 12) for j in expected if j >= 0]
        assert (indices[i] == -1).tolist() == [j == -1 for j in expected]
        torch.testing.assert_close(cosines[i, : len(got)], torch.tensor(got, dtype=rows.dtype))


def test_ties_go_to_the_smaller_index() -> None:
    rows = torch.tensor([[0.0, 0.0], *[[1.0, 0.0]] * 6, [0.0, 1.0]])
    indices, _ = nearest_rows(rows, torch.ones(8, dtype=torch.bool), 3)
    assert indices[1:7].tolist() == [[1, 2, 3]] * 6
    assert indices[7].tolist() == [7, 1, 2]
    assert indices[0].tolist() == [-1, -1, -1]


def dense_graph(indices: Tensor, cosines: Tensor, form: str, norm: str) -> Tensor:
    n = len(indices)
    graph = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j, cosine in zip(indices[i].tolist(), cosines[i].tolist(), strict=True):
            if j >= 0:
                graph[i, j] = 1.0 if form == "binary" else max(cosine, 0.0)
    rows, columns = graph.sum(dim=1), graph.sum(dim=0)
    left, right = {
        "out": (rows**-0.5, rows**-0.5),
        "in_out": (rows**-0.5, columns**-0.5),
        "random_walk": (1 / rows, torch.ones(n, dtype=torch.float64)),
    }[norm]
    left, right = (torch.where(side.isfinite(), side, 0.0) for side in (left, right))
    return left[:, None] * graph * right


@pytest.mark.parametrize("form", ["binary", "cosine"])
@pytest.mark.parametrize("norm", ["out", "in_out", "random_walk"])
def test_graph_entry_by_entry(form: str, norm: str) -> None:
    rows, present = rows_with_gaps()
    indices, cosines = nearest_rows(rows, present, 12)
    graph = neighbour_graph(indices, cosines, form, norm)  # type: ignore[arg-type]
    expected = dense_graph(indices, cosines, form, norm)
    torch.testing.assert_close(torch.from_numpy(graph.toarray()), expected)
    assert (cosines < 0).any(), "negative cosines are part of this test"


def test_mixing_renormalises_over_what_a_row_has() -> None:
    graphs = [sp.csr_matrix(np.full((3, 3), value)) for value in (1.0, 10.0)]
    present = torch.tensor([[True, True], [True, False], [False, False]])
    mixed = mix_graphs(graphs, [1.0, 3.0], present).toarray()
    assert mixed[:, 0].tolist() == [0.25 * 1 + 0.75 * 10, 1.0, 0.0]


@pytest.mark.parametrize(("shape", "density"), [((25, 18), 0.2), ((160, 90), 0.02)])
def test_co_users_against_the_dense_product(shape: tuple[int, int], density: float) -> None:
    rng = np.random.default_rng(4)
    dense = (rng.random(shape) < density).astype(float)
    dense[[0, 11]] = 0
    neighbours, counts = co_users(sp.csr_matrix(dense), 5)
    common = dense @ dense.T
    np.fill_diagonal(common, 0)
    for user in range(shape[0]):
        others = sorted(common[user].nonzero()[0], key=lambda o: (-common[user, o], o))
        expected = [(o, common[user, o]) for o in others[:5]]
        expected += [(0, 0.0)] * (5 - len(expected))
        pairs = zip(neighbours[user].tolist(), counts[user].tolist(), strict=True)
        assert list(pairs) == expected


def test_user_graph_by_hand() -> None:
    """Users 1 and 2 share two items, 1 and 3 one; user 4 shares none."""
    dense = np.zeros((5, 6))
    dense[1, [1, 2, 3, 4]] = dense[2, [1, 2]] = dense[3, 4] = dense[4, 5] = 1
    matrix = sp.csr_matrix(dense)
    neighbours, counts = co_users(matrix, 3)
    # The cosines are 2 / sqrt(4 * 2) and 1 / sqrt(4 * 1).
    cosine = 0.5**0.5 / (0.5**0.5 + 0.5)
    first = {"softmax": np.e / (np.e + 1), "mean": 0.5, "cosine": cosine}
    degrees = torch.from_numpy(dense.sum(axis=1))
    for weights, expected in first.items():
        graph = user_graph(neighbours, counts, degrees, weights)  # type: ignore[arg-type]
        table = graph.toarray()
        np.testing.assert_allclose(table[1], [0, 0, expected, 1 - expected, 0])
        np.testing.assert_allclose(table[2:, 1], [1, 1, 0])
        assert graph.nnz == 4
