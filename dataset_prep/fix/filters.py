"""Filters of interactions; the counts after each filter are recorded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.interactions import PARTS, Interactions, Mask
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

# If more rows have no id, the column is probably wrong.
_MANY_MISSING = 0.2
# Seconds at the start of 1980; no time in seconds is 30 times as large.
_SINCE_1980, _MOST_RATIO = 315_532_800, 30


@dataclass(frozen=True)
class Filters:
    """Which filters to apply; the fields are those of the options of the same name."""

    min_rating: float | None = None
    user_core: int = 1
    item_core: int = 1
    all_modalities: bool = False
    resplit: bool = False


def _count(report: Report, name: str, interactions: Interactions) -> Interactions:
    report.steps.append((name, len(interactions), interactions.n_users(), interactions.n_items()))
    return interactions


def clean(interactions: Interactions, filters: Filters, report: Report) -> Interactions:
    """Drop missing ids, low ratings and duplicates."""
    _count(report, "read", interactions)
    if filters.resplit and interactions.part_names:
        rows = interactions.rows.drop(columns="part")
        interactions = replace(interactions, rows=rows, part_names=())
    elif filters.resplit:
        report.note("--resplit: there are no fixed splits")
    interactions = _without_missing_ids(interactions, report)
    interactions = _with_sound_times(_count(report, "without missing ids", interactions), report)
    if filters.min_rating is not None:
        if "rating" not in interactions.rows:
            raise UserError("--min-rating: the interactions have no ratings; leave the option out")
        interactions = interactions.keep(interactions.column("rating") >= filters.min_rating)
        _count(report, f"rating >= {filters.min_rating:g}", interactions)
    elif "rating" in interactions.rows:
        _report_nonpositive(interactions, report)
    interactions = _without_duplicates(interactions, report)
    return _count(report, "without duplicates", interactions)


def _without_missing_ids(interactions: Interactions, report: Report) -> Interactions:
    """Drop rows without an id; many of them, or words such as NA as ids, are a fault."""
    known: Mask = (interactions.column("user") >= 0) & (interactions.column("item") >= 0)
    lost = int((~known).sum())
    words = sum(interactions.words.values())
    if words:
        shown = ", ".join(repr(word) for word in list(interactions.words)[:4])
        what = f"{words} ids are words for a missing value ({shown})"
        report.found(interactions.where, what, words, "drop-rows")
    elif lost > _MANY_MISSING * len(known):
        what = f"{lost} of {len(known)} rows have no user or no item id"
        report.found(interactions.where, what, lost, "drop-rows")
    return interactions.keep(known)


def _with_sound_times(interactions: Interactions, report: Report) -> Interactions:
    """Drop times of 0 or less among times since 1980; a mix of units is a fault."""
    times = interactions.column("time") if "time" in interactions.rows else np.empty(0)
    if not len(times) or float(np.median(times)) < _SINCE_1980:
        return interactions
    gone = times <= 0
    if gone.any():
        count = int(gone.sum())
        what = f"{count} of {len(times)} rows have a time of 0 or less, which means missing"
        report.found(interactions.where, what, count, "drop-rows")
    low, high = float(times[~gone].min()), float(times[~gone].max())
    if low >= _SINCE_1980 and high > _MOST_RATIO * low:
        what = (
            f"its times range from {low:.0f} to {high:.0f}, as seconds mixed with milliseconds do"
        )
        report.found(interactions.where, what, 0, advice="write all of them in one unit")
    return interactions.keep(~gone)


def _report_nonpositive(interactions: Interactions, report: Report) -> None:
    """Report ratings of 0 or less (clicks, dislikes, `not rated`), which the user must decide."""
    ratings = interactions.column("rating")
    count = int((ratings <= 0).sum())
    if not count:
        return
    lowest = 1.0
    if (ratings % 1 != 0).any():
        lowest = min(ratings[ratings > 0].tolist(), default=0.0)
    least = f"{lowest:g}" if 0 < float(f"{lowest:g}") <= lowest else "X"
    report.found(
        interactions.where,
        f"{count} of {len(ratings)} rows have a rating of 0 or less (column "
        f"`{interactions.rating_name}`) and would count as interactions",
        count,
        "keep-nonpositive",
        advice=f"leave them out with `--min-rating {least}` or keep them with "
        "`--fix keep-nonpositive`",
    )


def _without_duplicates(interactions: Interactions, report: Report) -> Interactions:
    """Keep one row of a pair: the earliest, or the first of the file without times.

    A pair in two splits is a fault, and stays in the earlier split.
    """
    pairs = ["user", "item"]
    again = interactions.rows.duplicated(pairs).to_numpy(copy=True)
    if not again.any():
        return interactions
    if interactions.part_names:
        repeated = interactions.rows[interactions.rows.duplicated(pairs, keep=False)]
        first = repeated.groupby(pairs, sort=False)["part"].transform("first")
        leaking = int((repeated["part"] != first).sum())
        if leaking:
            what = f"{leaking} pairs of one split are also in another"
            report.found("splits", what, leaking, "drop-duplicates")
    # In order of preference: by split, time, place in the file; `lexsort` takes the last key first.
    keys: list[npt.NDArray[Any]] = []
    if "time" in interactions.rows:
        keys.append(interactions.column("time"))
    if interactions.part_names:
        places = np.array([PARTS.index(name) for name in interactions.part_names])
        keys.append(places[interactions.column("part")])
    order = np.lexsort(keys) if keys else np.arange(len(interactions))
    again[order] = interactions.rows[pairs].iloc[order].duplicated().to_numpy()
    known = [name for name in ("time", "rating") if name in interactions.rows]
    if known:
        # Without times and ratings, the rows of a pair are equal.
        kept = "earliest" if "time" in known else "first"
        report.note(
            f"{interactions.where}: {int(again.sum())} rows repeat a (user, item) pair; the {kept} "
            f"row of each pair{' in its first split' * bool(interactions.part_names)} is kept"
        )
    return interactions.keep(~again)


def select(
    interactions: Interactions,
    filters: Filters,
    modalities: dict[str, Collection[str]],
    report: Report,
) -> Interactions:
    """Keep items with all modalities, then the k-core."""
    if filters.all_modalities and not modalities:
        raise UserError("--all-modalities: there are no features; leave it out or add features")
    if filters.all_modalities:
        covered = set.intersection(*(set(tokens) for tokens in modalities.values()))
        has_all = np.array([token in covered for token in interactions.item_tokens], dtype=np.bool_)
        interactions = interactions.keep(has_all[interactions.column("item")])
        _count(report, "items with all modalities", interactions)
    user_core, item_core = filters.user_core, filters.item_core
    if user_core > 1 or item_core > 1:
        interactions = interactions.keep(k_core(interactions, user_core, item_core))
        _count(report, f"{user_core}/{item_core}-core", interactions)
    if not len(interactions):
        last = report.steps[-1][0]
        raise UserError(f"no interaction is left after `{last}`; loosen the filters")
    return interactions


def k_core(interactions: Interactions, user_core: int, item_core: int) -> Mask:
    """Mask of the largest set of rows in which every user and every item has enough rows."""
    users, items = interactions.column("user"), interactions.column("item")
    left = np.arange(len(users))
    while True:
        stay = np.bincount(users, minlength=1)[users] >= user_core
        stay &= np.bincount(items, minlength=1)[items] >= item_core
        if stay.all():
            break
        left, users, items = left[stay], users[stay], items[stay]
    kept = np.zeros(len(interactions), dtype=np.bool_)
    kept[left] = True
    return kept
