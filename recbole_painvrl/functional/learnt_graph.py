"""Item graphs with a gradient by the cosines of given neighbours (LATTICE, MICRO).

A graph is a sum of sparse matrices, each a pattern with a value per edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.edges import EdgePattern, edge_products, propagate_edges, row_sums
from recbole_painvrl.functional.item_graph import ItemGraphNorm

# A sparse matrix: its pattern and the values of the edges, in the order of the pattern.
Edges = tuple[EdgePattern, Tensor]


def kept_cosines(rows: Tensor, indices: Tensor) -> Edges:
    """Cosines of rows with their neighbours, those below 0 set to 0; differentiable.

    Args:
        rows: X, ``[n, k]``.
        indices: neighbours of every row, ``[n, K]``, -1 for none
            (:func:`recbole_painvrl.functional.nearest.nearest_rows`).
    """
    n, n_neighbours = indices.shape
    starts = torch.arange(n, device=indices.device).repeat_interleave(n_neighbours)
    ends = indices.reshape(-1)
    pattern = EdgePattern(starts[ends >= 0], ends[ends >= 0], (n, n))
    unit = F.normalize(rows)
    return pattern, edge_products(pattern, unit, unit).clamp(min=0)


def normalise(parts: Sequence[Edges], norm: ItemGraphNorm) -> list[Edges]:
    """Normalise a sum of matrices ``[n, n]`` by the row sums of the whole; differentiable.

    See :func:`recbole_painvrl.functional.item_graph.neighbour_graph`, whose entries these are.

    Args:
        parts: values at least 0.
        norm: ``out``, ``in_out`` or ``random_walk``.
    """
    sums = torch.stack([row_sums(*part) for part in parts]).sum(dim=0)
    left, right = _power(sums, -0.5), _power(sums, -0.5)
    if norm == "random_walk":
        left, right = _power(sums, -1.0), torch.ones_like(sums)
    elif norm == "in_out":
        columns = [torch.zeros_like(sums).index_add(0, p.columns, values) for p, values in parts]
        right = _power(torch.stack(columns).sum(dim=0), -0.5)
    return [(p, values * left[p.rows] * right[p.columns]) for p, values in parts]


def multiply(parts: Sequence[Edges], table: Tensor) -> Tensor:
    """The sum of the matrices times a table, ``[n, k] -> [n, k]``; differentiable."""
    products = [propagate_edges(pattern, values, table) for pattern, values in parts]
    return torch.stack(products).sum(dim=0)


def merged(parts: Sequence[Edges]) -> sp.csr_matrix:
    """The sum as one matrix without a gradient, SciPy CSR ``[n, n]``."""
    shape = parts[0][0].shape
    rows = torch.cat([pattern.rows for pattern, _ in parts]).cpu().numpy()
    columns = torch.cat([pattern.columns for pattern, _ in parts]).cpu().numpy()
    values = torch.cat([values.detach() for _, values in parts]).cpu().numpy()
    matrix = sp.csr_matrix((values, (rows, columns)), shape=shape)
    matrix.eliminate_zeros()
    return matrix


def _power(sums: Tensor, exponent: float) -> Tensor:
    """Powers of sums above 0, else 0; the gradient is finite everywhere."""
    positive = sums > 0
    return torch.where(positive, torch.where(positive, sums, 1.0) ** exponent, 0.0)
