"""Repeated rows of a table have no say in a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recbole_painvrl.data.splits.shifts import popularity_split, time_split


@pytest.mark.parametrize("protocol", ["popularity", "time"])
def test_a_pair_counts_once_however_often_it_is_in_the_table(protocol: str) -> None:
    """The split of a table is that of its first rows of every pair; so are the counts of items."""
    rng = np.random.default_rng(3)
    users, items = np.divmod(rng.permutation(40 * 30), 30)
    pairs = np.stack([users + 1, items + 1])[:, :600]
    again = pairs[:, pairs[1] < 6].repeat(9, axis=1)

    def split(table: Any) -> Any:
        if protocol == "popularity":
            return popularity_split(*table, 0.2, 0)
        return time_split(*table, np.arange(table.shape[1], dtype=float), 0.2, 0)

    plain, repeated = split(pairs), split(np.concatenate([pairs, again], axis=1))
    assert plain.diagnostics == repeated.diagnostics
    for name, rows in plain.rows.items():
        np.testing.assert_array_equal(rows, repeated.rows[name])
