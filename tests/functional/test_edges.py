"""Sparse matrices with differentiable values against dense tables, and drawn edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recbole_painvrl.functional.edges import (
    EdgePattern,
    edge_products,
    edge_softmax,
    propagate_edges,
    row_sums,
    sample_edges,
)

SHAPE = (6, 5)


@pytest.fixture
def dense() -> Tensor:
    """0/1 with an empty row and an empty column."""
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[2] = False
    mask[:, 3] = False
    return mask


@pytest.fixture
def pattern(dense: Tensor) -> EdgePattern:
    rows, columns = dense.nonzero(as_tuple=True)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    return EdgePattern(rows[order], columns[order], SHAPE)


def table(*shape: int) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return values.double().requires_grad_()


def test_products_softmax_and_propagation_equal_dense_tables(
    pattern: EdgePattern, dense: Tensor
) -> None:
    left, right, tables = table(6, 3), table(5, 3), table(5, 4)
    values = edge_softmax(pattern, edge_products(pattern, left, right))
    result = propagate_edges(pattern, values, tables)
    scores = (left @ right.T).masked_fill(~dense, -torch.inf)
    weights = torch.where(dense, scores.softmax(dim=1), 0.0)  # the empty row has none
    torch.testing.assert_close(result, weights @ tables)
    sums = row_sums(pattern, values)
    torch.testing.assert_close(sums, dense.any(dim=1).double())


def test_edges_of_minus_infinity_take_no_part(pattern: EdgePattern, dense: Tensor) -> None:
    """A row with some of them, and one with nothing else; gradients stay finite."""
    left, right = table(6, 3), table(5, 3)
    lacking = (pattern.rows == 0) | (pattern.columns == 1)
    scores = edge_products(pattern, left, right).masked_fill(lacking, -torch.inf)
    weights = edge_softmax(pattern, scores)
    present = dense.clone()
    present[0], present[:, 1] = False, False
    assert not present[0].any() and present.any()
    expected = (left @ right.T).masked_fill(~present, -torch.inf).softmax(dim=1)
    expected = torch.where(present, expected, 0.0)
    torch.testing.assert_close(weights, expected[pattern.rows.long(), pattern.columns.long()])
    sums = torch.zeros(6, dtype=torch.float64).index_add(0, pattern.rows, weights)
    torch.testing.assert_close(sums, present.any(dim=1).double())
    one = torch.autograd.grad((weights * scores.detach().exp()).sum(), [left, right])
    exponentials = (left @ right.T).exp().detach() * present
    other = torch.autograd.grad((expected * exponentials).nansum(), [left, right])
    torch.testing.assert_close(one, other)


def test_large_scores_do_not_overflow(pattern: EdgePattern) -> None:
    scores = torch.full((len(pattern.rows),), 1e4)
    assert edge_softmax(pattern, scores).isfinite().all()
    torch.testing.assert_close(edge_softmax(pattern, scores), edge_softmax(pattern, 0 * scores))


def test_gradients_are_derivatives(pattern: EdgePattern) -> None:
    def network(left: Tensor, right: Tensor, tables: Tensor) -> Tensor:
        values = edge_softmax(pattern, edge_products(pattern, left, right))
        return propagate_edges(pattern, values.relu(), tables)

    assert torch.autograd.gradcheck(network, (table(6, 3), table(5, 3), table(5, 4)))


def test_transpose(pattern: EdgePattern) -> None:
    values, right = table(len(pattern.rows)), table(6, 2)
    direct = pattern.multiply_transposed(values.detach(), right.detach())
    transposed = pattern.transpose()
    again = propagate_edges(transposed, values[pattern.by_column], right)
    torch.testing.assert_close(again, direct)
    assert torch.equal(values[pattern.by_column][transposed.by_column], values)
    for name, tensor in transposed.transpose().named_buffers():
        assert torch.equal(tensor, pattern.get_buffer(name)), name


def test_nothing_kept_for_the_gradient_has_a_row_per_edge() -> None:
    source = torch.Generator().manual_seed(0)
    edges = torch.randint(0, 150, (2, 10_000), generator=source)
    pattern = EdgePattern(edges[0], edges[1], (150, 150))
    left, right = (torch.randn(150, 64, generator=source).requires_grad_() for _ in "lr")
    sizes = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weights = edge_softmax(pattern, edge_products(pattern, left, right))
        propagate_edges(pattern, weights, right)
    assert max(sizes) == 10_000


def test_an_entry_may_occur_more_than_once() -> None:
    rows, columns = torch.tensor([0, 0, 1, 0]), torch.tensor([1, 1, 0, 2])
    pattern = EdgePattern(rows, columns, (2, 3))
    values = torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert pattern.rows.tolist() == [0, 0, 0, 1]
    products = edge_products(pattern, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4], [5]]))
    assert products.tolist() == [4.0, 4.0, 5.0, 6.0]
    result = propagate_edges(pattern, values, torch.eye(3))
    assert result.tolist() == [[0.0, 3.0, 4.0], [8.0, 0.0, 0.0]]


def test_drawn_edges_are_distinct_and_follow_their_weights() -> None:
    source = torch.Generator().manual_seed(3)
    weights = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    first = torch.zeros(4)
    for _ in range(2000):
        drawn = sample_edges(weights, 2, source)
        assert len(set(drawn.tolist())) == 2
        first[drawn] += 1
    # Inclusion probabilities of two draws without replacement, by hand.
    p = weights / weights.sum()
    expected = [
        float(p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i)) for i in range(4)
    ]
    assert (first / 2000).tolist() == pytest.approx(expected, abs=0.04)
    assert sample_edges(weights, 4, source).tolist() == [0, 1, 2, 3]
