"""Which method is the reference, what is better, and how p-values are corrected."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

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


def test_methods_are_not_tested_over_a_part_of_their_common_seeds() -> None:
    """One run kept no values per user: the means are over both seeds, and so would be the test."""
    one, other = method("A", 0.5, 0.1), method("BB", 0.2, 0.9)
    partly = replace(other, per_user=lambda seed: other.per_user(seed) if seed else None)
    (found,) = compare([one, partly], "A", "BB", [NDCG])
    assert (found.seeds, found.paired, found.outcome) == (2, None, "not tested")
    assert "no values per user" in found.untested
