"""Sparse matrices with differentiable values: per-edge products, softmax and propagation.

What autograd keeps per edge is a number or an index, never a vector: the gradient of every
function is again one of them.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Numbers gathered at a time: on a CPU they stay in the cache.
_CPU_BLOCK, _GPU_BLOCK = 2**18, 2**22


class EdgePattern(nn.Module):
    """Positions of the entries of a sparse matrix ``[n, m]``, with its transpose.

    Args:
        rows: row of every entry, ``[E]``.
        columns: column of every entry, ``[E]``; an entry may occur more than once.
        shape: ``(n, m)``.

    Attributes:
        rows: rows in ascending order, ``[E]``; values of edges are in this order.
        columns: their columns, ascending within a row.
    """

    rows: Tensor
    columns: Tensor
    row_starts: Tensor
    column_starts: Tensor
    by_column: Tensor

    def __init__(self, rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        self.shape = shape
        order = torch.argsort(rows * shape[1] + columns, stable=True)
        rows, columns = rows[order], columns[order]
        by_column = torch.argsort(columns, stable=True)
        for name, tensor in {
            "rows": rows,
            "columns": columns,
            "row_starts": _starts(rows, shape[0]),
            "column_starts": _starts(columns, shape[1]),
            "by_column": by_column,
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def transpose(self) -> EdgePattern:
        """The pattern of the transposed matrix; ``by_column`` brings values into its order."""
        return EdgePattern(self.columns, self.rows, (self.shape[1], self.shape[0]))

    def multiply(self, values: Tensor, table: Tensor) -> Tensor:
        """The matrix with these values times a table, ``[E], [m, k] -> [n, k]``; no gradient."""
        return _csr(self.row_starts, self.columns, values, self.shape) @ table

    def multiply_transposed(self, values: Tensor, table: Tensor) -> Tensor:
        """The transposed matrix times a table, ``[E], [n, k] -> [m, k]``; no gradient."""
        rows = self.rows[self.by_column]
        shape = (self.shape[1], self.shape[0])
        return _csr(self.column_starts, rows, values[self.by_column], shape) @ table


def edge_products(pattern: EdgePattern, left: Tensor, right: Tensor) -> Tensor:
    """``<x_r, y_c>`` of every edge (r, c): ``[n, k], [m, k] -> [E]``."""
    result: Tensor = _EdgeProducts.apply(pattern, left, right)  # type: ignore[no-untyped-call]
    return result


def edge_softmax(pattern: EdgePattern, scores: Tensor) -> Tensor:
    """Softmax of the scores ``[E]`` over the edges of a row, ``[E]``."""
    highest = scores.new_full((pattern.shape[0],), -torch.inf)
    highest.scatter_reduce_(0, pattern.rows, scores.detach(), "amax")
    weights = (scores - highest[pattern.rows]).exp()
    return weights / row_sums(pattern, weights)[pattern.rows]


def row_sums(pattern: EdgePattern, values: Tensor) -> Tensor:
    """Sum of the values ``[E]`` of every row, ``[n]``."""
    return values.new_zeros(pattern.shape[0]).index_add(0, pattern.rows, values)


def propagate_edges(pattern: EdgePattern, values: Tensor, table: Tensor) -> Tensor:
    """The sparse matrix with these values times a table, ``[E], [m, k] -> [n, k]``."""
    result: Tensor = _Propagate.apply(pattern, values, table)  # type: ignore[no-untyped-call]
    return result


def sample_edges(weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n of the edges without replacement, with probabilities proportional to the weights.

    The n largest keys ``log(u) / w`` with u uniform in (0, 1) (Efraimidis and Spirakis, 2006).
    ``torch.multinomial`` has at most 2^24 categories.

    Args:
        weights: w > 0, ``[E]``.
        n: number to draw, at most E.
        generator: on the device of the weights.

    Returns:
        Indices of the drawn edges, ascending, ``[n]``.
    """
    uniform = torch.rand(
        weights.shape, generator=generator, device=weights.device, dtype=torch.float64
    )
    keys = uniform.clamp_(min=1e-300).log_() / weights
    return keys.topk(n, sorted=False).indices.sort().values


class _EdgeProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: EdgePattern, left: Tensor, right: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(left, right)
        return _dots(pattern, left, right)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        by_left = by_right = None
        if ctx.needs_input_grad[1]:
            by_left = ctx.pattern.multiply(gradient, right)
        if ctx.needs_input_grad[2]:
            by_right = ctx.pattern.multiply_transposed(gradient, left)
        return None, by_left, by_right


class _Propagate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: EdgePattern, values: Tensor, table: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(values, table)
        return pattern.multiply(values, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        values, table = ctx.saved_tensors
        by_values = by_table = None
        if ctx.needs_input_grad[1]:
            by_values = _dots(ctx.pattern, gradient, table)
        if ctx.needs_input_grad[2]:
            by_table = ctx.pattern.multiply_transposed(values, gradient)
        return None, by_values, by_table


def _dots(pattern: EdgePattern, left: Tensor, right: Tensor) -> Tensor:
    result = left.new_empty(len(pattern.rows))
    block = _CPU_BLOCK if left.device.type == "cpu" else _GPU_BLOCK
    step = max(1, block // left.shape[1])
    for start in range(0, len(result), step):
        edges = slice(start, start + step)
        products = left.index_select(0, pattern.rows[edges])
        products.mul_(right.index_select(0, pattern.columns[edges]))
        result[edges] = products.sum(dim=1)
    return result


def _starts(ascending: Tensor, size: int) -> Tensor:
    counts = torch.bincount(ascending, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        # PyTorch calls CSR "beta" once per process; products with dense tables work.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)
