"""Item-item graphs of nearest neighbours by features (LATTICE, FREEDOM, MGCN, DRAGON)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from torch import Tensor

EdgeForm = Literal["binary", "cosine"]
ItemGraphNorm = Literal["out", "in_out", "random_walk"]


def neighbour_graph(
    indices: Tensor, cosines: Tensor, form: EdgeForm, norm: ItemGraphNorm
) -> sp.csr_matrix:
    """Normalised adjacency matrix of a list of neighbours, SciPy CSR ``[n, n]``, not symmetric.

    ``S_ij`` is 1 (``binary``) or the cosine (``cosine``) of row i and its neighbour j. With d the
    row sums of S and c its column sums, the entries are divided by

    * ``out``: ``sqrt(d_i d_j)``, row sums on both sides, as all public codes do. In a binary graph
      with k neighbours per row every entry becomes 1/k, a row mean;
    * ``in_out``: ``sqrt(d_i c_j)``, the symmetric normalisation of a directed graph;
    * ``random_walk``: ``d_i``.

    Args:
        indices: neighbours of every row, ``[n, k]``, -1 for none
            (:func:`recbole_painvrl.functional.nearest.nearest_rows`).
        cosines: their cosines, ``[n, k]``.
        form: what an edge weighs before normalisation.
        norm: see above.

    Deviations:
        Cosines below 0 count as 0: the public codes take powers of a row sum that may be negative,
        which gives NaN. Rows and columns with sum 0 stay zero.
    """
    graph = neighbour_matrix(indices, cosines if form == "cosine" else cosines.new_ones(()))
    by_row = np.asarray(graph.sum(axis=1)).ravel()
    by_column = by_row if norm == "out" else np.asarray(graph.sum(axis=0)).ravel()
    if norm == "random_walk":
        return (_scale(by_row, -1.0) @ graph).tocsr()
    return (_scale(by_row, -0.5) @ graph @ _scale(by_column, -0.5)).tocsr()


def neighbour_matrix(indices: Tensor, values: Tensor) -> sp.csr_matrix:
    """A list of neighbours as SciPy CSR ``[n, n]``; values of 0 and below are left out.

    Args:
        indices: neighbours of every row, ``[n, k]``, -1 for none.
        values: of every neighbour, ``[n, k]``, or one for all.
    """
    n, k = indices.shape
    columns = indices.cpu().numpy().ravel()
    rows = np.repeat(np.arange(n), k)
    entries = values.detach().cpu().double().expand(n, k).numpy().ravel()
    kept = (columns >= 0) & (entries > 0)
    return sp.csr_matrix((entries[kept], (rows[kept], columns[kept])), shape=(n, n))


def mix_graphs(
    graphs: Sequence[sp.csr_matrix], weights: Sequence[float], present: Tensor
) -> sp.csr_matrix:
    """``sum_m w_im S_m`` with the weights of every row renormalised over what the row has.

    ``w_im = w_m present_im / sum_m' w_m' present_im'``; a row without any modality is zero.

    Args:
        graphs: S_m, ``[n, n]`` each.
        weights: w_m, at least 0.
        present: which rows have modality m, ``[n, M]`` bool.

    Returns:
        SciPy CSR ``[n, n]``.
    """
    shares = present.cpu().numpy() * np.asarray(weights, dtype=np.float64)
    total = shares.sum(axis=1, keepdims=True)
    np.divide(shares, total, out=shares, where=total > 0)
    mixed: Any = sum(sp.diags(shares[:, m]) @ graph for m, graph in enumerate(graphs))
    return mixed.tocsr()


def _scale(sums: Any, power: float) -> Any:
    with np.errstate(divide="ignore"):
        return sp.diags(np.where(sums > 0, sums**power, 0.0))
