"""Cells of ratings and times as numbers: words, decimal commas, dates, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.report import Report
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

Mask = npt.NDArray[np.bool_]
_WORDS = {"true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}
_EXACT = 2.0**53
_DECIMAL_COMMA = r"[+-]?\d+,\d+"
_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+"
_DAY_OR_MONTH = r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})(.*)"
_DAY_FIRST = r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)"
_YEAR_FIRST = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(.*)"
_FORMATS = (
    *("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%a %b %d %H:%M:%S %z %Y", "%b %d, %Y"),
    *("%B %d, %Y", "%d %b %Y", "%d %B %Y", "%a, %d %b %Y %H:%M:%S %z", "%m %d, %Y"),
)


class CellFaults:
    """Rows of a file whose rating or time is missing or cannot be read, counted over all pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str, bool], tuple[int, Any, str]] = {}

    def check(self, role: str, values: pd.Series, good: Mask, fine: Mask) -> Mask:
        """The good rows whose cell is ``fine``; the others among them are counted.

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
        """Report each kind as a fault of its own, which ``drop-rows`` mends."""
        for (role, name, is_gap), (count, line, cell) in self._found.items():
            has = f"no {role}" if is_gap else f"a {role} that cannot be read"
            shown = "" if is_gap else f" ({cell!r})"
            what = f"{count} rows have {has} in column `{name}`, first line {line}{shown}"
            report.found(self._path.name, what, count, "drop-rows")


def is_missing(values: pd.Series) -> Mask:
    """Cells that are empty, null, or a word for that."""
    missing: Mask = values.isna().to_numpy(np.bool_)
    if values.dtype.kind == "O":
        words = [isinstance(v, str) and v.strip() in MISSING_TOKENS for v in values]
        # Not in place: pandas may give an array that is read-only.
        missing = missing | np.array(words, dtype=np.bool_)
    return missing


def ratings_of(values: pd.Series) -> npt.NDArray[np.floating[Any]]:
    """Numbers; 1 and 0 for true and false; NaN for what is missing or cannot be read."""
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


def times_of(values: pd.Series, day_first: bool | None = None) -> tuple[npt.NDArray[Any], Mask]:
    """Times as 64-bit numbers or ``datetime64[ns]``, and which cells have one.

    Whole numbers stay whole, so that none loses a digit.
    """
    if values.dtype.kind == "M":
        return _instants(values)
    if values.dtype.kind in "iu":
        return values.to_numpy(np.int64), np.ones(len(values), dtype=np.bool_)
    numbers = _floats(values) if values.dtype.kind == "O" else values.to_numpy(np.float64)
    good: Mask = np.isfinite(numbers)
    if not good.all() and 2 * good.sum() < (~is_missing(values)).sum():
        return _instants(parse_dates(values, day_first))
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
    """Whether dates like 13/09/2020 begin with the day; None where there is none of them."""
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
    if "day" in shown and "month" in shown:
        raise UserError(
            f"{path}: column `{name}` holds both {shown['day']!r} and {shown['month']!r}; write "
            "its dates as 2020-09-13"
        )
    if "either" in shown and len(shown) == 1:
        raise UserError(
            f"{path}: nothing tells day from month in {shown['either']!r} of column `{name}`; "
            "write its dates as 2020-09-13"
        )
    return "day" in shown if shown else None


def parse_dates(values: pd.Series, day_first: bool | None) -> pd.Series:
    """Instants of dates as people write them; NaT for anything else."""
    text = values.astype(str).str.strip()
    dates = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601")
    rest = dates.isna()
    if not rest.any():
        return dates
    distinct = pd.Series(text[rest].unique())
    order = ((2, 1, 0) if day_first else (2, 0, 1), (2, 1, 0), (0, 1, 2))
    plain = distinct
    for pattern, (year, month, day) in zip(
        (_DAY_OR_MONTH, _DAY_FIRST, _YEAR_FIRST), order, strict=True
    ):
        found = distinct.str.extract(f"^{pattern}$").dropna()
        date = found[year] + "-" + found[month].str.zfill(2) + "-" + found[day].str.zfill(2)
        clock = found[3].str.strip("T ").str.replace(r"^(\d):", r"0\1:", regex=True)
        clock = clock.str.replace(r"\s*(UTC|GMT)$", "Z", regex=True)
        plain = (date + " " + clock).str.strip().reindex(plain.index).fillna(plain)
    parsed = pd.to_datetime(plain, errors="coerce", utc=True, format="ISO8601")
    for form in _FORMATS:
        if parsed.notna().all():
            break
        parsed = parsed.fillna(pd.to_datetime(plain, errors="coerce", utc=True, format=form))
    known = pd.Series(parsed.array, index=distinct)
    dates[rest] = known.reindex(text[rest]).array
    return dates


def _instants(values: pd.Series) -> tuple[npt.NDArray[Any], Mask]:
    """UTC instants in nanoseconds; those beyond the years 1677 to 2262 count as unreadable."""
    if values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    fine = values.dt.as_unit("us") if values.dt.unit != "ns" else values
    good = (values.notna() & (fine > "1678") & (fine < "2262")).to_numpy(np.bool_)
    instants = np.zeros(len(values), dtype="datetime64[ns]")
    instants[good] = fine[good].to_numpy("datetime64[ns]")
    return instants, good


def _floats(values: pd.Series) -> npt.NDArray[np.float64]:
    """``float`` of every cell, NaN where it has none; pandas' own parser rounds differently."""
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
