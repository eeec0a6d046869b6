"""The form in which a learnt mask enters the final model: soft, or cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Values below this have switched their column off, and are not told apart.
_OFF = 0.1


@dataclass(frozen=True)
class Cut:
    """A mask cut in two groups of columns.

    Attributes:
        mask: 1 for the columns above the cut, 0 for the others, ``[d]``.
        threshold: the value between the two groups; None where all columns are equal and kept.
        explained: share of the variance of the logarithms that lies between the groups, in
            [0, 1]: about 0.64 where they are normally distributed, near 1 for two groups apart.
        gap: difference of the mean values of the groups.
    """

    mask: Tensor
    threshold: float | None
    explained: float
    gap: float


def cut_in_two(mask: Tensor) -> Cut:
    """Exact 2-means of the logarithms of a mask, in one dimension.

    Logarithms, since a column that nothing holds decays by a factor in every step (Eq. 19): such
    columns gather closely, while the others spread far above them. The groups are divided where
    the sum of squares within them is smallest, which some place in the sorted order reaches; equal
    values stay together. Of equally good places the lowest is taken, which keeps most columns.

    Args:
        mask: the learnt values of all columns of all modalities, ``[d]``.
    """
    plain = mask.detach().double().cpu()
    values, order = plain.clamp(min=_OFF).log().sort()
    n, total = len(values), values.sum()
    if n < 2 or values[0] == values[-1]:
        return Cut(torch.ones_like(mask), None, 0.0, 0.0)
    below = torch.arange(1, n, dtype=torch.float64)
    sums = values.cumsum(0)[:-1]
    apart = (total - sums) / (n - below) - sums / below
    between = below * (n - below) / n * apart.square()
    between[values[1:] == values[:-1]] = -1.0
    cut = int(between.argmax()) + 1
    kept = torch.zeros_like(mask)
    kept[order[cut:].to(mask.device)] = 1.0
    spread = (values - values.mean()).square().sum()
    gap = plain[order[cut:]].mean() - plain[order[:cut]].mean()
    threshold = float((values[cut - 1] + values[cut]).div(2).exp())
    return Cut(kept, threshold, float(between[cut - 1] / spread), float(gap))


def agreement(gradients: Sequence[Tensor]) -> Tensor:
    """How clearly the environments' gradients by each column of W point the same way, ``[d]``.

    The statistic of a column is the sum of the inner products of its mean gradients in all pairs
    of environments, divided by its standard error. It is unbiased, since two environments share no
    batch, does not depend on the scale of a column, and is about standard normal where the
    product is 0. Below 0, what the column says for one environment is wrong for another.

    Args:
        gradients: of every environment the gradients of independent batches, ``[n_e, k, d]``, at
            least two.
    """
    means = torch.stack([one.double().mean(dim=0) for one in gradients])
    total = means.sum(dim=0)
    products = (total.square() - means.square().sum(dim=0)).sum(dim=0) / 2
    variance = torch.zeros_like(products)
    for one, mean in zip(gradients, means, strict=True):
        along = (one.double() * (total - mean)).sum(dim=1)
        variance += along.var(dim=0) / len(one)
    # A column without a gradient says nothing.
    return torch.where(variance > 0, products / variance.sqrt(), 0.0)


def reversed_columns(scores: Tensor, rate: float = 0.05) -> Tensor:
    """Columns whose effect is reversed between environments, bool ``[d]``.

    One-sided tests of ``scores >= 0``, of which by Benjamini and Hochberg at most ``rate`` of the
    columns found are false on average.

    Args:
        scores: of :func:`agreement`.
        rate: the false discovery rate.
    """
    p_values, order = torch.special.ndtr(scores.double()).sort()
    ranks = torch.arange(1, len(scores) + 1, device=scores.device)
    below = torch.nonzero(p_values <= rate * ranks / len(scores)).squeeze(-1)
    found = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if len(below):
        found[order[: int(below[-1]) + 1]] = True
    return found
