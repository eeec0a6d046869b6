"""Scores of many (user, item) pairs and sums over them, without a table of all pairs' vectors.

The two are each other's backward. Only the item side is differentiated: the users' vectors are
constants wherever these are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Pairs whose gathered item vectors stay in the cache together.
_BLOCK = 4096


def pair_scores(table: Tensor, users: Tensor, rows: Tensor) -> Tensor:
    """``<u_b, table[rows[b, c]]>`` for every part of the table.

    Args:
        table: item vectors, ``[M, parts, k]``.
        users: ``[B, k]``, constant.
        rows: rows of the table, ``[B, C]``.

    Returns:
        ``[B, C, parts]``, differentiable by the table.
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
        ctx.save_for_backward(users, rows)
        ctx.n_rows = len(table)
        _, parts, k = table.shape
        scores = table.new_empty(*rows.shape, parts)
        flat = table.reshape(len(table), parts * k)
        step = max(1, _BLOCK // rows.shape[1])
        for start in range(0, len(rows), step):
            block, own = rows[start : start + step], users[start : start + step]
            vectors = flat.index_select(0, block.reshape(-1)).view(*block.shape, parts, k)
            # Several times faster than a product of many small matrices.
            scores[start : start + step] = vectors.mul_(own[:, None, None, :]).sum(dim=-1)
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        users, rows = ctx.saved_tensors
        return pair_sums(gradient, users, rows, ctx.n_rows), None, None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, users: Tensor, rows: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(users, rows)
        parts, k = values.shape[-1], users.shape[1]
        sums = users.new_zeros(n_rows, parts * k)
        step = max(1, _BLOCK // rows.shape[1])
        for start in range(0, len(rows), step):
            block, own = rows[start : start + step], users[start : start + step]
            terms = values[start : start + step].unsqueeze(-1) * own[:, None, None, :]
            sums.index_add_(0, block.reshape(-1), terms.reshape(-1, parts * k))
        return sums.view(n_rows, parts, k)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        users, rows = ctx.saved_tensors
        return pair_scores(gradient.contiguous(), users, rows), None, None, None
