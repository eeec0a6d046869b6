"""Nearest rows and the graphs made of them, with and without a gradient, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from oracles import table
from torch import Tensor

from recbole_painvrl.functional.graph import co_users, user_graph
from recbole_painvrl.functional.item_graph import ItemGraphNorm, mix_graphs, neighbour_graph
from recbole_painvrl.functional.learnt_graph import kept_cosines, merged, multiply, normalise
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


def dense_graph(indices: Tensor, cosines: Tensor, form: str, norm: str) -> Tensor:
    n = len(indices)
    graph = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j, cosine in zip(indices[i].tolist(), cosines[i].tolist(), strict=True):
            if j >= 0:
                graph[i, j] = 1.0 if form == "binary" else max(cosine, 0.0)
    return dense_normalised(graph, norm)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("include_self", [True, False])
def test_neighbours_are_those_of_a_stable_sort(k: int, include_self: bool) -> None:
    """Rows in groups of 1 to 9 along one axis each: all cosines are exactly 0 or 1."""
    source = torch.Generator().manual_seed(5)
    group = torch.repeat_interleave(torch.arange(36), torch.arange(1, 10).repeat(4))
    n = len(group)
    group = group[torch.randperm(n, generator=source)]
    rows = 2.0 * torch.eye(36)[group]
    present = torch.rand(n, generator=source) > 0.1
    indices, cosines = nearest_rows(rows, present, k, include_self, block=700)
    for i in range(n):
        others = [j for j in range(1, n) if present[j] and (include_self or j != i)]
        others.sort(key=lambda j: (int(group[j] != group[i]), j))
        expected = others[:k] if present[i] and i else [-1] * k
        assert indices[i].tolist() == expected
        equal = [float(j >= 0 and group[j] == group[i]) for j in expected]
        assert cosines[i].tolist() == equal


N, K = 30, 4
PRESENT = torch.arange(N) % 7 > 0


def dense(rows: Tensor, indices: Tensor) -> Tensor:
    """Cosines of the given neighbours, negative ones 0."""
    unit = F.normalize(rows)
    kept = torch.zeros(N, N, dtype=rows.dtype)
    for i in range(N):
        kept[i, indices[i][indices[i] >= 0]] = 1
    return kept * (unit @ unit.T).clamp(min=0)


def dense_normalised(graph: Tensor, norm: ItemGraphNorm) -> Tensor:
    """The definition in ``neighbour_graph``."""
    rows, columns = graph.sum(dim=1), graph.sum(dim=0)
    powers = {"out": (rows, rows), "in_out": (rows, columns), "random_walk": (rows.square(),) * 2}
    left, right = powers[norm]
    if norm == "random_walk":
        right = torch.ones_like(rows)
    left, right = (torch.where(one > 0, one.clamp(min=1e-9) ** -0.5, 0.0) for one in (left, right))
    return left[:, None] * graph * right


@pytest.mark.parametrize("norm", ["out", "in_out", "random_walk"])
@pytest.mark.parametrize("k", [K, N])
def test_products_and_gradients_equal_dense_formulas(norm: ItemGraphNorm, k: int) -> None:
    """Of the normalised sum of two graphs; with k of all rows nothing is cut off but below 0."""
    one, two, right = table(N, 5), table(N, 3, seed=1), table(N, 2, seed=2)
    indices = [nearest_rows(rows.detach(), PRESENT, k)[0] for rows in (one, two)]
    weights = table(N, seed=3).detach().abs()
    parts = [kept_cosines(rows, found) for rows, found in zip((one, two), indices, strict=True)]
    weighted = [(p, weights[p.rows] * values) for p, values in parts]
    normalised = normalise(weighted, norm)
    product = multiply(normalised, right)
    whole = weights[:, None] * (dense(one, indices[0]) + dense(two, indices[1]))
    expected = dense_normalised(whole, norm)
    torch.testing.assert_close(product, expected @ right)
    torch.testing.assert_close(torch.from_numpy(merged(normalised).toarray()), expected)
    results = [
        torch.autograd.grad(value.square().sum(), [one, two, right])
        for value in (product, expected @ right)
    ]
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second)
        assert first.any()


def test_a_row_of_zeros_has_a_finite_gradient() -> None:
    rows = table(N, 3).detach()
    rows[3] = 0
    rows.requires_grad_()
    indices = nearest_rows(rows.detach(), PRESENT, K)[0]
    product = multiply(normalise([kept_cosines(rows, indices)], "out"), table(N, 2, seed=1))
    assert not product[3].any()
    product.square().sum().backward()
    assert rows.grad.isfinite().all()


def test_half_precision_finds_the_neighbours_of_the_same_rows_in_single_precision() -> None:
    """In bfloat16 the cosines of similar rows are equal, and a row is not always its own first."""
    source = torch.Generator().manual_seed(0)
    rows = (torch.randn(300, 8, generator=source) * 0.1 + 0.3).bfloat16()
    present = torch.ones(len(rows), dtype=torch.bool)
    exact = nearest_rows(rows.float(), present, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest_rows(rows, present, 10)
        of_single = nearest_rows(rows.float(), present, 10)
    for indices, cosines in (found, of_single):
        assert torch.equal(indices, exact[0])
        assert torch.equal(cosines, exact[1])
