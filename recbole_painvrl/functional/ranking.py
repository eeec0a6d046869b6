"""NDCG of dot-product scores, for code that has no RecBole model or loader to evaluate."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_ndcg(
    user_vectors: Tensor,
    item_table: Tensor,
    history: tuple[Tensor, Tensor],
    positives: tuple[Tensor, Tensor],
    k: int = 10,
    block: int = 1024,
) -> float:
    """Mean NDCG@k over the users with positives; the ideal has min(k, positives) hits.

    Args:
        user_vectors: ``[n_users, D]``.
        item_table: ``[n_items, D]``; row 0 is padding and never ranked.
        history: (users, items) that are not ranked.
        positives: (users, items) to find.
        k: cut-off.
        block: users scored at a time.
    """
    n_items = len(item_table)
    users, counts = torch.unique(positives[0], return_counts=True)
    k = min(k, n_items)
    discount = 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    ideal = torch.cumsum(discount, 0)[counts.clamp(max=k) - 1]
    keys = torch.unique(positives[0] * n_items + positives[1])
    known = torch.unique(history[0] * n_items + history[1])
    known = known[~torch.isin(known, keys)]
    gained = []
    for chunk in users.split(block):
        scores = user_vectors[chunk] @ item_table.T
        scores[:, 0] = -torch.inf
        row = torch.searchsorted(chunk, known // n_items).clamp(max=len(chunk) - 1)
        inside = chunk[row] == known // n_items
        scores[row[inside], (known % n_items)[inside]] = -torch.inf
        top = scores.topk(k, dim=1).indices
        hits = torch.isin(chunk[:, None] * n_items + top, keys)
        gained.append((hits * discount).sum(dim=1))
    return float((torch.cat(gained) / ideal).mean())
