"""The two protocols whose shift needs no learned partition: popularity and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def split_kind(arguments: Mapping[str, Any]) -> tuple[str, Any]:
    """Which of RecBole's splits ``eval_args: split`` asks for: ``(RS, LS or TS, what it takes)``.

    Ratios come as training, validation and test, with 0 for no validation.

    Raises:
        ValueError: it names none or several.
    """
    ((kind, value),) = ((name, v) for name, v in arguments.items() if v is not None)
    if kind not in ("RS", "LS", "TS"):
        raise ValueError(f"there is no split {kind}")
    if kind != "LS" and len(value) == 2:
        value = [value[0], 0, value[1]]
    return kind, value


def time_based_rows(
    users: IntArray, times: npt.NDArray[np.float64], ratios: Sequence[float]
) -> list[IntArray]:
    """RecBole's split ``TS``: one moment for all users, then every user's latest rows before it.

    Rows later than the percentile ``1 - ratios[2]`` of all times are the test. Of a user's other
    rows, in order of time, the fraction ``ratios[0] / (1 - ratios[2])`` is for training.

    Args:
        users: user of every row, ``[n]``.
        times: time of every row, ``[n]``; ties keep table order.
        ratios: training, validation and test, of any sum.

    Returns:
        Rows of training, validation and test.

    Deviations from RecBole: times are compared in 64 bit, and the rows of a user are really put
    in order of time; RecBole sorts a copy and then cuts the unsorted rows.
    """
    train, _, test = np.asarray(ratios, dtype=np.float64) / sum(ratios)
    late = times > np.percentile(times, 100 * (1 - test))
    early = np.flatnonzero(~late)
    early = early[np.lexsort((times[early], users[early]))]
    _, first, counts = np.unique(users[early], return_index=True, return_counts=True)
    rank = np.arange(len(early)) - np.repeat(first, counts)
    kept = rank < np.repeat((counts * (train / (1 - test))).astype(np.int64), counts)
    return [early[kept], early[~kept], np.flatnonzero(late)]


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
