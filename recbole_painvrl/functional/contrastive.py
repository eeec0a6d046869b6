"""Contrastive loss between two views of the same rows (InfoNCE, within the batch)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Cosines computed at a time: on a CPU they stay in the cache.
_CPU_BLOCK, _GPU_BLOCK = 2**20, 2**24


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """``mean_b -log( e(a_b, z_b) / (sum_c e(a_b, z_c) + sum_{c != b} e(a_b, a_c)) )``.

    ``e(x, y) = exp(cos(x, y) / temperature)``; a is the first view, z the second. Rows of zeros
    have cosine 0 with everything, so that a first view of zeros gives the constant
    ``log(2 B - 1)`` without a gradient. No table of all cosines is made, and the gradient, which
    has a closed form, comes with the loss; it cannot be differentiated again.

    Args:
        first: a, ``[B, k]``.
        second: z, ``[B, k]``.
        temperature: divisor of the cosines.
    """
    result: Tensor = _InfoNCE.apply(  # type: ignore[no-untyped-call]
        F.normalize(first), F.normalize(second), temperature
    )
    return result


class _InfoNCE(torch.autograd.Function):
    """Of rows of length 1; with P the softmax of a row, d/d cosine = (P - [b, b]) / (B tau)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, z: Tensor, temperature: float) -> Tensor:
        both, size = torch.cat([a, z]), len(a)
        wants_gradient = any(ctx.needs_input_grad)
        by_a, by_both = torch.zeros_like(a), torch.zeros_like(both)
        total = a.new_zeros(())
        block = _CPU_BLOCK if a.device.type == "cpu" else _GPU_BLOCK
        step = max(1, block // max(1, len(both)))
        for start in range(0, size, step):
            own = a[start : start + step]
            cosines = (own @ both.T).div_(temperature)
            # A row is no negative of itself.
            cosines.diagonal(start).fill_(-torch.inf)
            total = total - cosines.diagonal(size + start).sum()
            highest = cosines.amax(dim=1, keepdim=True)
            shares = cosines.sub_(highest).exp_()
            sums = shares.sum(dim=1, keepdim=True)
            total = total + (sums.log() + highest).sum()
            if wants_gradient:
                shares.div_(sums).diagonal(size + start).sub_(1.0)
                by_a[start : start + step] = shares @ both
                by_both.addmm_(shares.T, own)
        scale = 1.0 / (size * temperature)
        by_first, by_second = by_both.split(size)
        ctx.save_for_backward(scale * (by_a + by_first), scale * by_second)
        return total / size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        by_first, by_second = ctx.saved_tensors
        return gradient * by_first, gradient * by_second, None
