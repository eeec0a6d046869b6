"""The best k of every row, with ties in a fixed order, a block of users at a time."""

from __future__ import annotations

import torch
from torch import Tensor

# Scores held at a time: 16 MB in float32.
_BLOCK_SCORES = 1 << 22


def block_size(n_items: int) -> int:
    """Users that are scored at a time, so that memory does not grow with their number."""
    return max(1, _BLOCK_SCORES // max(1, n_items))


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of every row, descending; among equal scores the first column wins.

    Args:
        scores: ``[B, n]``; -inf marks what is not to be ranked.
        k: at least 1; at most n are returned.

    Returns:
        ``(values [B, k], columns [B, k])``.
    """
    k = min(k, scores.shape[1])
    values, columns = torch.topk(scores, k, dim=1)
    # topk leaves open which of several equal scores it takes, and in which order.
    columns, order = columns.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    at_least = (scores >= values[:, -1:]).sum(dim=1)
    for row in torch.nonzero(at_least > k).flatten().tolist():
        ranked, places = scores[row].sort(descending=True, stable=True)
        values[row], columns[row] = ranked[:k], places[:k]
    return values, columns
