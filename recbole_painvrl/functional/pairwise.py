"""The pairwise ranking loss (BPR) and the regularisers of a batch that go with it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
