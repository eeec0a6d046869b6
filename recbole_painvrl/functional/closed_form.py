"""Item weights with a closed form: linear models of features, EASE, and a map from features."""

from __future__ import annotations

import torch
from torch import Tensor


def whitened_map(features: Tensor, reg_weight: float) -> Tensor:
    """EASE fitted on the features, without a matrix of all item pairs; ``[d, d]``.

    EASE (Steck, WWW '19) of the matrix ``F^T``, whose rows are feature columns, has the weights
    ``B = I - P / diag(P)`` with ``P = (F F^T + lambda I)^-1``. By Woodbury ``B_ij = f_i^T G f_j /
    (1 - f_j^T G f_j)`` for i other than j, with ``G = (F^T F + lambda I)^-1``.

    Args:
        features: F, ``[n, d]``.
        reg_weight: lambda.
    """
    table = features.double()
    inverse: Tensor = torch.linalg.inv(_regularised(table.T @ table, reg_weight))
    return inverse.to(features.dtype)


def quadratic_forms(features: Tensor, matrix: Tensor) -> Tensor:
    """``f_j^T G f_j`` of the rows, ``[n, d], [d, d] -> [n]``."""
    table = features.double()
    return ((table @ matrix.double()) * table).sum(dim=1).to(features.dtype)


def bilinear_map(
    profiles: Tensor, features: Tensor, degrees: Tensor, reg_weight: float, feature_reg: float
) -> Tensor:
    """Which directions of the features are liked together.

    ``W = (X^T X + lambda I)^-1 (F^T C F) (F^T F + mu I)^-1`` with ``X = R F`` and
    ``C = R^T R - diag(d)``, which is never formed: ``F^T C F = X^T X - F^T diag(d) F``. With
    ``R^T R`` for C it is the minimiser of ``|R - X W F^T|^2 + mu |X W|^2 + lambda |W F^T|^2 +
    lambda mu |W|^2``; C leaves the pair of an item with itself out.

    Args:
        profiles: X, sums of the features of a user's items, ``[n_users, d]``.
        features: F, ``[n_items, d]``.
        degrees: d, users of every item, ``[n_items]``.
        reg_weight: lambda.
        feature_reg: mu.

    Returns:
        W, ``[d, d]``; the score of user u and item j is ``x_u^T W f_j``.
    """
    x, f = profiles.double(), features.double()
    together = x.T @ x
    pairs = together - f.T @ (degrees.double().unsqueeze(1) * f)
    left = torch.linalg.solve(_regularised(together, reg_weight), pairs)
    both: Tensor = torch.linalg.solve(_regularised(f.T @ f, feature_reg), left, left=False)
    return both.to(features.dtype)


def ease_weights(gram: Tensor, reg_weight: float) -> Tensor:
    """EASE's item-item weights ``B_ij = -P_ij / P_jj``, 0 on the diagonal; overwrites ``gram``.

    Args:
        gram: the matrix of which ``P = (gram + lambda I)^-1``, symmetric, ``[n, n]``.
        reg_weight: lambda.
    """
    gram.diagonal().add_(reg_weight)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram, out=gram))
    inverse.div_(-inverse.diagonal().clone())
    return inverse.fill_diagonal_(0.0)


def map_to(features: Tensor, table: Tensor, degrees: Tensor, reg_weight: float) -> Tensor:
    """The linear map from features to a trained table, for items that training lacks.

    ``W = (F^T D F + lambda I)^-1 F^T D Q`` minimises ``sum_j d_j |q_j - W^T f_j|^2 + lambda
    |W|^2``, so that ``F W`` stands in for the rows of Q of items without interactions (Gantner et
    al., ICDM '10).

    Args:
        features: F, ``[n, d]``.
        table: Q, trained vectors of the items, ``[n, k]``.
        degrees: weight of every item, its number of interactions, ``[n]``; 0 leaves it out.
        reg_weight: lambda.

    Returns:
        W, ``[d, k]``.
    """
    f = features.double()
    weighted = degrees.double().unsqueeze(1) * f
    gram = _regularised(f.T @ weighted, reg_weight)
    found: Tensor = torch.linalg.solve(gram, weighted.T @ table.double())
    return found.to(table.dtype)


def _regularised(gram: Tensor, reg_weight: float) -> Tensor:
    return gram + reg_weight * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
