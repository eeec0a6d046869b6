"""Rows that an adversary tells apart, and the gradient penalty that keeps it smooth."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def similarity_rows(users: Tensor, items: Tensor, seen: Tensor) -> Tensor:
    """``normalise( (U I^T) (.) (1 - R) )``: products with unseen items, rows of length 1.

    Args:
        users: U, ``[B, k]``.
        items: I of the columns, ``[C, k]``.
        seen: R of the users and columns, boolean, ``[B, C]``.
    """
    return F.normalize((users @ items.T).masked_fill(seen, 0.0))


def real_rows(
    seen: Tensor,
    similarity: Tensor,
    noise: float,
    similarity_weight: float,
    source: torch.Generator,
) -> Tensor:
    """``normalise( softmax(R + noise g) + similarity_weight S )`` with Gumbel noise g.

    Args:
        seen: R, boolean, ``[B, C]``.
        similarity: S of the final vectors, ``[B, C]``.
        noise: scale of g.
        similarity_weight: weight of S.
        source: generator of g, on the device of ``seen``.
    """
    uniform = torch.rand(
        seen.shape, generator=source, device=seen.device, dtype=similarity.dtype
    ).clamp_(min=1e-8)
    # The largest float below 1 still has a finite double logarithm.
    gumbel = uniform.clamp_(max=1 - torch.finfo(uniform.dtype).eps).log_().neg_().log_().neg_()
    soft = gumbel.mul_(noise).add_(seen).softmax(dim=1)
    return F.normalize(soft.add_(similarity, alpha=similarity_weight))


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, source: torch.Generator
) -> Tensor:
    """``E (||grad D(x)|| - 1)^2`` at a random point x between each real and fake row.

    Args:
        critic: D, ``[n, C] -> [n]``.
        real: ``[n, C]``.
        fake: ``[n, C]``.
        source: generator of the points, on the device of the rows.
    """
    share = torch.rand(len(real), 1, generator=source, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake, real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # The root of 0 has no derivative, and the penalty is differentiated once more.
    norms = (gradient.square().sum(dim=1) + 1e-12).sqrt()
    return (norms - 1).square().mean()
