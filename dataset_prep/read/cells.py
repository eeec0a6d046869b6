"""Cells of ratings and times as numbers; missing and unreadable cells are counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.read.rows import is_number
from dataset_prep.report import Report
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

Mask = npt.NDArray[np.bool_]
_WORDS = {"true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}
# Larger integers are not exact in float64.
_EXACT = 2.0**53
_DECIMAL_COMMA = r"[+-]?\d+,\d+"
_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+"
_DAY_OR_MONTH = r"(\d{1,2})[-/](\d{1,2})[-/]\d{4}(?:\D.*)?"
_DAY_FIRST = r"\d{1,2}\.\d{1,2}\.\d{4}(?:\D.*)?"
_YEAR_FIRST = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:\D.*)?"
# `Sep 13, 2020`, `13 September 2020`, `Sun Sep 13 12:10:05 +0000 2020`, `09 13, 2020` (Amazon); not
# `Sun 03/04/2020`, where pandas would guess which number is the day.
_WITH_YEAR = (
    r"(?!.*\b\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b)"
    r"(?:.*[A-Za-z]{3}.*|(?:0?[1-9]|1[0-2]) \d{1,2}, )\b\d{4}\b.*"
)


class CellFaults:
    """Counts the rows of a file whose rating or time is missing or cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str, bool], tuple[int, Any, str]] = {}

    def check(self, role: str, values: pd.Series, good: Mask, fine: Mask) -> Mask:
        """The good rows whose cell is ``fine``; the other good rows are counted.

        The index of ``values`` holds the line numbers.
        """
        bad = good & ~fine
        missing = is_missing(values) if bad.any() else bad
        for is_gap, rows in ((True, bad & missing), (False, bad & ~missing)):
            if rows.any():
                key = (role, str(values.name), is_gap)
                first = int(np.argmax(rows))
                start = (0, values.index[first], str(values.iloc[first])[:40])
                count, line, cell = self._found.get(key, start)
                self._found[key] = (count + int(rows.sum()), line, cell)
        return good & fine

    def tell(self, report: Report) -> None:
        """Report each kind as a fault of its own (``drop-rows``)."""
        for (role, name, is_gap), (count, line, cell) in self._found.items():
            has = f"no {role}" if is_gap else f"a {role} that cannot be read"
            shown = "" if is_gap else f" ({cell!r})"
            what = f"{count} rows have {has} in column `{name}`, first line {line}{shown}"
            report.found(self._path.name, what, count, "drop-rows")


def is_missing(values: pd.Series) -> Mask:
    """Mask of cells that are empty, null, or a word for a missing value."""
    missing: Mask = values.isna().to_numpy(np.bool_)
    if values.dtype.kind == "O":
        words = [isinstance(v, str) and v.strip() in MISSING_TOKENS for v in values]
        # Not in place: the array from pandas may be read-only.
        missing = missing | np.array(words, dtype=np.bool_)
    return missing


def ratings_of(values: pd.Series) -> npt.NDArray[np.floating[Any]]:
    """Numbers; 1 and 0 for true and false; NaN for cells that are missing or cannot be read."""
    if values.dtype.kind != "O":
        return np.asarray(values, dtype=np.float32 if values.dtype == np.float32 else np.float64)
    numbers = _floats(values)
    rest = np.isnan(numbers)
    if rest.any() and (rest := rest & ~is_missing(values)).any():
        text = values[rest].astype(str).str.strip().str.lower()
        commas = text.str.fullmatch(_DECIMAL_COMMA)
        if text.isin(_WORDS).all():
            numbers[rest] = text.map(_WORDS)
        elif commas.all() and not text.str.fullmatch(_THOUSANDS).all():
            numbers[rest] = _floats(text.str.replace(",", "."))
    return numbers


def as_floats(path: Path, cells: pd.Series) -> npt.NDArray[np.float64]:
    """Numbers of a column, NaN where missing.

    Raises:
        UserError: a cell is not a number; the index of ``cells`` holds the line numbers.
    """
    if cells.dtype.kind in "iuf":
        return np.asarray(cells, dtype=np.float64)
    numbers = _floats(cells)
    unread = np.isnan(numbers)
    if unread.any():
        unread &= ~is_missing(cells)
    for line, cell in cells[unread].astype(str).items():
        if not is_number(cell):
            raise UserError(
                f"{path}: line {line} has {cell[:40]!r} where column `{cells.name}` needs a "
                "number; correct it"
            )
    return numbers


def times_of(
    values: pd.Series, starts_with_day: bool | None = None
) -> tuple[npt.NDArray[Any], Mask]:
    """Times as 64-bit numbers or ``datetime64[ns]``, and a mask of the cells that hold one.

    Integers stay integers, so that no digit is lost.
    """
    if values.dtype.kind == "M":
        return _instants(values)
    too_large = values.dtype.kind == "u" and (values.astype(np.uint64) >= 2**63).any()
    if values.dtype.kind in "iu" and not too_large:
        return values.to_numpy(np.int64), np.ones(len(values), dtype=np.bool_)
    numbers = _floats(values) if values.dtype.kind == "O" else values.to_numpy(np.float64)
    good: Mask = np.isfinite(numbers)
    if not good.all() and 2 * good.sum() < (~is_missing(values)).sum():
        return _instants(parse_dates(values, starts_with_day))
    known = numbers[good]
    if not len(known) or (known % 1 != 0).any() or np.abs(known).max() >= 2.0**63:
        return numbers, good
    whole = np.zeros(len(values), dtype=np.int64)
    if np.abs(known).max() < _EXACT or values.dtype.kind != "O":
        whole[good] = known
    else:
        whole[good] = [_whole(value) for value in values[good]]
    return whole, good


def day_first(path: Path, name: str, pieces: Iterable[pd.Series]) -> bool | None:
    """Whether dates like 13/09/2020 start with the day; None if there are no such dates.

    Raises:
        UserError: the dates contradict each other, or no date shows which number is the day.
    """
    shown: dict[str, str] = {}
    for piece in pieces:
        text = pd.Series(piece.astype(str).unique()).str.strip()
        found = text.str.extract(f"^{_DAY_OR_MONTH}$").dropna()
        first, second = found[0].astype(int), found[1].astype(int)
        for key, rows in (
            ("day", (first > 12) & (second <= 12)),
            ("month", (second > 12) & (first <= 12)),
            ("either", (first <= 12) & (second <= 12) & (first != second)),
        ):
            if rows.any():
                shown.setdefault(key, text[rows.index[rows]].iloc[0])
    if {"day", "month"} <= set(shown) or set(shown) == {"either"}:
        cells = " and ".join(repr(cell) for key, cell in shown.items() if key != "either")
        raise UserError(
            f"{path}: day and month cannot be told apart in {cells or repr(shown['either'])} of "
            f"column `{name}`; write dates as 2020-09-13"
        )
    return "day" in shown if shown else None


def parse_dates(values: pd.Series, starts_with_day: bool | None) -> pd.Series:
    """UTC instants of dates in common notations; NaT for anything else."""
    text = values.astype(str).str.strip()
    distinct = pd.Series(text.unique()).astype(object)
    dates = pd.to_datetime(distinct, errors="coerce", utc=True, format="ISO8601")
    for pattern, day in (
        (_DAY_OR_MONTH, bool(starts_with_day)),
        (_DAY_FIRST, True),
        (_YEAR_FIRST, False),
        (_WITH_YEAR, False),
    ):
        rows = dates.isna() & distinct.str.fullmatch(pattern)
        if rows.any():
            with warnings.catch_warnings():
                # pandas warns about dates that are valid only in the other order of day and month.
                warnings.simplefilter("ignore")
                dates[rows] = pd.to_datetime(
                    distinct[rows], errors="coerce", utc=True, format="mixed", dayfirst=day
                )
            if pattern == _DAY_FIRST:
                # pandas would read the first number as the month if the second cannot be one.
                months = distinct[rows].str.extract(r"\.(\d{1,2})\.")[0].astype(int)
                dates[months.index[months > 12]] = pd.NaT
    known = pd.Series(dates.array, index=distinct)
    return pd.Series(known.reindex(text).array, index=values.index)


def _instants(values: pd.Series) -> tuple[npt.NDArray[Any], Mask]:
    """UTC instants in nanoseconds; those beyond the years 1678 to 2261 count as unreadable."""
    if values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    fine = values.dt.as_unit("us") if values.dt.unit != "ns" else values
    good = (values.notna() & (fine > "1678") & (fine < "2262")).to_numpy(np.bool_)
    instants = np.zeros(len(values), dtype="datetime64[ns]")
    instants[good] = fine[good].to_numpy("datetime64[ns]")
    return instants, good


def _floats(values: pd.Series) -> npt.NDArray[np.float64]:
    """``float`` of every cell, NaN if it is not a number; pandas' parser rounds differently."""
    cells = values.tolist()
    try:
        if "_" not in "".join(cells):
            return np.array(list(map(float, cells)), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([_float(cell) for cell in cells], dtype=np.float64)


def _float(cell: Any) -> float:
    try:
        # Python would also read 1_000.
        return np.nan if isinstance(cell, str) and "_" in cell else float(cell)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _whole(cell: Any) -> int:
    try:
        return int(cell)
    except ValueError:
        return int(float(cell))
