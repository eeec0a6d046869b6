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

from recbole_painvrl.functional.precision import full_precision


class EdgePattern(nn.Module):
    """Positions of the entries of a sparse matrix ``[n, m]``, with its transpose.

    Args:
        rows: row of every entry, ``[E]``.
        columns: column of every entry, ``[E]``; an entry may occur more than once.
        shape: ``(n, m)``.

    Attributes:
        rows: rows in ascending order, ``[E]`` int32; values of edges are in this order.
        columns: their columns, ascending within a row, ``[E]`` int32.
        row_starts: where the entries of a row begin, ``[n + 1]`` int32.
        by_column: order of the transpose, ``[E]``: ``values[by_column]`` are the values there.
        by_row: its inverse, from the transpose's order to this one, ``[E]``.
    """

    rows: Tensor
    columns: Tensor
    row_starts: Tensor
    column_starts: Tensor
    by_column: Tensor
    by_row: Tensor
    rows_by_column: Tensor
    columns_by_column: Tensor

    def __init__(self, rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        self.shape = shape
        order = torch.argsort(rows * shape[1] + columns, stable=True)
        rows, columns = rows[order], columns[order]
        by_column = torch.argsort(columns, stable=True)
        self._keep(
            # 32 bits are what the sparse products work with.
            rows=rows.int(),
            columns=columns.int(),
            row_starts=_starts(rows, shape[0]),
            column_starts=_starts(columns, shape[1]),
            by_column=by_column,
            by_row=torch.argsort(by_column),
            rows_by_column=rows[by_column].int(),
            columns_by_column=columns[by_column].int(),
        )

    def _keep(self, **buffers: Tensor) -> None:
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def transpose(self) -> EdgePattern:
        """The pattern of the transposed matrix; ``by_column`` brings values into its order."""
        other = EdgePattern.__new__(EdgePattern)
        nn.Module.__init__(other)
        other.shape = (self.shape[1], self.shape[0])
        other._keep(
            rows=self.columns_by_column,
            columns=self.rows_by_column,
            row_starts=self.column_starts,
            column_starts=self.row_starts,
            by_column=self.by_row,
            by_row=self.by_column,
            rows_by_column=self.columns,
            columns_by_column=self.rows,
        )
        return other

    def multiply(self, values: Tensor, table: Tensor) -> Tensor:
        """The matrix with these values times a table, ``[E], [m, k] -> [n, k]``; no gradient."""
        return csr_tensor(self.row_starts, self.columns, values, self.shape) @ table

    def multiply_transposed(self, values: Tensor, table: Tensor) -> Tensor:
        """The transposed matrix times a table, ``[E], [n, k] -> [m, k]``; no gradient."""
        values = values.index_select(0, self.by_column)
        shape = (self.shape[1], self.shape[0])
        return csr_tensor(self.column_starts, self.rows_by_column, values, shape) @ table

    def dots(self, left: Tensor, right: Tensor) -> Tensor:
        """``<x_r, y_c>`` of every edge, ``[n, k], [m, k] -> [E]``; no gradient."""
        zeros = left.new_zeros(len(self.columns))
        entries = csr_tensor(self.row_starts, self.columns, zeros, self.shape)
        left, right = left.contiguous(), right.contiguous()
        products: Tensor = torch.sparse.sampled_addmm(entries, left, right.T, beta=0.0)
        return products.values()


@full_precision
def edge_products(pattern: EdgePattern, left: Tensor, right: Tensor) -> Tensor:
    """``<x_r, y_c>`` of every edge (r, c): ``[n, k], [m, k] -> [E]``."""
    result: Tensor = _EdgeProducts.apply(pattern, left, right)  # type: ignore[no-untyped-call]
    return result


@full_precision
def edge_softmax(pattern: EdgePattern, scores: Tensor) -> Tensor:
    """Softmax of the scores ``[E]`` over the edges of a row, ``[E]``.

    An edge with score ``-inf`` takes no part and has weight 0, also where a row has no others.
    """
    result: Tensor = _EdgeSoftmax.apply(pattern, scores)  # type: ignore[no-untyped-call]
    return result


def row_sums(pattern: EdgePattern, values: Tensor) -> Tensor:
    """Sum of the values ``[E]`` of every row, ``[n]``."""
    return propagate_edges(pattern, values, values.new_ones(pattern.shape[1], 1)).squeeze(1)


@full_precision
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
        return pattern.dots(left, right)

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


class _EdgeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: EdgePattern, scores: Tensor) -> Tensor:
        rows, limits = pattern.rows, torch.finfo(scores.dtype)
        # The limits stand in for rows without edges and rows of -inf.
        highest = _reduced(pattern, scores, "max").clamp_(min=limits.min)
        weights = scores.sub(highest.index_select(0, rows)).exp_()
        sums = _reduced(pattern, weights, "sum").clamp_(min=limits.tiny)
        weights.div_(sums.index_select(0, rows))
        ctx.pattern = pattern
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (weights,) = ctx.saved_tensors
        by_scores = weights * gradient
        sums = _reduced(ctx.pattern, by_scores, "sum")
        return None, by_scores.sub_(weights * sums.index_select(0, ctx.pattern.rows))


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
            by_values = ctx.pattern.dots(gradient, table)
        if ctx.needs_input_grad[2]:
            by_table = ctx.pattern.multiply_transposed(values, gradient)
        return None, by_values, by_table


def _reduced(pattern: EdgePattern, values: Tensor, reduce: str) -> Tensor:
    """Maximum or sum of the values of every row, ``[n]``; -inf and 0 for a row without edges."""
    return torch.segment_reduce(values, reduce, offsets=pattern.row_starts, unsafe=True)


def _starts(ascending: Tensor, size: int) -> Tensor:
    counts = torch.bincount(ascending, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()


def csr_tensor(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse matrix in CSR; the columns of a row ascend, which is not checked."""
    with warnings.catch_warnings():
        # PyTorch calls CSR "beta" once per process; products with dense tables work.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)
