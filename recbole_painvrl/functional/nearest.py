"""Most similar items of users and of items, without a matrix of all pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.precision import full_precision

# Scores computed at a time; on a CPU the rows of a search by cosine stay near the cache.
_BLOCK, _CPU_BLOCK = 2**24, 2**22


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


@full_precision
def nearest_rows(
    rows: Tensor, present: Tensor, k: int, include_self: bool = True, block: int | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of every row by cosine, exactly, in blocks of rows.

    The cosines of rows in half precision are computed in single precision, too.

    Args:
        rows: X, ``[n, d]``; row 0 is padding and is nobody's neighbour.
        present: which rows exist, ``[n]`` bool; the others have no neighbours and are nobody's.
        k: number of neighbours, the row itself included if ``include_self``.
        include_self: whether a row, which has cosine 1 with itself, is its own neighbour. Of more
            than k equal rows only the first k are neighbours, of themselves and of the others.
        block: largest number of cosines held at once (one row at least); None for the default.

    Returns:
        ``(indices [n, k] int64, cosines [n, k])``, nearest first, ties by the smaller index; index
        -1 and cosine 0 where there is no further neighbour.
    """
    n = len(rows)
    candidates = present.clone()
    candidates[0] = False
    pool = candidates.nonzero().squeeze(1)
    unit = F.normalize(rows[pool])
    indices = torch.full((n, k), -1, dtype=torch.long, device=rows.device)
    cosines = rows.new_zeros(n, k)
    n_found = min(k, len(pool) - (0 if include_self else 1))
    if n_found < 1:
        return indices, cosines
    if block is None:
        block = min(_BLOCK, _CPU_BLOCK) if rows.device.type == "cpu" else _BLOCK
    step = max(1, block // len(pool))
    for start in range(0, len(pool), step):
        table = unit[start : start + step] @ unit.T
        if not include_self:
            table.diagonal(start).fill_(-torch.inf)
        values, found = _largest(table, n_found)
        here = pool[start : start + step]
        indices[here, :n_found] = pool[found]
        cosines[here, :n_found] = values
    return indices, cosines


def _largest(table: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top k of every row, ties by the smaller column; ``topk`` leaves their order open."""
    values, columns = table.topk(min(k + 1, table.shape[1]), dim=1)
    # The value after the k-th shows whether the k-th has ties outside the top k.
    tied = (values[:, k - 1 : k] == values[:, k:]).nonzero()[:, 0]
    columns = columns[:, :k]
    if len(tied):
        columns[tied] = table[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    columns = columns.sort(dim=1).values
    values, order = table.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
