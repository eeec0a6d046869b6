"""Paired tests on values per user, their correction for many comparisons, and effect sizes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

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
        p_wilcoxon: two-sided p of Wilcoxon's signed-rank test; zero differences are left out.
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
    differences = first - second
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
    return PairedComparison(
        n, mean, mean - half, mean + half, effect, effect - spread, effect + spread,
        p_t, _wilcoxon(differences),
    )  # fmt: skip


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


def _wilcoxon(differences: FloatArray) -> float:
    nonzero = differences[differences != 0]
    if len(nonzero) == 0:
        return 1.0
    with warnings.catch_warnings():
        # SciPy warns of small samples; their number stands beside the result.
        warnings.simplefilter("ignore")
        return float(stats.wilcoxon(nonzero).pvalue)
