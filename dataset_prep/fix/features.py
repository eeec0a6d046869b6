"""Faults of feature rows and columns, and their repairs."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.fix.selection import Scan, Selection
from dataset_prep.report import Report
from recbole_painvrl.data.features import LIMIT

_MOSTLY_BROKEN = 0.5
_FITS = 0.98
_LARGEST_HALF = 65504.0


def repair_ids(selection: Selection, rated: Collection[str], report: Report) -> None:
    """Missing, repeated, shifted and unrated ids; afterwards each token occurs once."""
    where = selection.table.where
    known = selection.tokens.astype(np.bool_)
    if not known.all():
        count = int((~known).sum())
        report.found(where, f"{count} rows have no id", count, "drop-rows")
        selection.keep_rows(known)
    again = pd.Series(selection.tokens, dtype=object).duplicated().to_numpy()
    if extra := int(again.sum()):
        shown = selection.tokens[int(np.argmax(again))]
        what = f"{extra} rows repeat an id, first {shown!r}"
        report.found(where, what, extra, "drop-duplicates")
        selection.keep_rows(~again)
    _repair_shift(selection, set(rated), report)
    _repair_unrated(selection, rated, report)


def _repair_shift(selection: Selection, rated: Collection[str], report: Report) -> None:
    """Ids for which a shift by one matches far more items of the interactions."""
    tokens = selection.tokens
    if not len(tokens) or not all(re.fullmatch(r"-?[0-9]{1,18}", token) for token in tokens):
        return
    numbers = [int(token) for token in tokens]
    matched = {step: sum(str(n + step) in rated for n in numbers) for step in (0, 1, -1)}
    best = max((1, -1), key=lambda step: matched[step])
    possible = min(len(tokens), len(rated))
    # A shift may match a few more items by chance, where both sides lack some items.
    clear = matched[best] == possible or matched[best] - matched[0] > (1 - _FITS) * possible
    if matched[best] <= matched[0] or matched[best] < _FITS * possible or not clear:
        return
    fix = report.found(
        selection.table.where,
        f"{matched[0]} of its ids have interactions, but {matched[best]} would if each were "
        f"{best:+d}; the ids look off by one",
        len(tokens),
        "shift-ids",
        "keep-ids",
    )
    if fix != "keep-ids":
        selection.tokens = np.array([str(n + best) for n in numbers], dtype=object)


def _repair_unrated(selection: Selection, rated: Collection[str], report: Report) -> None:
    lookup = set(rated)
    rows = np.array([token in lookup for token in selection.tokens], dtype=np.bool_)
    where = selection.table.where
    count = int((~rows).sum())
    if not rows.any():
        sample = next(iter(rated), "none")
        shown = selection.tokens[0] if len(selection.tokens) else "none"
        report.found(
            where,
            f"none of its ids ({shown!r}...) is among the interactions ({sample!r}...)",
            count,
            advice=selection.table.id_advice,
        )
        return
    if not count:
        return
    fix = report.found(
        where,
        f"{count} of {len(rows)} rows are of items without interaction, first "
        f"{selection.tokens[int(np.argmin(rows))]!r}",
        count,
        "drop-unrated",
        "keep-unrated",
    )
    if fix != "keep-unrated":
        selection.keep_rows(rows)


def repair_rows(selection: Selection, report: Report) -> None:
    """Rows without content, and rows or columns with NaN or Inf."""
    where = selection.table.where
    absent = selection.table.absent
    if absent is not None:
        report.note(f"{where}: {int(absent.sum())} of {len(absent)} rows have no content")
    scan = selection.scan()
    if scan.broken_rows.any():
        _repair_broken(selection, scan, report)
        if not len(selection.rows) or not len(selection.columns):
            return
        scan = selection.scan()
    empty = scan.zero_rows
    if absent is not None:
        empty = empty | absent[selection.rows]
    if empty.any():
        count = int(empty.sum())
        shown = selection.tokens[int(np.argmax(empty))]
        what = f"{count} items have a row without content, first {shown!r}"
        report.found(where, what, count, "drop-rows")
        selection.keep_rows(~empty)


def _repair_broken(selection: Selection, scan: Scan, report: Report) -> None:
    """NaN and Inf: drop columns in which most values are broken, and rows otherwise."""
    mostly = scan.broken_cells > _MOSTLY_BROKEN * len(scan.broken_rows)
    count = int(scan.broken_cells.sum())
    what = (
        f"{count} values are NaN or Inf, in {int(scan.broken_rows.sum())} rows, first "
        f"{selection.tokens[int(np.argmax(scan.broken_rows))]!r}, and columns "
        f"{_listed(selection.columns[scan.broken_cells > 0])}"
    )
    fixes = ["drop-columns", "drop-rows"] if mostly.any() else ["drop-rows", "drop-columns"]
    fix = report.found(selection.table.where, what, count, *fixes) or fixes[0]
    if {"drop-columns", "drop-rows"} <= report.fixes:
        gone = mostly
    else:
        gone = scan.broken_cells > 0 if fix == "drop-columns" else np.zeros_like(mostly)
    broken = scan.broken_rows
    if gone.any():
        selection.keep_columns(~gone)
        broken = selection.scan().broken_rows
    selection.keep_rows(~broken)


def repair_columns(selection: Selection, report: Report, again: bool = False) -> None:
    """Exploding and constant columns.

    Dropping a column may leave a row empty, so that columns are repaired before rows. ``again``
    is for the repetition after rows and items were removed: columns that are kept are not reported
    a second time.
    """
    where = selection.table.where
    if not len(selection.rows) or not len(selection.columns):
        return
    scan = selection.scan()
    exploding = scan.exploding(LIMIT)
    constant = scan.constant & ~exploding & (scan.n_finite > 0)
    if len(selection.rows) < 2 or (again and "keep-constant" in report.fixes):
        constant = np.zeros_like(exploding)
    gone = exploding
    if exploding.any():
        count, largest = int(exploding.sum()), float(scan.largest.max())
        what = (
            f"{count} columns explode beyond {LIMIT:.0e}, up to {largest:.1e}: "
            f"columns {_listed(selection.columns[exploding])}"
        )
        report.found(where, what, count, "drop-columns")
    if constant.any():
        count = int(constant.sum())
        what = f"{count} columns are constant: columns {_listed(selection.columns[constant])}"
        fixes = ["drop-columns", "keep-constant"]
        if constant.all():
            what = f"all {count} columns are constant, so that every item looks the same"
            fixes = ["keep-constant"]
        if report.found(where, what, count, *fixes) != "keep-constant":
            gone = gone | constant
    if gone.any():
        selection.keep_columns(~gone)


def repair_again(selection: Selection, report: Report) -> bool:
    """Columns after rows and items were removed, and rows that are empty without these columns.

    Returns whether a row was dropped.
    """
    width = len(selection.columns)
    repair_columns(selection, report, again=True)
    if not len(selection.columns) or len(selection.columns) == width:
        return False
    empty = selection.scan().zero_rows
    if not empty.any():
        return False
    count, shown = int(empty.sum()), selection.tokens[int(np.argmax(empty))]
    what = (
        f"{count} items have a row without content where constant columns are dropped, "
        f"first {shown!r}"
    )
    report.found(selection.table.where, what, count, "drop-rows")
    selection.keep_rows(~empty)
    # Without these rows, other columns may be constant.
    repair_again(selection, report)
    return True


def standardise(selection: Selection, report: Report) -> None:
    """Standardise the columns if requested, else note columns of very different scale."""
    where = selection.table.where
    if not len(selection.rows) or not len(selection.columns):
        return
    scan = selection.scan()
    if "standardise" in report.fixes:
        scale = np.where(scan.deviation > 0, scan.deviation, 1.0)
        selection.standard = np.stack([scan.mean, scale])
        what = "columns have mean 0 and deviation 1"
        report.found(where, what, selection.shape[1], "standardise")
    elif scan.uneven:
        report.note(
            f"{where}: about {scan.effective:.0f} of {selection.shape[1]} columns hold nearly all "
            "variance and dominate cosines; consider `--fix standardise`"
        )


def check_result(selection: Selection, report: Report) -> None:
    """Check that the result can be loaded: not empty, finite, within the limit and the type."""
    where = selection.table.where
    if not len(selection.rows) or not len(selection.columns):
        if all(fault.where != where for fault in report.faults):
            lost = "column" if len(selection.rows) else "row"
            report.found(where, f"no {lost} is left", 0, advice="leave it out or correct it")
        return
    scan = selection.scan()
    largest = float(scan.largest.max())
    if scan.broken_rows.any() or largest > LIMIT:
        report.found(where, f"values up to {largest:.1e} are left after the repairs", 1)
    elif selection.dtype == np.float16 and largest > _LARGEST_HALF:
        report.found(where, f"values up to {largest:.1e} do not fit float16", 1, "standardise")
    elif selection.dtype == np.float16:
        # Distance of neighbouring numbers: 11 significant bits, and no finer than 2^-24.
        steps = np.maximum(scan.largest * 2.0**-11, 2.0**-24)
        n_lost = int(((scan.deviation > 0) & (scan.deviation < steps)).sum())
        if n_lost:
            what = f"{n_lost} columns vary by less than float16 can hold"
            report.found(where, what, n_lost, "standardise")


def _listed(numbers: npt.NDArray[np.integer]) -> str:
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
