"""The two protocols whose shift needs no learned environments: popularity and time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recbole_painvrl.data.splits.base import (
    IntArray,
    Split,
    distinct_rows,
    drop_cold,
    split_iid_ood,
)


def popularity_split(users: IntArray, items: IntArray, ood_fraction: float, seed: int) -> Split:
    """OOD rows are drawn with probability proportional to 1 / popularity of their item.

    In the OOD test every item is then about equally frequent, while training follows popularity.

    Args:
        users: user of every row, ``[n]``.
        items: item of every row, ``[n]``.
        ood_fraction: fraction of the distinct pairs that go out of distribution.
        seed: of this split alone.
    """
    rng = np.random.default_rng([seed, 1])
    rows = distinct_rows(users, items)
    weight = 1.0 / np.bincount(items[rows])[items[rows]]
    # Exponential keys: a weighted draw without replacement (Efraimidis and Spirakis).
    keys = rng.exponential(size=len(rows)) / weight
    ood = np.zeros(len(rows), dtype=bool)
    ood[np.argsort(keys, kind="stable")[: round(ood_fraction * len(rows))]] = True
    splits = split_iid_ood(rows[~ood], rows[ood], users, items, rng)
    return drop_cold(Split(splits, {"shift": "popularity"}), users, items)


def time_split(
    users: IntArray,
    items: IntArray,
    times: npt.NDArray[np.float64],
    ood_fraction: float,
    seed: int,
) -> Split:
    """The latest interactions are out of distribution, all users together.

    Args:
        users: user of every row, ``[n]``.
        items: item of every row, ``[n]``.
        times: time of every row, ``[n]``; ties keep table order.
        ood_fraction: fraction of the distinct pairs that go out of distribution.
        seed: of this split alone.
    """
    rng = np.random.default_rng([seed, 2])
    rows = distinct_rows(users, items)
    ood = np.zeros(len(rows), dtype=bool)
    order = np.argsort(times[rows], kind="stable")
    ood[order[len(rows) - round(ood_fraction * len(rows)) :]] = True
    splits = split_iid_ood(rows[~ood], rows[ood], users, items, rng)
    return drop_cold(Split(splits, {"shift": "time"}), users, items)
