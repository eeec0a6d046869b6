"""Most similar unseen items of users, without a users x items matrix."""

from __future__ import annotations

import torch
from torch import Tensor

# Scores computed at a time.
_BLOCK = 2**24


def nearest_items(
    users: Tensor, items: Tensor, rows: Tensor, columns: Tensor, k: int, block: int = _BLOCK
) -> Tensor:
    """Top-k of every row of ``(U I^T) (.) (1 - R)``, blocks of rows at a time.

    Seen items count as similarity 0 and item 0, the padding, never comes up.

    Args:
        users: U, ``[B, d]``.
        items: I of all items, row 0 padding, ``[n_items, d]``.
        rows: row of U of every seen pair, ascending, ``[p]``.
        columns: item of every seen pair, ``[p]``.
        k: how many, below n_items.
        block: most scores held at once (one row at least).

    Returns:
        Item numbers, most similar first, ``[B, k]``.
    """
    size = max(1, block // len(items))
    starts = torch.arange(0, len(users), size, device=rows.device)
    bounds = [*torch.searchsorted(rows, starts).tolist(), len(rows)]
    found = []
    for number, start in enumerate(range(0, len(users), size)):
        scores = users[start : start + size] @ items.T
        pairs = slice(bounds[number], bounds[number + 1])
        scores[rows[pairs] - start, columns[pairs]] = 0.0
        scores[:, 0] = -torch.inf
        found.append(scores.topk(k, dim=1).indices)
    return torch.cat(found)
