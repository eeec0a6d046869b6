"""Weights of the user-item graph (Eq. 6), the item-item graph (Eq. 8) and the user-user graph."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ItemGraphForm = Literal["paper", "code"]
UserWeights = Literal["softmax", "mean", "cosine"]


def degree_factors(user_degree: Tensor, item_degree: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of Eq. 6: ``v_ui = user_factor[u] * item_factor[i]``.

    ``v_ui = (1 / d_u) sqrt((d_u + 1) / (d_i + 1))``, which is UltraGCN's beta.

    Args:
        user_degree: interactions per user in the training set, ``[n_users]``.
        item_degree: interactions per item in the training set, ``[n_items]``.

    Returns:
        ``(user_factor [n_users], item_factor [n_items])`` in float32.

    Deviations:
        A user of degree 0 gets factor 0 where Eq. 6 divides by zero.
    """
    user_degree = user_degree.to(torch.float64)
    item_degree = item_degree.to(torch.float64)
    user_factor = torch.where(
        user_degree > 0, (user_degree + 1).sqrt() / user_degree.clamp(min=1), 0.0
    )
    item_factor = 1 / (item_degree + 1).sqrt()
    return user_factor.float(), item_factor.float()


def item_neighbours(
    interactions: sp.csr_matrix,
    n_neighbours: int,
    form: ItemGraphForm = "paper",
    block_rows: int = 1024,
) -> tuple[Tensor, Tensor]:
    """Strongest neighbours ``S(i)`` of every item and their weights ``s_ij`` (Eq. 7, 8).

    ``paper``: ``s_ij = G_ij / (g_i - G_ii) * sqrt(g_i / g_j)``, without the diagonal.
    ``code`` (UltraGCN's release): ``G_ij * sqrt(g_i + 1) / g_i / sqrt(g_j + 1)`` with it.

    Args:
        interactions: binary ``[n_users, n_items]`` training matrix; column 0 is padding.
        n_neighbours: K of Eq. 7.
        form: which of the two formulas.
        block_rows: rows of ``G = R^T R`` made at a time; memory is ``block_rows * n_items``.

    Returns:
        ``(neighbours [n_items, K] int64, weights [n_items, K] float32)``; item 0 with weight 0
        where there is no further neighbour.

    Deviations:
        ``g_i`` sums over all items; the paper's ``sum_{k=1}^{K}`` re-uses the name K.
    """
    n_items = interactions.shape[1]
    if n_neighbours == 0:
        return torch.zeros(n_items, 0, dtype=torch.long), torch.zeros(n_items, 0)
    matrix = interactions.astype(np.float64).tocsr()
    transposed = matrix.T.tocsr()
    # Row sums of G without forming it: G 1 = R^T (R 1).
    totals = np.asarray(transposed @ (matrix @ np.ones(n_items))).ravel()
    diagonal = np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()
    row_scale, column_scale = _scales(totals, diagonal, form)
    neighbours = np.zeros((n_items, n_neighbours), dtype=np.int64)
    weights = np.zeros((n_items, n_neighbours), dtype=np.float32)
    for start in range(0, n_items, block_rows):
        block = (transposed[start : start + block_rows] @ matrix).tocsr()
        for offset in range(block.shape[0]):
            item = start + offset
            span = slice(block.indptr[offset], block.indptr[offset + 1])
            columns, values = block.indices[span], block.data[span]
            scores = values * row_scale[item] * column_scale[columns]
            if form == "paper":
                scores = np.where(columns == item, 0.0, scores)
            # Ties are broken by the item's index, so that equal data give equal graphs.
            order = np.lexsort((columns, -scores))[:n_neighbours]
            order = order[scores[order] > 0]
            neighbours[item, : len(order)] = columns[order]
            weights[item, : len(order)] = scores[order]
    return torch.from_numpy(neighbours), torch.from_numpy(weights)


def _scales(
    totals: FloatArray, diagonal: FloatArray, form: ItemGraphForm
) -> tuple[FloatArray, FloatArray]:
    """Row and column factors of the two forms of ``s_ij``; 0 where the formula divides by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if form == "paper":
            row = np.sqrt(totals) / (totals - diagonal)
            row[totals <= diagonal] = 0.0
            column = 1 / np.sqrt(totals)
        else:
            row = np.sqrt(totals + 1) / totals
            column = 1 / np.sqrt(totals + 1)
    row[totals == 0] = 0.0
    column[totals == 0] = 0.0
    return row, column


def co_users(interactions: sp.csr_matrix, n_neighbours: int) -> tuple[Tensor, Tensor]:
    """Users who share most items with every user, and how many they share (DualGNN, Section 3.4).

    Takes ``sum_i d_i^2`` additions and, beside the result, memory for a few numbers per user.

    Args:
        interactions: binary ``[n_users, n_items]`` training matrix; row 0 is padding.
        n_neighbours: K, the largest number of neighbours.

    Returns:
        ``(neighbours [n_users, K] int64, counts [n_users, K] float32)``, most items first, ties by
        the smaller index; user 0 with count 0 where there is no further neighbour.
    """
    matrix = interactions.tocsr()
    by_item = matrix.T.tocsr()
    users_of = np.split(by_item.indices.astype(np.int64), by_item.indptr[1:-1])
    n_users = matrix.shape[0]
    everybody = np.arange(n_users)
    neighbours = np.zeros((n_users, n_neighbours), dtype=np.int64)
    counts = np.zeros((n_users, n_neighbours), dtype=np.float32)
    for user in np.flatnonzero(matrix.getnnz(axis=1)):
        items = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
        met = np.concatenate([users_of[item] for item in items])
        # Sorting a few users is faster than counting all.
        if len(met) < n_users // 16:
            others, common = np.unique(met, return_counts=True)
        else:
            others, common = everybody, np.bincount(met, minlength=n_users)
        common[np.searchsorted(others, user)] = 0
        chosen = _most(common, n_neighbours)
        neighbours[user, : len(chosen)] = others[chosen]
        counts[user, : len(chosen)] = common[chosen]
    return torch.from_numpy(neighbours), torch.from_numpy(counts)


def _most(counts: IntArray, k: int) -> IntArray:
    """Indices of the k largest counts above 0, largest first, ties by the smaller index."""
    # reached[c]: how many counts are at least c. The largest c that k counts reach is the k-th.
    reached = np.bincount(counts)[::-1].cumsum()[::-1]
    least = max(1, int(np.count_nonzero(reached >= k)) - 1)
    above, ties = np.flatnonzero(counts > least), np.flatnonzero(counts == least)
    above = above[np.argsort(-counts[above], kind="stable")]
    return np.concatenate([above, ties])[:k]


def user_graph(
    neighbours: Tensor, counts: Tensor, degrees: Tensor, weights: UserWeights
) -> sp.csr_matrix:
    """Graph of users and their co-users whose rows add up to 1, SciPy CSR ``[n_users, n_users]``.

    With c_uv items in common and d_u the items of u, the weights of a row are proportional to
    ``exp(c_uv)`` (``softmax``), 1 (``mean``) or ``c_uv / sqrt(d_u d_v)`` (``cosine``). A user
    without co-users has a row of zeros.

    Args:
        neighbours: co-users of every user, ``[n_users, K]`` (:func:`co_users`).
        counts: items in common, ``[n_users, K]``, 0 where there is no co-user.
        degrees: items of every user, ``[n_users]``.
        weights: see above.
    """
    columns, common = neighbours.numpy(), counts.double().numpy()
    present = common > 0
    if weights == "softmax":
        values = np.exp(common - common.max(axis=1, keepdims=True, initial=0.0))
    elif weights == "cosine":
        by_user = np.sqrt(degrees.double().numpy())
        scale = by_user[:, None] * by_user[columns]
        values = np.divide(common, scale, out=np.zeros_like(common), where=present)
    else:
        values = np.ones_like(common)
    values *= present
    total = values.sum(axis=1, keepdims=True)
    np.divide(values, total, out=values, where=total > 0)
    n_users = len(columns)
    rows = np.nonzero(present)[0]
    return sp.csr_matrix((values[present], (rows, columns[present])), shape=(n_users, n_users))
