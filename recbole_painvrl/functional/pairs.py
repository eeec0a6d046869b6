"""Scores of many (user, item) pairs and sums over them, without a table of all pairs' vectors.

Each of the two functions is the backward of the other for the item vectors. Scores can also be
differentiated by the users' vectors, but only once: in double backwards these are constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Pairs whose gathered item vectors stay in the cache together.
_BLOCK = 4096


def pair_scores(table: Tensor, users: Tensor, rows: Tensor) -> Tensor:
    """``<u_b, table[rows[b, c]]>`` for every part of the table.

    Args:
        table: item vectors, ``[M, parts, k]``.
        users: ``[B, k]``.
        rows: rows of the table, ``[B, C]``.

    Returns:
        ``[B, C, parts]``, differentiable by the table and, once, by the users.
    """
    result: Tensor = _Scores.apply(table, users, rows)  # type: ignore[no-untyped-call]
    return result


def pair_sums(values: Tensor, users: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """``sum of values[b, c, p] u_b`` over the pairs of every row of a table.

    Args:
        values: ``[B, C, parts]``.
        users: ``[B, k]``, constant.
        rows: row of every pair, ``[B, C]``.
        n_rows: M.

    Returns:
        ``[M, parts, k]``, differentiable by the values.
    """
    result: Tensor = _Sums.apply(values, users, rows, n_rows)  # type: ignore[no-untyped-call]
    return result


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, users: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(users, rows, table if ctx.needs_input_grad[1] else None)
        ctx.n_rows = len(table)
        scores = table.new_empty(*rows.shape, table.shape[1])
        for block, vectors in _blocks(table, rows):
            # Several times faster than a product of many small matrices.
            scores[block] = vectors.mul_(users[block, None, None, :]).sum(dim=-1)
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        users, rows, table = ctx.saved_tensors
        by_table = pair_sums(gradient, users, rows, ctx.n_rows)
        if table is None:
            return by_table, None, None
        by_users = torch.empty_like(users)
        for block, vectors in _blocks(table, rows):
            by_users[block] = vectors.mul_(gradient[block].unsqueeze(-1)).sum(dim=(1, 2))
        return by_table, by_users, None


def _blocks(table: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some users at a time, with the vectors of their rows ``[b, C, parts, k]``, a copy."""
    flat, step = table.flatten(1), _step(rows)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        vectors = flat.index_select(0, block.reshape(-1)).view(*block.shape, *table.shape[1:])
        yield slice(start, start + step), vectors


def _step(rows: Tensor) -> int:
    """Users of a block; a GPU gains nothing from blocks."""
    return max(1, _BLOCK // rows.shape[1]) if rows.device.type == "cpu" else max(1, len(rows))


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, users: Tensor, rows: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(users, rows)
        parts, k = values.shape[-1], users.shape[1]
        sums = users.new_zeros(n_rows, parts * k)
        step = _step(rows)
        for start in range(0, len(rows), step):
            block, own = rows[start : start + step], users[start : start + step]
            terms = values[start : start + step].unsqueeze(-1) * own[:, None, None, :]
            sums.index_add_(0, block.reshape(-1), terms.reshape(-1, parts * k))
        return sums.view(n_rows, parts, k)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.needs_input_grad[1]:
            raise NotImplementedError("gradients of gradients by the users' vectors")
        users, rows = ctx.saved_tensors
        return pair_scores(gradient.contiguous(), users, rows), None, None, None
