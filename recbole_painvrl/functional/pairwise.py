"""The pairwise ranking loss (BPR) and the regularisers of a batch that go with it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.precision import full_precision


@full_precision
def vector_bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """:func:`bpr_loss` of the products of vectors ``[B, k]``.

    In single precision also of vectors in half precision: a mean with 8 bits hardly changes from
    epoch to epoch, and neither does the difference of two nearly equal scores.
    """
    scores = (users * positives).sum(dim=1), (users * negatives).sum(dim=1)
    return bpr_loss(*scores)


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """``mean -log sigma(s+ - s-)`` of paired scores ``[B]`` and ``[B]``.

    Deviations:
        The public codes write ``-log(sigma(x))``, with or without 1e-10 inside; this form is the
        same function where theirs neither overflows nor saturates.
    """
    return F.softplus(negative - positive).mean()


def norm_penalty(*matrices: Tensor) -> Tensor:
    """Sum of the *unsquared* Frobenius norms of a batch's matrices ``[B, *]``, divided by B."""
    return torch.stack([torch.linalg.vector_norm(matrix) for matrix in matrices]).sum() / len(
        matrices[0]
    )


def square_penalty(*matrices: Tensor) -> Tensor:
    """Half the squared norms of a batch's matrices ``[B, *]``, divided by B."""
    return torch.stack([matrix.square().sum() for matrix in matrices]).sum() / (
        2 * len(matrices[0])
    )
