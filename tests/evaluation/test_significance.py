"""Paired tests against the textbook's formulas, Holm against all subsets of hypotheses."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recbole_painvrl.evaluation.significance import compare_paired, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def closed_test(p_values: list[float]) -> list[float]:
    """Holm as the closed test of Bonferroni: the worst of all families that hold a hypothesis."""
    numbers = range(len(p_values))
    families = [f for size in range(1, len(p_values) + 1) for f in combinations(numbers, size)]
    bonferroni = {f: min(1.0, len(f) * min(p_values[n] for n in f)) for f in families}
    return [max(p for f, p in bonferroni.items() if number in f) for number in numbers]


@given(P_VALUES)
def test_holm_is_the_closed_test(p_values: list[float]) -> None:
    assert holm(np.array(p_values)).tolist() == pytest.approx(closed_test(p_values))


def test_t_by_hand() -> None:
    first, second = np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 4.0, 5.0, 4.0])
    found = compare_paired(first, second)
    # Differences 2, 1, -1, 4: mean 3/2, variance (1/4 + 1/4 + 25/4 + 25/4) / 3 = 13/3.
    t = 1.5 / np.sqrt(13 / 3 / 4)
    assert found.n == 4
    assert found.difference == pytest.approx(1.5)
    assert found.p_t == pytest.approx(2 * stats.t.sf(t, 3))
    assert found.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    half = 3.182446305284263 * np.sqrt(13 / 3 / 4)
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half))
    assert found.effect == pytest.approx(1.5 / np.sqrt(13 / 3))
    # The variance of d is 1 / 4 + d^2 / 8: d = 0.720577, and 1.96 deviations are 1.099880.
    assert found.effect_low == pytest.approx(0.720577 - 1.099880, abs=1e-6)
    assert found.effect_high == pytest.approx(0.720577 + 1.099880, abs=1e-6)


def test_a_constant_gain_is_certain() -> None:
    found = compare_paired(np.full(9, 2.0), np.ones(9))
    assert found.p_t == 0 and found.effect == np.inf and (found.low, found.high) == (1, 1)
    assert (found.effect_low, found.effect_high) == (np.inf, np.inf)


@pytest.mark.parametrize("size", [0, 1])
def test_pairs_are_needed(size: int) -> None:
    with pytest.raises(ValueError, match="two pairs"):
        compare_paired(np.zeros(size), np.zeros(size))


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(2)
    found = [compare_paired(rng.normal(size=40), rng.normal(size=40)) for _ in range(400)]
    for name in ("p_t", "p_wilcoxon"):
        rate = np.mean([getattr(one, name) < 0.05 for one in found])
        assert 0.02 < rate < 0.09, name
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert covered > 0.91


def signs_counted(differences: np.ndarray) -> float:
    """Wilcoxon's p by all 2^n signs of the differences that are not 0."""
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    observed = abs(ranks[nonzero > 0].sum() - ranks.sum() / 2)
    sums = [
        abs(sum(r for r, sign in zip(ranks, signs, strict=True) if sign) - ranks.sum() / 2)
        for signs in product((False, True), repeat=len(ranks))
    ]
    return float(np.mean([one >= observed - 1e-9 for one in sums]))


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_wilcoxon_counts_all_signs_with_ties(values: list[int]) -> None:
    differences = np.array(values, dtype=np.float64)
    found = compare_paired(differences, np.zeros(len(values))).p_wilcoxon
    assert found == pytest.approx(signs_counted(differences) if differences.any() else 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_which_method_is_named_first_does_not_matter(values: list[tuple[int, int]]) -> None:
    first, second = np.array(values, dtype=np.float64).T / 3
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert one.p_wilcoxon == pytest.approx(other.p_wilcoxon, abs=1e-12)
    assert one.p_t == pytest.approx(other.p_t, abs=1e-12)
    assert one.difference == pytest.approx(-other.difference)


def test_exact_and_normal_agree_where_they_meet() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.15, 1, 51)
    exact = compare_paired(differences[:50], np.zeros(50)).p_wilcoxon
    assert exact == pytest.approx(stats.wilcoxon(differences[:50], method="exact").pvalue)
    normal = stats.wilcoxon(differences, correction=False).pvalue
    assert compare_paired(differences, np.zeros(51)).p_wilcoxon == pytest.approx(normal)


def test_rounding_noise_of_seed_means_is_no_difference() -> None:
    """The same values summed in another order differ in their last bits."""
    values = np.random.default_rng(2).random((40, 5))
    first, second = values.mean(axis=1), values[:, ::-1].sum(axis=1) / 5
    assert (first != second).any()
    found = compare_paired(first, second)
    assert (found.p_wilcoxon, found.p_t, found.difference) == (1.0, 1.0, 0.0)
    # A real difference stays one, however small the values are.
    assert compare_paired(first * 1e-9, first * 1.01e-9).p_wilcoxon < 1e-6


def test_the_interval_is_as_wide_as_the_spread_of_d() -> None:
    """95 % of many samples of 50 differences around 0.4 have the true d in their interval."""
    rng = np.random.default_rng(0)
    samples = [compare_paired(rng.normal(0.4, 1, 50), np.zeros(50)) for _ in range(600)]
    covered = np.mean([one.effect_low <= 0.4 <= one.effect_high for one in samples])
    assert 0.92 < covered < 0.98
    half = np.mean([one.effect_high - one.effect_low for one in samples]) / 2
    assert half == pytest.approx(1.96 * np.std([one.effect for one in samples]), rel=0.1)


def test_many_ties_beyond_the_exact_test() -> None:
    """As metrics of users have, which take few values."""
    differences = np.random.default_rng(3).choice([-2, -1, 0, 1, 2, 2], 200) / 10
    found = compare_paired(differences, np.zeros(200))
    nonzero = differences[differences != 0]
    expected = stats.wilcoxon(nonzero, correction=False, method="asymptotic").pvalue
    assert found.p_wilcoxon == pytest.approx(expected) and found.n == 200
