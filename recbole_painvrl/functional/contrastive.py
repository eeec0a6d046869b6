"""Contrastive loss between two views of the same rows (InfoNCE, within the batch)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """``mean_b -log( e(a_b, z_b) / (sum_c e(a_b, z_c) + sum_{c != b} e(a_b, a_c)) )``.

    ``e(x, y) = exp(cos(x, y) / temperature)``; a is the first view, z the second. Rows of zeros
    have cosine 0 with everything, so that a first view of zeros gives the constant
    ``log(2 B - 1)`` without a gradient.

    Args:
        first: a, ``[B, k]``.
        second: z, ``[B, k]``.
        temperature: divisor of the cosines.
    """
    a, z = F.normalize(first), F.normalize(second)
    within = (a @ a.T / temperature).masked_fill(
        torch.eye(len(a), dtype=torch.bool, device=a.device), -torch.inf
    )
    between = a @ z.T / temperature
    total = torch.cat([within, between], dim=1).logsumexp(dim=1)
    return (total - between.diagonal()).mean()
