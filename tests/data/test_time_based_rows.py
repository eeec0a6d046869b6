"""RecBole's split ``TS`` by hand: one moment for all users, then fractions of every user's rows."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_painvrl.data.splits.random import split_kind, time_based_rows

HALF = (0.5, 0.25, 0.25)


def test_fractions_of_every_users_early_rows() -> None:
    """Times 0 to 15: the latest quarter is 12 to 15; of the others two thirds are trained on."""
    times = np.array([5, 1, 9, 3, 0, 15, 7, 12, 2, 13, 4, 6, 8, 10, 11, 14], dtype=np.float64)
    users = np.where(times % 2 == 0, 1, 2)
    train, valid, test = (times[rows].tolist() for rows in time_based_rows(users, times, HALF))
    assert sorted(test) == [12, 13, 14, 15]
    # User 1 has 0, 2, 4, 6, 8, 10 and user 2 has 1, 3, 5, 7, 9, 11 before.
    assert sorted(train) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sorted(valid) == [8, 9, 10, 11]


def test_the_moment_itself_is_not_late() -> None:
    """The 75th percentile of 0 to 4 is 3."""
    times = np.arange(5.0)
    train, valid, test = time_based_rows(np.ones(5, dtype=np.int64), times, HALF)
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1], [2, 3], [4])


def test_ratios_may_have_any_sum_and_ties_keep_table_order() -> None:
    users, times = np.ones(9, dtype=np.int64), np.array([0.0] * 6 + [1.0] * 2 + [2.0])
    for ratios in (HALF, (2, 1, 1)):
        train, valid, test = time_based_rows(users, times, ratios)
        assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7], [8])


def test_two_ratios_are_training_and_test() -> None:
    assert split_kind({"TS": [0.8, 0.2]}) == ("TS", [0.8, 0, 0.2])
    assert split_kind({"RS": [0.8, 0.2], "LS": None}) == ("RS", [0.8, 0, 0.2])
    assert split_kind({"RS": [8, 1, 1]}) == ("RS", [8, 1, 1])
    assert split_kind({"LS": "valid_and_test"}) == ("LS", "valid_and_test")
    for wrong in ({"XS": [0.8, 0.2]}, {"RS": [1, 1], "TS": [1, 1]}, {"RS": None}):
        with pytest.raises(ValueError, match=r"no split|unpack"):
            split_kind(wrong)
