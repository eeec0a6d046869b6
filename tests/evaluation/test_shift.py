"""The kind of a shift: planted ones are called by their name; without one none is found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from recbole_painvrl.data.splits.base import (
    OOD,
    TEST,
    TRAIN,
    VALID,
    IntArray,
    Split,
    drop_cold,
    split_iid_ood,
)
from recbole_painvrl.data.splits.shifts import popularity_split
from recbole_painvrl.evaluation import shift as shift_module
from recbole_painvrl.evaluation.shift import describe_shift

N_USERS, N_ITEMS, PER_USER = 200, 300, 25


def world(seed: int) -> tuple[IntArray, IntArray, dict[str, Any]]:
    """Long-tailed items with two modalities; column 0 of ``visual`` is the log of popularity."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, N_ITEMS + 1) ** 0.8
    visual, text = (rng.standard_normal((N_ITEMS + 1, width)) for width in (12, 8))
    visual[0], text[0] = 0, 0
    visual[1:, 0] = np.log(popularity)
    users = np.repeat(np.arange(1, N_USERS + 1), PER_USER)
    p = popularity / popularity.sum()
    items = [1 + rng.choice(N_ITEMS, PER_USER, replace=False, p=p) for _ in range(N_USERS)]
    return users, np.concatenate(items), {"visual": visual, "text": text}


def described(seed: int, planted: str) -> dict[str, Any]:
    users, items, features = world(seed)
    rng = np.random.default_rng([seed, 1])
    split = popularity_split(users, items, 0.2, seed)
    if planted != "popularity":
        style = features["text"][items, 1] if planted == "content" else np.zeros(len(items))
        ood = rng.random(len(items)) < 1 / (1 + np.exp(1.5 - style))
        rows = split_iid_ood(*(np.flatnonzero(side) for side in (~ood, ood)), users, items, rng)
        split = drop_cold(Split(rows), users, items)
    inside = np.concatenate([split.rows[name] for name in (TRAIN, VALID, TEST)])
    pairs = [(users[rows], items[rows]) for rows in (inside, split.rows[OOD])]
    return describe_shift(pairs[0], pairs[1], features, seed)


@pytest.mark.parametrize("planted", ["popularity", "content"])
def test_a_planted_shift_is_called_by_its_name(planted: str) -> None:
    """Popular items have features of their own, and yet popularity is no content shift."""
    for seed in range(3):
        found = described(seed, planted)
        assert found["kind"] == planted
        assert found["shifted"] == (["text"] if planted == "content" else [])
    if planted == "popularity":
        assert found["popularity"]["auc"] < 0.4


def test_without_a_shift_none_is_found() -> None:
    """The stated error is 1 % of splits: two or more of 25 have a chance of 2.6 % at most."""
    kinds = Counter(described(seed, "none")["kind"] for seed in range(25))
    assert kinds["none found"] >= 24


def test_the_p_of_every_measure_is_uniform_without_a_shift() -> None:
    """Of 3 tests in 30 splits, 9 are expected below 0.1; 1 to 19 have a chance of 99.9 %."""
    found = [described(seed, "none") for seed in range(100, 130)]
    values = [
        one["p"] for each in found for one in (each["popularity"], *each["modalities"].values())
    ]
    assert 1 <= sum(p < 0.1 for p in values) <= 19
    # Of the 60 by features 6 are expected, and none in one of 500 cases.
    by_features = [one["p"] for each in found for one in each["modalities"].values()]
    assert 1 <= sum(p < 0.1 for p in by_features) <= 14


def test_items_that_change_for_no_known_reason_are_another_shift() -> None:
    users, items, features = world(0)
    rng = np.random.default_rng(5)
    often = rng.random(N_ITEMS + 1) < 0.5
    ood = rng.random(len(items)) < np.where(often[items], 0.4, 0.05)
    for name in features:
        features[name] = rng.standard_normal(features[name].shape)
    found = describe_shift((users[~ood], items[~ood]), (users[ood], items[ood]), features, 0)
    assert found["kind"] == "other"


def test_the_weighted_auc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, 9).astype(float)
    iid, ood = rng.integers(0, 4, 9), rng.integers(0, 4, 9)
    pairs = [
        (high > low) + 0.5 * (high == low)
        for high, n in zip(scores, ood, strict=True)
        for low, m in zip(scores, iid, strict=True)
        for _ in range(n * m)
    ]
    assert shift_module._weighted_auc(scores, iid, ood) == pytest.approx(np.mean(pairs))


def test_the_measured_score_is_the_mean_rank_of_mann_and_whitney() -> None:
    found = shift_module._measure(np.array([3, 2]), np.array([1, 2, 0]))
    assert found["auc"] == pytest.approx((3 + 2.5) / 6)
    assert shift_module._measure(np.ones(4), np.ones(3)) == {"auc": 0.5, "p": 1.0}


@pytest.mark.parametrize(
    ("p", "n_tests", "expected"), [(0.0049, 2, True), (0.0051, 2, False), (0.0034, 3, False)]
)
def test_the_level_is_that_of_all_tests_together(p: float, n_tests: int, expected: bool) -> None:
    assert shift_module._found({"auc": 0.6, "p": p}, n_tests) == expected


def test_scores_are_permuted_among_items_of_equal_popularity() -> None:
    """Scores that are equal within a stratum stay where they are."""
    rng = np.random.default_rng(0)
    strata = rng.integers(0, 5, 60)
    iid, ood = rng.random(60), rng.random(60)
    found = shift_module._permuted(strata.astype(float), iid, ood, strata, rng)
    expected = shift_module._weighted_auc(strata.astype(float), iid, ood)
    np.testing.assert_allclose(found, expected)


def test_what_occurs_once_inside_is_not_compared() -> None:
    """Its kind was dropped from the OOD test as cold."""
    users, items = np.array([1, 1, 2, 2, 3, 4, 4]), np.array([7, 8, 7, 9, 8, 8, 6])
    # User 3, and items 9 and 6, have one interaction.
    assert shift_module._warm(users, items).tolist() == [7, 8, 7, 8]
    outside = np.array([7, 8, 8]), np.array([7, 8, 9])
    found = describe_shift((users, items), outside, {}, 0)
    popularity = {6: 1, 7: 3, 8: 4, 9: 2}
    expected = mannwhitneyu(
        [popularity[i] for i in outside[1]], [popularity[i] for i in (7, 8, 7, 8)],
        method="asymptotic",
    )  # fmt: skip
    assert found["popularity"]["p"] == pytest.approx(expected.pvalue)
    assert found["popularity"]["auc"] == pytest.approx(expected.statistic / 12)
