"""Sparse propagation over the interaction graph, with a backward that needs no transposing."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

GraphNorm = Literal["symmetric", "mean", "row_sqrt"]


class Propagation(torch.nn.Module):
    """A constant sparse matrix A that multiplies tables: ``x -> A x``.

    A and its transpose are both kept in CSR, so that forward (``A x``) and backward (``A^T g``)
    are the same fast product; PyTorch's own backward transposes A at every step.

    Args:
        matrix: A, any SciPy sparse matrix, ``[n, m]``.
        symmetric: A is its own transpose, and one copy serves both ways.
    """

    def __init__(self, matrix: Any, symmetric: bool = False) -> None:
        super().__init__()
        forward = sp.csr_matrix(matrix, dtype=np.float32)
        own = _csr_tensor(forward)
        other = own if symmetric else _csr_tensor(forward.T.tocsr())
        self.register_buffer("matrix", own, persistent=False)
        self.register_buffer("transposed", other, persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        """``A x``, ``[m, k] -> [n, k]``."""
        result: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            self.matrix, self.transposed, table
        )
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Propagation:
        """A copy of its own, for RecBole's count of operations; PyTorch copies no CSR tensor."""
        other = type(self).__new__(type(self))
        torch.nn.Module.__init__(other)
        for name, matrix in self.named_buffers(remove_duplicate=False):
            other.register_buffer(name, matrix.clone(), persistent=False)
        memo[id(self)] = other
        return other


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, table: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ table

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ gradient


def interaction_matrices(matrix: Any, norm: GraphNorm) -> tuple[Any, Any]:
    """User-item and item-user propagation matrices of the training interactions.

    Args:
        matrix: R, SciPy sparse, ``[n_users, n_items]``, entries 1.
        norm: ``symmetric`` is ``D_u^-1/2 R D_i^-1/2`` (LightGCN), ``mean`` is ``D_u^-1 R`` and
            ``D_i^-1 R^T``, ``row_sqrt`` is ``D_u^-1/2 R`` and ``D_i^-1/2 R^T``.

    Returns:
        ``(users from items [n_users, n_items], items from users [n_items, n_users])``, CSR; rows
        of users and items without interactions are zero.
    """
    csr = sp.csr_matrix(matrix, dtype=np.float32)
    by_user = np.asarray(csr.sum(axis=1)).ravel()
    by_item = np.asarray(csr.sum(axis=0)).ravel()
    power = -1.0 if norm == "mean" else -0.5
    user_scale, item_scale = _power(by_user, power), _power(by_item, power)
    if norm == "symmetric":
        both = user_scale @ csr @ item_scale
        return both.tocsr(), both.T.tocsr()
    return (user_scale @ csr).tocsr(), (item_scale @ csr.T).tocsr()


def _power(degrees: Any, power: float) -> Any:
    with np.errstate(divide="ignore"):
        scale = np.where(degrees > 0, degrees.astype(np.float64) ** power, 0.0)
    return sp.diags(scale.astype(np.float32))


def _csr_tensor(matrix: Any) -> Tensor:
    matrix.sum_duplicates()
    with warnings.catch_warnings():
        # PyTorch calls CSR "beta" once per process; products with dense tables work.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            check_invariants=True,
        )
