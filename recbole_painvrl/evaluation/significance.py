"""Paired tests on values per user, their correction for many comparisons, and effect sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

# Relative size of differences that are rounding noise.
_NOISE = 1e-10
# Maximum number of differences for the exact test, which counts all combinations of signs.
_MOST_EXACT = 50

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedComparison:
    """What n paired differences (first minus second) say.

    Attributes:
        n: pairs.
        difference: mean difference.
        low: lower end of its 95 % interval, by Student's t.
        high: upper end.
        effect: Cohen's d of paired values, mean over standard deviation of the differences.
        effect_low: lower end of its 95 % interval, by the large-sample standard error.
        effect_high: upper end.
        p_t: two-sided p of the paired t test.
        p_wilcoxon: two-sided p of Wilcoxon's signed-rank test; zero differences are left out, equal
            ones, which may differ by rounding noise, share the mean of their ranks.
        signed_ranks: their sum, whose sign is the direction of Wilcoxon's test.
    """

    n: int
    difference: float
    low: float
    high: float
    effect: float
    effect_low: float
    effect_high: float
    p_t: float
    p_wilcoxon: float
    signed_ranks: float


def compare_paired(first: FloatArray, second: FloatArray) -> PairedComparison:
    """Compare two methods on the same users.

    Args:
        first: values of one method, ``[n]``.
        second: values of the other for the same users, ``[n]``.

    Raises:
        ValueError: fewer than two pairs, or different lengths.
    """
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(f"found {len(first)} and {len(second)} values, expected two pairs or more")
    scale = np.maximum(np.abs(first), np.abs(second))
    differences = _differences(first, second, scale)
    n, mean = len(differences), float(differences.mean())
    deviation = float(differences.std(ddof=1))
    error = deviation / np.sqrt(n)
    if error > 0:
        p_t = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
        effect = mean / deviation
    else:
        p_t = 1.0 if mean == 0 else 0.0
        effect = 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    half = float(stats.t.ppf(0.975, n - 1)) * error
    # Without any variance there is no standard error either.
    spread = 1.96 * float(np.sqrt(1 / n + effect**2 / (2 * n))) if error > 0 else 0.0
    p_wilcoxon, signed_ranks = _wilcoxon(differences, scale)
    return PairedComparison(
        n=n,
        difference=mean,
        low=mean - half,
        high=mean + half,
        effect=effect,
        effect_low=effect - spread,
        effect_high=effect + spread,
        p_t=p_t,
        p_wilcoxon=p_wilcoxon,
        signed_ranks=signed_ranks,
    )


def holm(p_values: FloatArray) -> FloatArray:
    """Holm's step-down correction: the family-wise error stays below the level.

    Args:
        p_values: p of every comparison of the family, ``[m]``.

    Returns:
        Adjusted p, ``[m]``, in the same order; never smaller than the given ones.
    """
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate((m - np.arange(m)) * p_values[order])
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _differences(first: FloatArray, second: FloatArray, scale: FloatArray) -> FloatArray:
    """First minus second; what is rounding noise beside the values themselves, ``scale``, is 0.

    Means over seeds of the same values differ in their last bits. As differences they would have
    ranks, and signs, of their own.
    """
    differences = first - second
    differences[np.abs(differences) <= _NOISE * scale] = 0.0
    return differences


def _wilcoxon(differences: FloatArray, scale: FloatArray) -> tuple[float, float]:
    """Two-sided p and sum of the signed ranks.

    Exact up to 50 differences, ties included, otherwise by the normal distribution.
    """
    is_nonzero = differences != 0
    nonzero = differences[is_nonzero]
    n = len(nonzero)
    if n == 0:
        return 1.0, 0.0
    ranks = _ranks(np.abs(nonzero), scale[is_nonzero])
    signed = float(np.copysign(ranks, nonzero).sum())
    # Of the positive ranks' sum from its mean.
    distance = abs(signed) / 2
    if n <= _MOST_EXACT:
        return _exact_tail(ranks, distance), signed
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    return 2 * float(stats.norm.sf(distance / np.sqrt(variance))), signed


def _ranks(sizes: FloatArray, scale: FloatArray) -> FloatArray:
    """Ranks of the sizes of differences; equal ones share the mean of their ranks.

    Sizes whose distance is rounding noise beside the values that were subtracted are equal: 0.3
    minus 0.2 is less than 0.2 minus 0.1, so that ranks would depend on the level of the values.
    """
    order = np.argsort(sizes, kind="stable")
    noise = _NOISE * scale[order]
    is_new = np.diff(sizes[order]) > np.maximum(noise[1:], noise[:-1])
    groups = np.empty(len(sizes))
    groups[order] = np.concatenate([[0], np.cumsum(is_new)])
    ranks: FloatArray = stats.rankdata(groups)
    return ranks


def _exact_tail(ranks: FloatArray, distance: float) -> float:
    """Fraction of all 2^n signs whose positive ranks sum to as far from the middle, or farther."""
    # Twice a mean rank is an integer.
    doubled = np.round(2 * ranks).astype(np.int64)
    probability = np.zeros(int(doubled.sum()) + 1)
    probability[0] = 1.0
    for rank in doubled:
        with_rank = np.zeros_like(probability)
        with_rank[rank:] = probability[: len(probability) - rank]
        probability = (probability + with_rank) / 2
    sums = np.arange(len(probability)) / 2
    far = np.abs(sums - ranks.sum() / 2) >= distance - 1e-9
    return min(1.0, float(probability[far].sum()))
