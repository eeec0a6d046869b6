"""Which method is the reference, what is better; paired tests and Holm against textbooks."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recbole_painvrl.evaluation.comparison import (
    OTHERS,
    PRIMARY,
    Method,
    best,
    compare,
    control_of,
    is_better,
    reference,
    standing,
)
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


@pytest.mark.parametrize("n", [10, 40])
@pytest.mark.parametrize("levels", [(4, 3, 0, 1), (3, 2, 1, 2), (6, 3, 2, 5)])
def test_differences_that_are_equal_but_for_rounding_share_their_rank(
    levels: tuple[int, int, int, int], n: int
) -> None:
    """Of users who gain at one level and lose as much at another, the rounding decided."""
    high, lower, low, higher = (np.full(n, level) / 10 for level in levels)
    found = compare_paired(np.concatenate([high, low]), np.concatenate([lower, higher]))
    assert (found.p_wilcoxon, found.signed_ranks) == (1.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60))
def test_wilcoxon_does_not_depend_on_the_unit(values: list[tuple[int, int]]) -> None:
    first, second = np.array(values, dtype=np.float64).T
    found, exact = compare_paired(first / 10, second / 10), compare_paired(first, second)
    assert (found.p_wilcoxon, found.signed_ranks) == (exact.p_wilcoxon, exact.signed_ranks)


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


USERS = 30
NDCG, GINI = ("ood", "ndcg@10"), ("ood", "giniindex@10")
POPULARITY = ("ood", "averagepopularity@10")
COLUMNS = [NDCG, GINI, POPULARITY]


def method(label: str, level: float, valid: float, seeds: tuple[int, ...] = (0, 1)) -> Method:
    def per_user(seed: int) -> pd.DataFrame:
        noise = np.random.default_rng([len(label), seed]).normal(0, 0.1, USERS)
        users = [f"u{number:02}" for number in range(USERS)]
        values = {"ndcg@10": level + noise, "giniindex@10": level + noise}
        return pd.DataFrame({"test_set": "ood", "user_id": users, **values})

    values = {
        ("valid", "ndcg@10"): [valid] * len(seeds),
        **{column: [level] * len(seeds) for column in COLUMNS},
    }
    return Method(label, values, seeds, per_user)


METHODS = [method("A", 0.5, 0.1), method("BB", 0.2, 0.9), method("CCC", 0.8, 0.3)]


@pytest.mark.parametrize(("metric", "smaller"), [
    ("ndcg@10", False), ("recall@50", False), ("itemcoverage@10", False), ("rmse", True),
    ("giniindex@10", True), ("averagepopularity@10", True), ("ndcg_hits@10", False),
])  # fmt: skip
def test_which_value_is_better(metric: str, smaller: bool) -> None:
    assert is_better(metric, 0.25, 0.5) == smaller
    assert best(metric, {"x": 0.5, "y": 0.25, "z": math.nan}) == ("y" if smaller else "x")
    assert best(metric, {"x": math.nan}) is None


def test_the_reference_is_chosen_by_validation_among_complete_methods() -> None:
    assert reference(METHODS, "A", "ndcg@10") == "BB"
    incomplete = Method("BB", METHODS[1].values, (0,), METHODS[1].per_user, complete=False)
    assert reference([METHODS[0], incomplete, METHODS[2]], "A", "ndcg@10") == "CCC"
    assert reference(METHODS, "A", "recall@10") is None


def test_controls_of_a_mask_are_no_baselines_and_nobody_has_to_beat_the_oracle() -> None:
    a, weak, strong = METHODS
    zeros, oracle = replace(weak, control="zeros"), replace(strong, control="oracle")
    assert reference([a, zeros, strong], "A", "ndcg@10") == "CCC"
    assert reference([a, zeros, oracle], "A", "ndcg@10") is None
    assert standing([a, zeros, oracle], "A", NDCG, []) == ""
    learnt = replace(a, control="learnt")
    assert reference([learnt, weak, oracle], "A", "ndcg@10") is None
    assert "leads, ahead of BB" in standing([learnt, zeros, oracle], "A", NDCG, [])


def test_the_name_of_a_file_says_which_control_a_mask_is() -> None:
    files = ["masks/run/oracle.npz", "zeros.npz", "runs/oracle", "runs/x/mask.npz", "", None]
    assert [control_of(one) for one in files] == ["oracle", "zeros", "", "", "", ""]


def test_two_families_are_corrected_apart() -> None:
    found = compare(METHODS, "A", "BB", COLUMNS)
    assert [one.family for one in found] == [PRIMARY] * 3 + [OTHERS] * 3
    for other, members in (("BB", found[:2]), ("CCC", found[3:5])):
        frames = [
            np.mean([one.per_user(seed)["ndcg@10"] for seed in (0, 1)], axis=0)
            for one in METHODS
            if one.label in ("A", other)
        ]
        expected = compare_paired(*frames)
        assert [one.paired for one in members] == [expected, expected]
        assert [one.holm_t for one in members] == holm(np.array([expected.p_t] * 2)).tolist()


def test_outcomes_follow_the_direction_of_the_metric() -> None:
    found = {(one.other, one.metric): one for one in compare(METHODS, "A", "BB", COLUMNS)}
    assert found["BB", "ndcg@10"].outcome == "better"
    assert found["BB", "giniindex@10"].outcome == "worse"
    assert found["CCC", "ndcg@10"].outcome == "worse"
    assert found["CCC", "giniindex@10"].outcome == "better"
    assert found["BB", "averagepopularity@10"].outcome == "not tested"
    assert "no values per user" in found["BB", "averagepopularity@10"].untested
    sentences = [standing(METHODS, "A", column, list(found.values())) for column in (NDCG, GINI)]
    assert "A (0.5000) does not win: it is behind CCC (0.8000) by 0.3000" in sentences[0]
    assert "A (0.5000) does not win: it is behind BB (0.2000) by 0.3000" in sentences[1]


@pytest.mark.parametrize(("by_t", "by_ranks", "outcome"), [
    (0.01, 0.01, "better"), (0.0499, 0.0499, "better"), (0.05, 0.05, "not significant"),
    (0.01, 0.2, "the tests disagree"), (0.2, 0.01, "the tests disagree"),
    (0.05, 0.01, "the tests disagree"),
])  # fmt: skip
def test_both_tests_have_to_find_a_difference(by_t: float, by_ranks: float, outcome: str) -> None:
    (found, *_) = compare(METHODS, "A", "BB", COLUMNS)
    assert replace(found, holm_t=by_t, holm_wilcoxon=by_ranks).outcome == outcome


def test_tests_that_find_opposite_directions_disagree() -> None:
    """Few users gain much, most lose a little: the mean is higher and the ranks are lower."""
    differences = np.array([-0.01] * 1240 + [0.3] * 240 + [0.0] * 520)
    users = [f"u{number}" for number in range(len(differences))]

    def made(label: str, values: np.ndarray) -> Method:
        frame = pd.DataFrame({"test_set": "ood", "user_id": users, "ndcg@10": values})
        return Method(label, {NDCG: [values.mean()]}, [0], lambda _: frame)

    level = np.full(len(differences), 0.5)
    (found,) = compare([made("A", level + differences), made("B", level)], "A", "B", [NDCG])
    assert found.paired is not None and found.paired.difference > 0 > found.paired.signed_ranks
    assert max(found.holm_t, found.holm_wilcoxon) < 1e-6
    assert found.outcome == "the tests disagree"


def test_a_row_that_lacks_seeds_is_compared_over_those_of_both() -> None:
    whole = replace(method("A", 0.5, 0.1), values={NDCG: [0.1, 0.3]})
    part = replace(method("BB", 0.2, 0.9, (1,)), values={NDCG: [0.25]}, complete=False)
    (found,) = compare([whole, part], "A", None, [NDCG])
    assert (found.seeds, found.value, found.other_value) == (1, 0.3, 0.25)
    assert "A (0.3000) leads, ahead of BB (0.2500) by 0.0500, 20.0% over the 1 seed" in standing(
        [whole, part], "A", NDCG, [found]
    )
    other = replace(method("CCC", 0.8, 0.3), values={NDCG: [0.01, 0.01]})
    assert "ahead of CCC (0.0100)" in standing([whole, part, other], "A", NDCG, [])


def test_methods_without_a_common_seed_are_averaged_over_their_own() -> None:
    one, other = method("A", 0.5, 0.1, (0, 1)), method("BB", 0.2, 0.9, (2,))
    (found,) = compare([one, other], "A", "BB", [NDCG])
    first = np.mean([one.per_user(seed)["ndcg@10"] for seed in (0, 1)], axis=0)
    assert found.seeds == 0
    assert found.paired == compare_paired(first, other.per_user(2)["ndcg@10"].to_numpy())
    sentence = standing([one, other], "A", NDCG, [found])
    assert "ahead of BB (0.2000) by 0.3000, 150.0%, each over other seeds;" in sentence


def test_methods_are_not_tested_over_a_part_of_their_common_seeds() -> None:
    """One run kept no values per user: the means are over both seeds, and so would be the test."""
    one, other = method("A", 0.5, 0.1), method("BB", 0.2, 0.9)
    partly = replace(other, per_user=lambda seed: other.per_user(seed) if seed else None)
    (found,) = compare([one, partly], "A", "BB", [NDCG])
    assert (found.seeds, found.paired, found.outcome) == (2, None, "not tested")
    assert "no values per user" in found.untested


def test_a_sentence_says_if_means_over_seeds_and_over_users_have_opposite_signs() -> None:
    """With protocol random every seed tests users of its own; a lead was called significant."""

    def made(label: str, gains: tuple[float, float]) -> Method:
        frames = {}
        for seed, n in enumerate((40, 400)):
            noise = np.random.default_rng([seed, len(label)]).normal(0, 0.01, n)
            users = [f"{seed}-{number}" for number in range(n)]
            values = 0.5 + gains[seed] + noise - noise.mean()
            frames[seed] = pd.DataFrame({"test_set": "test", "user_id": users, "ndcg@10": values})
        means = [float(frame["ndcg@10"].mean()) for frame in frames.values()]
        return Method(label, {("test", "ndcg@10"): means}, [0, 1], frames.get)

    column, other = ("test", "ndcg@10"), made("Other", (0.0, 0.0))
    for gains, is_opposite in (((0.1, -0.03), True), ((0.1, 0.03), False)):
        methods = [made("A", gains), other]
        said = standing(methods, "A", column, compare(methods, "A", None, [column]))
        assert "A (" in said and "leads, ahead of" in said and "difference is significant" in said
        assert ("is the other way; " in said) == is_opposite
