"""The two protocols whose shift needs no learned partition: popularity and time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recbole_painvrl.data.parts import (
    IntArray,
    Split,
    distinct_rows,
    drop_cold,
    split_iid,
    split_ood,
)


def popularity_split(users: IntArray, items: IntArray, ood_fraction: float, seed: int) -> Split:
    """OOD rows are drawn with probability proportional to 1 / popularity of their item.

    In the OOD test every item is then about equally frequent, while training follows popularity.

    Args:
        users: user of every row, ``[n]``.
        items: item of every row, ``[n]``.
        ood_fraction: share of the distinct pairs that go out of distribution.
        seed: of this split alone.
    """
    rng = np.random.default_rng([seed, 1])
    rows = distinct_rows(users, items)
    degree = np.bincount(items[rows])
    weight = 1.0 / degree[items[rows]]
    # Exponential keys: a weighted draw without replacement (Efraimidis and Spirakis).
    keys = rng.exponential(size=len(rows)) / weight
    chosen = np.argsort(keys, kind="stable")[: round(ood_fraction * len(rows))]
    return _two_sided(rows, chosen, users, items, rng, "popularity")


def time_split(
    users: IntArray,
    items: IntArray,
    times: npt.NDArray[np.float64],
    ood_fraction: float,
    seed: int,
) -> Split:
    """The latest share of the interactions is out of distribution, all users together.

    Args:
        users: user of every row, ``[n]``.
        items: item of every row, ``[n]``.
        times: time of every row, ``[n]``; ties keep table order.
        ood_fraction: share of the distinct pairs that go out of distribution.
        seed: of this split alone.
    """
    rng = np.random.default_rng([seed, 2])
    rows = distinct_rows(users, items)
    latest = np.argsort(times[rows], kind="stable")[len(rows) - round(ood_fraction * len(rows)) :]
    return _two_sided(rows, latest, users, items, rng, "time")


def _two_sided(
    rows: IntArray,
    chosen: IntArray,
    users: IntArray,
    items: IntArray,
    rng: np.random.Generator,
    shift: str,
) -> Split:
    ood = np.zeros(len(rows), dtype=bool)
    ood[chosen] = True
    parts = {**split_iid(rows[~ood], users, items, rng), **split_ood(rows[ood], rng)}
    return drop_cold(Split(parts, {"shift": shift}), users, items)
