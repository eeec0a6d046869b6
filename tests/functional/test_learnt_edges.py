"""Item graphs with a gradient against dense tables."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.item_graph import ItemGraphNorm
from recbole_painvrl.functional.learnt_graph import kept_cosines, merged, multiply, normalise
from recbole_painvrl.functional.nearest import nearest_rows

N, K = 30, 4
PRESENT = torch.arange(N) % 7 > 0


def table(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64).requires_grad_()


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
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_a_graph_by_hand() -> None:
    """Two neighbours with cosine 0.6 and themselves: entries 1 / 1.6 and 0.6 / 1.6."""
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    indices = nearest_rows(rows, torch.tensor([False, True, True, True]), 2)[0]
    graph = merged(normalise([kept_cosines(rows, indices)], "out")).toarray()
    expected = torch.tensor([[0, 0, 0, 0], [0, 1, 0.6, 0], [0, 0.6, 1, 0], [0, 0, 0, 1.6]]) / 1.6
    torch.testing.assert_close(torch.from_numpy(graph), expected)
