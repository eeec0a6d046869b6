"""Contrastive losses: InfoNCE between two views, without a table of all cosines; bootstrap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_painvrl.functional.precision import full_precision

# Cosines computed at a time; on a CPU few enough to stay in its cache. A block has at least this
# number of rows per column of a vector, since products of wide matrices with few rows are slow.
_BLOCK = {"cpu": 2**19}
_ROWS_PER_COLUMN = 2
# Up to this width of a vector the gradient's transpose is faster to compute.
_NARROW = 8


@full_precision
def info_nce(
    first: Tensor,
    second: Tensor,
    temperature: float,
    own_view: bool = True,
    normalise: bool = True,
    targets: Tensor | None = None,
    counts: Tensor | None = None,
    target_counts: Tensor | None = None,
    excluded: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """``mean_b -log( e(a_b, z_t(b)) / (sum_c e(a_b, z_c) + sum_{c != b} e(a_b, a_c)) )``.

    ``e(x, y) = exp(cos(x, y) / temperature)``; a is the first view, z the second. Rows of zeros
    have cosine 0 with everything, so that a first view of zeros gives the constant
    ``log(2 B - 1)``; their own gradient is unbounded, and must not reach parameters. No table of
    all cosines is made, and the gradient, which has a closed form, comes with the loss; it cannot
    be differentiated again.

    Args:
        first: a, ``[B, k]``.
        second: z, ``[C, k]``; C is B without ``targets``.
        temperature: divisor of the cosines.
        own_view: whether the other rows of a are negatives, too (the second sum).
        normalise: whether e takes cosines; False for inner products.
        targets: t, row of z that belongs to every row of a, ``[B]``; None for row b itself.
        counts: how often every row of a occurs, ``[B]``; None for once each. The loss is that of
            the repeated rows.
        target_counts: how often every row of z occurs in the first sum, ``[C]``; None for once
            each.
        excluded: pairs of the first sum that are no negatives: rows of a, ascending ``[p]``, and
            rows of z ``[p]``; no target among them.

    Raises:
        ValueError: ``counts`` or ``target_counts`` together with ``own_view``.
    """
    if own_view and not (counts is None and target_counts is None):
        raise ValueError("info_nce: counts are for own_view=False")
    if normalise:
        first, second = F.normalize(first), F.normalize(second)
    result: Tensor = _InfoNCE.apply(  # type: ignore[no-untyped-call]
        first, second, temperature, own_view, targets, counts, target_counts, excluded
    )
    return result


def batch_contrast(
    first: Tensor, second: Tensor, temperature: float, counts: Tensor | None, normalise: bool = True
) -> Tensor:
    """:func:`info_nce` of two views of the distinct nodes of a batch, among one another.

    Args:
        first: a, ``[B, k]``.
        second: z, ``[B, k]``.
        temperature: divisor of the cosines.
        counts: how often every node is in the batch, ``[B]``; None for once each.
        normalise: whether e takes cosines; False for inner products.
    """
    return info_nce(
        *(first, second, temperature),
        own_view=False,
        normalise=normalise,
        counts=counts,
        target_counts=counts,
    )


@full_precision
def bootstrap_loss(online: Tensor, target: Tensor, present: Tensor | None = None) -> Tensor:
    """``mean_b 1 - cos(p_b, t_b)``; no gradient reaches the target (BM3).

    Args:
        online: p, ``[B, k]``.
        target: t, ``[B, k]``.
        present: rows that the mean is taken over, ``[B]`` bool; None for all, and 0 without any.
    """
    target = target.detach()
    lengths = torch.linalg.vector_norm(online, dim=1) * torch.linalg.vector_norm(target, dim=1)
    distances: Tensor = 1 - (online * target).sum(dim=1) / lengths.clamp(min=1e-12)
    if present is None:
        return distances.mean()
    return (distances * present).sum() / present.sum().clamp(min=1)


class _InfoNCE(torch.autograd.Function):
    """With P the softmax of a row and n its count, d/d cosine = n (P - [target]) / (sum n tau)."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        z: Tensor,
        temperature: float,
        own_view: bool,
        targets: Tensor | None,
        counts: Tensor | None,
        target_counts: Tensor | None,
        excluded: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        both, size = torch.cat([a, z]) if own_view else z, len(a)
        n = (a.new_ones(size) if counts is None else counts.to(a.dtype)).unsqueeze(1)
        offset = size if own_view else 0
        own = torch.arange(size, device=a.device) if targets is None else targets
        columns = (own + offset).unsqueeze(1)
        by_a, by_both = torch.zeros_like(a), torch.zeros_like(both)
        turned = both.T.contiguous()  # Products with narrow matrices are faster in this layout.
        total = a.new_zeros(())
        step = max(_ROWS_PER_COLUMN * a.shape[1], _BLOCK.get(a.device.type, 2**24) // len(both), 1)
        starts = range(0, size, step)
        log_counts = None if target_counts is None else target_counts.to(a.dtype).log()
        pairs = None if excluded is None else _by_block(excluded, starts, size)
        for number, start in enumerate(starts):
            rows = a[start : start + step]
            logits = (rows / temperature) @ turned
            if own_view:
                logits.diagonal(start).fill_(-torch.inf)  # A row is no negative of itself.
            if pairs is not None:
                left, right = pairs[number]
                logits[left - start, right + offset] = -torch.inf
            target, times = columns[start : start + step], n[start : start + step]
            total = total - (times * logits.gather(1, target)).sum()
            if log_counts is not None:
                logits.add_(log_counts)
            highest = logits.amax(dim=1, keepdim=True)
            weights = logits.sub_(highest).exp_()
            sums = weights.sum(dim=1, keepdim=True)
            total = total + (times * (sums.log() + highest)).sum()
            if any(ctx.needs_input_grad):
                weights.scatter_add_(1, target, -sums)
                factor = times / sums
                by_a[start : start + step] = (weights @ turned.T).mul_(factor)
                part = rows * factor
                if a.shape[1] <= _NARROW:
                    by_both += (part.T @ weights).T
                else:
                    by_both.addmm_(weights.T, part)
        scale = 1.0 / (n.sum() * temperature)
        if own_view:
            by_first, by_both = by_both.split([size, len(z)])
            by_a = by_a + by_first
        ctx.save_for_backward(scale * by_a, scale * by_both)
        return total / n.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_first, by_second = ctx.saved_tensors
        return gradient * by_first, gradient * by_second, *[None] * 6


def _by_block(
    pairs: tuple[Tensor, Tensor], starts: range, size: int
) -> list[tuple[Tensor, Tensor]]:
    """The pairs of every block of rows; the first members ascend."""
    edges = torch.tensor([*starts, size], device=pairs[0].device)
    bounds = torch.searchsorted(pairs[0].contiguous(), edges).tolist()
    return [(pairs[0][a:b], pairs[1][a:b]) for a, b in pairwise(bounds)]
