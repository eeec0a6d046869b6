"""RecBole's graph models with the same values from faster products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.model.general_recommender.ngcf import NGCF
from torch import Tensor

from recbole_painvrl.functional.propagation import Propagation

# What RecBole adds to every degree.
_EPSILON = 1e-7


class SymmetricMatrix:
    """A constant symmetric sparse matrix for ``torch.sparse.mm(matrix, table)``.

    In CSR, with the same product in the backward; RecBole's matrix is an unsorted list of
    entries, and its backward transposes that list at every step.

    Args:
        matrix: SciPy sparse, ``[n, n]``, symmetric.
    """

    def __init__(self, matrix: sp.spmatrix) -> None:
        self.product = Propagation(matrix, symmetric=True)

    def to(self, device: torch.device) -> SymmetricMatrix:
        """Move to a device."""
        self.product.to(device)
        return self

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        """PyTorch's protocol for arguments that are not tensors; one function is known."""
        if function is torch.sparse.mm and len(arguments) == 2 and not keywords:
            matrix, table = arguments
            if isinstance(matrix, cls) and isinstance(table, Tensor):
                return matrix.product(table)
        return NotImplemented


def normalized_adjacency(interactions: sp.spmatrix) -> sp.csr_matrix:
    """``D^-1/2 A D^-1/2`` of the bipartite graph as RecBole computes it, SciPy CSR.

    Args:
        interactions: training interactions, SciPy sparse, ``[n_users, n_items]``; an entry that
            is there counts once.
    """
    matrix = sp.csr_matrix(interactions, dtype=np.float32)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    adjacency = sp.bmat([[None, matrix], [matrix.T, None]], format="csr")
    degrees = np.asarray(adjacency.getnnz(axis=1), dtype=np.int64) + _EPSILON
    scale = sp.diags(np.power(degrees, -0.5))
    return (scale @ adjacency @ scale).astype(np.float32).tocsr()


class FastLightGCN(LightGCN):
    """RecBole's LightGCN, equal to rounding."""

    def get_norm_adj_mat(self) -> SymmetricMatrix:
        """The matrix of RecBole's, built without a Python dictionary of its entries."""
        return SymmetricMatrix(normalized_adjacency(self.interaction_matrix))

    def forward(self) -> tuple[Tensor, Tensor]:
        """The mean over the layers, added up as they come in place of one table of all layers."""
        layer = total = self.get_ego_embeddings()
        for _ in range(self.n_layers):
            layer = torch.sparse.mm(self.norm_adj_matrix, layer)
            total = total + layer
        users, items = torch.split(total / (self.n_layers + 1), [self.n_users, self.n_items])
        return users, items


class FastNGCF(NGCF):
    """RecBole's NGCF, equal to rounding; node dropout needs RecBole's own form of the matrix."""

    def get_norm_adj_mat(self) -> Any:
        """See :class:`FastLightGCN`."""
        if self.node_dropout:
            return super().get_norm_adj_mat()
        return SymmetricMatrix(normalized_adjacency(self.interaction_matrix))


_FASTER: dict[type, type] = {LightGCN: FastLightGCN, NGCF: FastNGCF}


def faster(model_class: type) -> type:
    """The faster form of a RecBole model class, or the class itself."""
    return _FASTER.get(model_class, model_class)
