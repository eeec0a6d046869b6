"""Sparse propagation over the interaction graph, with a backward that needs no transposing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_painvrl.functional.edges import csr_tensor
from recbole_painvrl.functional.precision import full_precision

GraphNorm = Literal["symmetric", "mean", "row_sqrt"]


class Propagation(torch.nn.Module):
    """A constant sparse matrix A that multiplies tables: ``x -> A x``.

    A and its transpose are both kept in CSR, so that forward (``A x``) and backward (``A^T g``)
    are the same fast product; PyTorch's own backward transposes A at every step.

    Args:
        matrix: A, any SciPy sparse matrix, ``[n, m]``.
        symmetric: A is its own transpose, and one copy serves both ways.
    """

    matrix: Tensor
    transposed: Tensor

    def __init__(self, matrix: Any, symmetric: bool = False) -> None:
        super().__init__()
        forward = sp.csr_matrix(matrix, dtype=np.float32)
        own = _csr_tensor(forward)
        other = own if symmetric else _csr_tensor(forward.T.tocsr())
        self.register_buffer("matrix", own, persistent=False)
        self.register_buffer("transposed", other, persistent=False)

    @full_precision
    def forward(self, table: Tensor) -> Tensor:
        """``A x``, ``[m, k] -> [n, k]``."""
        result: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            self.matrix, self.transposed, table
        )
        return result

    def transpose(self) -> Propagation:
        """``x -> A^T x``, with the same two matrices."""
        other = type(self).__new__(type(self))
        torch.nn.Module.__init__(other)
        other.register_buffer("matrix", self.transposed, persistent=False)
        other.register_buffer("transposed", self.matrix, persistent=False)
        return other

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
        return _times(matrix, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _times(ctx.transposed, gradient)


def _times(matrix: Tensor, table: Tensor) -> Tensor:
    # `matrix @ table` adds to a table of zeros and copies it, which takes twice as long.
    result = table.new_empty(matrix.shape[0], table.shape[1])
    return result.addmm_(matrix, table, beta=0)


def layer_mean(
    users: Tensor,
    items: Tensor,
    to_users: Propagation,
    to_items: Propagation,
    n_layers: int,
    reduce: Literal["mean", "sum"] = "mean",
    self_factors: tuple[Tensor, Tensor] | None = None,
    drop: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """LightGCN's layers 0 to ``n_layers``, averaged or added up (He et al., SIGIR '20, Eq. 8).

    Layer l + 1 of users is ``A_ui`` times layer l of items and the reverse, plus the node's own
    layer l times a factor if ``self_factors`` are given.

    Args:
        users: layer 0 of users, ``[n_users, k]``.
        items: layer 0 of items, ``[n_items, k]``.
        to_users: ``A_ui``, ``[n_users, n_items]``.
        to_items: ``A_iu``, ``[n_items, n_users]``.
        n_layers: number of propagations.
        reduce: mean or sum of the layers.
        self_factors: weights of the self loops of users ``[n_users]`` and items ``[n_items]``.
        drop: dropout after each layer, of users first.

    Returns:
        Users ``[n_users, k]`` and items ``[n_items, k]``.
    """
    user_sum, item_sum = users, items
    for _ in range(n_layers):
        users, items = _next_layer(users, items, to_users, to_items, self_factors)
        if drop is not None:
            users, items = drop(users), drop(items)
        user_sum, item_sum = user_sum + users, item_sum + items
    if reduce == "sum":
        return user_sum, item_sum
    return user_sum / (n_layers + 1), item_sum / (n_layers + 1)


def _next_layer(
    users: Tensor,
    items: Tensor,
    to_users: Propagation,
    to_items: Propagation,
    self_factors: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    next_users, next_items = to_users(items), to_items(users)
    if self_factors is not None:
        next_users = torch.addcmul(next_users, self_factors[0].unsqueeze(1), users)
        next_items = torch.addcmul(next_items, self_factors[1].unsqueeze(1), items)
    return next_users, next_items


def ngcf_mean(
    users: Tensor,
    items: Tensor,
    to_users: Propagation,
    to_items: Propagation,
    self_factors: tuple[Tensor, Tensor] | None,
    layers: Sequence[tuple[nn.Module, nn.Module]],
    drop: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Mean of layer 0 and of NGCF's layers, scaled to length 1.

    A layer is ``e <- drop(LeakyReLU(V A e) + LeakyReLU(W (e * A e)))`` with the propagation A.

    Args:
        users: layer 0 of users, ``[n_users, k]``.
        items: layer 0 of items, ``[n_items, k]``.
        to_users: from items to users, ``[n_users, n_items]``.
        to_items: from users to items, ``[n_items, n_users]``.
        self_factors: as of :func:`layer_mean`.
        layers: the linear layers V and W of every layer, from k to k.
        drop: dropout.

    Returns:
        Users ``[n_users, k]`` and items ``[n_items, k]``.
    """
    sums = [users, items]
    for own, product in layers:
        near = _next_layer(users, items, to_users, to_items, self_factors)
        users, items = (
            drop(F.leaky_relu(own(a)) + F.leaky_relu(product(e * a)))
            for e, a in zip((users, items), near, strict=True)
        )
        sums = [total + F.normalize(e) for total, e in zip(sums, (users, items), strict=True)]
    return sums[0] / (len(layers) + 1), sums[1] / (len(layers) + 1)


def layer_sum_of_one_side(
    own: Tensor, other: Tensor, to_own: Propagation, to_other: Propagation, n_layers: int
) -> Tensor:
    """One side of :func:`layer_mean` with ``reduce="sum"``, in ``n_layers`` products.

    Horner's rule: ``own + A (other + A' (own + ...))``.

    Args:
        own: layer 0 of the side that is asked for, ``[n, k]``.
        other: layer 0 of the other side, ``[m, k]``.
        to_own: from the other side to this one, ``[n, m]``.
        to_other: the reverse, ``[m, n]``.
        n_layers: number of propagations.
    """
    if n_layers == 0:
        return own
    inner = layer_sum_of_one_side(other, own, to_other, to_own, n_layers - 1)
    total: Tensor = own + to_own(inner)
    return total


def spread(
    table: Tensor, to_other: Propagation, to_own: Propagation, n_layers: int
) -> tuple[Tensor, Tensor]:
    """:func:`layer_mean` of a table on one side and zeros on the other, in ``n_layers`` products.

    The propagation is linear: ``layer_mean`` of two tables is the sum of what each spreads.

    Args:
        table: layer 0 of its own side, ``[n, k]``.
        to_other: from its side to the other, ``[m, n]``.
        to_own: the reverse, ``[n, m]``.
        n_layers: number of propagations.

    Returns:
        Its own side ``[n, k]`` (the even layers) and the other ``[m, k]`` (the odd ones).
    """
    own, layer = table, table
    other = table.new_zeros(to_other.matrix.shape[0], table.shape[1])
    for step in range(n_layers):
        if step % 2 == 0:
            layer = to_other(layer)
            other = other + layer
        else:
            layer = to_own(layer)
            own = own + layer
    return own / (n_layers + 1), other / (n_layers + 1)


def self_loop_matrices(matrix: Any) -> tuple[Any, Any, Tensor, Tensor]:
    """``D^-1 (A + I)`` of the bipartite graph, NGCF's and LATTICE's row mean with self loops.

    Args:
        matrix: R, SciPy sparse, ``[n_users, n_items]``, entries 1.

    Returns:
        ``(users from items, items from users)`` in CSR and the weights of the self loops of users
        ``[n_users]`` and of items ``[n_items]``, ``1 / (d + 1)``.
    """
    csr = sp.csr_matrix(matrix, dtype=np.float32)
    by_user = 1 / (np.asarray(csr.sum(axis=1)).ravel() + 1)
    by_item = 1 / (np.asarray(csr.sum(axis=0)).ravel() + 1)
    return (
        (sp.diags(by_user) @ csr).tocsr(),
        (sp.diags(by_item) @ csr.T).tocsr(),
        torch.from_numpy(by_user.astype(np.float32)),
        torch.from_numpy(by_item.astype(np.float32)),
    )


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
    starts, columns = (
        torch.from_numpy(one.astype(np.int64)) for one in (matrix.indptr, matrix.indices)
    )
    return csr_tensor(starts, columns, torch.from_numpy(matrix.data), matrix.shape)
