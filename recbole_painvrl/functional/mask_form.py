"""The form in which a learnt mask enters the final model: soft, or cut in two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Values below this count as equal, since their columns are switched off.
_OFF = 0.1
# Scales among which the likelihood decides: reciprocals, logarithms (0), square roots, values.
_POWERS = (-1.0, -0.5, 0.0, 0.5, 1.0)
# Features do clear harm if all of them score lower than none by more than this fraction.
_CLEAR_HARM = 0.1
# Lower bound of the variance within groups, as a fraction; at 0 the likelihood is infinite.
_NO_SPREAD = 1e-12
# Two groups explain at least this fraction of the variance, which is that of evenly spread values,
# and their means are at least so far apart. Of n normal values 2-means explains less than
# 0.64 + 0.6 / sqrt(n) in about nine of ten cases.
_EXPLAINED, _GAP = 0.75, 0.25
_NORMAL, _BY_CHANCE = 0.64, 0.6


@dataclass(frozen=True)
class Cut:
    """A mask cut in two groups of columns.

    Attributes:
        mask: 1 for the columns above the cut, 0 for the others, ``[d]``.
        threshold: a value between the two groups; None where all columns are equal and kept.
        power: of the scale in which the groups were formed; 0 stands for logarithms.
        explained: fraction of the variance in that scale that is between the groups, in [0, 1]:
            about 0.64 where the values are normally distributed, near 1 for two groups apart.
        gap: difference of the mean values of the groups.
    """

    mask: Tensor
    threshold: float | None
    power: float
    explained: float
    gap: float

    @property
    def two_groups(self) -> bool:
        """Whether the values form two groups rather than one that was cut somewhere."""
        least = max(_EXPLAINED, _NORMAL + _BY_CHANCE / len(self.mask) ** 0.5)
        return self.explained >= least and self.gap >= _GAP


def cut_in_two(mask: Tensor) -> Cut:
    """2-means of a mask in the scale in which its two groups are closest to normal.

    The values are transformed by every power of Box and Cox (1964) in ``_POWERS`` and divided by
    :func:`two_means`. Of these divisions the most likely is taken, for two normal groups with equal
    variances in the transformed scale. The scale has to be found per mask: a column that nothing
    holds decays by a factor in every step (Eq. 19), so where nothing else moves the spurious
    columns, they gather closely at the lowest values; where they are pushed, they spread widely.

    Args:
        mask: learnt values, ``[d]``.
    """
    plain = mask.detach().double().cpu()
    values, order = plain.clamp(min=_OFF).sort()
    n = len(values)
    if n < 2 or values[0] == values[-1]:
        return Cut(torch.ones_like(mask), None, 1.0, 0.0, 0.0)
    logarithms = values.log()
    found = []
    for power in _POWERS:
        scaled = (values.pow(power) - 1) / power if power else logarithms
        cut, explained = two_means(scaled)
        within = scaled.var(correction=0) * max(1 - explained, _NO_SPREAD)
        # The second term is the logarithm of the transformation's derivative.
        likelihood = (power - 1) * float(logarithms.sum()) - n / 2 * float(within.log())
        found.append((likelihood, power, cut, explained))
    _, power, cut, explained = max(found, key=lambda one: one[0])
    kept = torch.zeros_like(mask)
    kept[order[cut:].to(mask.device)] = 1.0
    gap = plain[order[cut:]].mean() - plain[order[:cut]].mean()
    threshold = float((values[cut - 1] * values[cut]).sqrt())
    return Cut(kept, threshold, power, explained, float(gap))


def cut_by_modality(mask: Tensor, slices: Mapping[str, slice]) -> tuple[Tensor, dict[str, Cut]]:
    """A mask cut in two within each modality whose values form two groups; others are kept whole.

    Columns of one modality have been scaled together and decay at the same speed. Modalities have
    not, so a cut over all columns may only tell one modality from another.

    Args:
        mask: the learnt values of all columns of all modalities, ``[d]``.
        slices: columns of every modality.

    Returns:
        1 for the columns to keep and 0 for the others, ``[d]``, and the cut of every modality.
    """
    cuts = {name: cut_in_two(mask[columns]) for name, columns in slices.items()}
    kept = torch.ones_like(mask)
    for name, cut in cuts.items():
        if cut.two_groups:
            kept[slices[name]] = cut.mask
    return kept, cuts


def two_means(values: Tensor) -> tuple[int, float]:
    """Exact 2-means in one dimension.

    The groups are divided where the sum of squares within them is smallest. In one dimension the
    best groups are always a lower and an upper one; equal values stay together.

    Args:
        values: in ascending order, at least two different ones, ``[n]``.

    Returns:
        Number of values in the lower group, and the fraction of the variance between the groups.
    """
    n, total = len(values), values.sum()
    below = torch.arange(1, n, dtype=values.dtype)
    sums = values.cumsum(0)[:-1]
    apart = (total - sums) / (n - below) - sums / below
    between = below * (n - below) / n * apart.square()
    between[values[1:] == values[:-1]] = -1.0
    best = int(between.argmax())
    spread = (values - values.mean()).square().sum()
    return best + 1, float(between[best] / spread)


def agreement(gradients: Sequence[Tensor]) -> Tensor:
    """How clearly the environments' gradients by each column of W point the same way, ``[d]``.

    The statistic of a column is the sum of the inner products of its mean gradients in all pairs
    of environments, divided by its standard error. It is unbiased, since two environments share no
    batch, does not depend on the scale of a column, and is about standard normal where the
    product is 0. Below 0, what the column says for one environment is wrong for another.

    Args:
        gradients: of every environment the gradients of independent batches, ``[n_e, k, d]``. An
            environment of one batch is left out, since nothing is known about its noise.
    """
    width, device = gradients[0].shape[-1], gradients[0].device
    gradients = [one for one in gradients if len(one) > 1]
    if not gradients:
        return torch.zeros(width, dtype=torch.float64, device=device)
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

    One-sided tests reject ``scores >= 0``. By the procedure of Benjamini and Hochberg, on average
    at most the fraction ``rate`` of the columns found is not reversed.

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


def best_form(scores: Mapping[str, float], without_spurious: str | None) -> str:
    """The candidate with the best validation score, or the mask without spurious columns.

    Where spurious columns were found, the mask without them is taken, unless all features do clear
    harm in distribution: a better score with spurious columns is no reason to keep them, and small
    differences are noise.

    Args:
        scores: validation score of every candidate, higher is better; of equal ones the first.
        without_spurious: name of the mask without spurious columns; ignored where it is no
            candidate. None: the best score decides.
    """
    if without_spurious in scores:
        harm = scores["zeros"] - scores["ones"]
        if harm <= _CLEAR_HARM * abs(scores["zeros"]):
            return str(without_spurious)
    return max(scores, key=lambda name: scores[name])
