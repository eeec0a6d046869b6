"""Adds pieces of a table to the interactions: lists are expanded, numbers and splits checked."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.interactions import InteractionBuilder, Mask, refuse_rounded
from dataset_prep.read.cells import CellFaults, day_first, is_missing, ratings_of, times_of
from dataset_prep.read.tables import simple
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

# Yields all pieces from the start each time it is called.
Frames = Callable[[Report], Iterator[pd.DataFrame]]
_PART_NAMES = {
    **dict.fromkeys(("0", "train", "training"), "train"),
    **dict.fromkeys(("1", "val", "valid", "validation", "dev"), "valid"),
    **dict.fromkeys(("2", "test", "testing"), "test"),
}
# A column with one of these names holds ratings; `interaction` and others may also hold words.
_RATING_NAMES = re.compile("rating|score|star|overall")
_LISTS = ("items", "itemids", "itemlist")
_DAY_OR_MONTH = r"\s*\d{1,2}[-/]\d{1,2}[-/]\d{4}.*"


def part_name(text: str) -> str | None:
    """train, valid or test for a usual name of a split, None for anything else."""
    return _PART_NAMES.get(text.strip().lower())


def add_frames(
    path: Path,
    frames: Frames,
    chosen: Mapping[str, str],
    named: Collection[str],
    builder: InteractionBuilder,
    report: Report,
    part: str | None = None,
) -> None:
    """Append the rows of all pieces; a row whose rating or time cannot be read is malformed.

    The pieces have the columns ``chosen`` for the roles, and line numbers as their index; ``named``
    are the roles whose column the user named, ``part`` is the split of all rows.
    """
    faults = CellFaults(path)
    columns = dict(chosen)
    starts_with_day: bool | None = None
    without_items, headers = 0, list[Any]()
    for number, frame in enumerate(frames(report)):
        if number == 0:
            if "part" in columns and part is None:
                _check_labels(path, frame[columns["part"]], named)
            if "rating" in columns and not _holds_ratings(frame[columns["rating"]], named):
                report.note(f"{path.name}: column `{columns.pop('rating')}` holds no rating")
            if "time" in columns and _day_or_month(frame[columns["time"]]):
                name = columns["time"]
                pieces = (piece[name] for piece in frames(Report()))
                starts_with_day = day_first(path, name, pieces)
            builder.rating_name = columns.get("rating", builder.rating_name)
        distinct = list(dict.fromkeys(columns.values()))
        frame = _without_headers(frame[distinct], columns, headers)
        taken, empty = _expanded(path, frame, columns["item"])
        without_items += empty
        good, numbers = _numbers(taken, columns, faults, starts_with_day)
        split = {part: good}
        if part is None and "part" in columns:
            split = _by_label(path, taken[columns["part"]], good)
        for label, rows in split.items() if good.any() else ():
            users, items = (taken[columns[role]].to_numpy()[rows] for role in ("user", "item"))
            for ids in (users, items):
                refuse_rounded(ids, path)
            extra = {f"{role}s": values[rows] for role, values in numbers.items()}
            try:
                builder.add(users, items, part=label, **extra)
            except TypeError as error:
                raise UserError(f"{path}: holds lists as ids; write one id per cell") from error
    faults.tell(report)
    _tell_headers(path, headers, report)
    if without_items:
        report.note(f"{path.name}: {without_items} users have an empty list of items")


def _without_headers(
    frame: pd.DataFrame, columns: Mapping[str, str], headers: list[Any]
) -> pd.DataFrame:
    """The rows whose ids are not the names of their columns; the lines of the others are appended.

    Tables that were joined end to end have a header in the middle. Columns that are called by
    numbers, as without a header, may have these numbers as ids.
    """
    again: Mask = np.ones(len(frame), dtype=np.bool_)
    for name in (columns["user"], columns["item"]):
        cells = frame[name]
        if cells.dtype.kind != "O" or name.isdecimal():
            return frame
        # A list, since a pandas column of text is slow to go through.
        listed = cells.to_numpy(dtype=object).tolist()
        again &= np.array([isinstance(cell, str) and cell == name for cell in listed], np.bool_)
        if not again.any():
            return frame
    headers += frame.index[again].tolist()
    return frame[~again]


def _tell_headers(path: Path, headers: list[Any], report: Report) -> None:
    if headers:
        what = f"{len(headers)} rows repeat the header, first line {headers[0]}"
        report.found(path.name, what, len(headers), "drop-rows")


def _numbers(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    faults: CellFaults,
    starts_with_day: bool | None,
) -> tuple[Mask, dict[str, npt.NDArray[Any]]]:
    """Mask of rows whose rating and time can be read, and the two columns."""
    good: Mask = np.ones(len(frame), dtype=np.bool_)
    numbers: dict[str, npt.NDArray[Any]] = {}
    if "rating" in columns:
        cells = frame[columns["rating"]]
        numbers["rating"] = ratings_of(cells)
        good = faults.check("rating", cells, good, np.isfinite(numbers["rating"]))
    if "time" in columns:
        cells = frame[columns["time"]]
        numbers["time"], fine = times_of(cells, starts_with_day)
        good = faults.check("time", cells, good, fine)
    return good, numbers


def _by_label(path: Path, labels: pd.Series, good: Mask) -> dict[str | None, Mask]:
    """Good rows of each split by its label."""
    split: dict[str | None, Mask] = {}
    # Not `astype(str)`, which keeps missing labels missing on pandas 3.
    text = labels.map(str).str.strip()
    for label in pd.unique(text[good]):
        # A column with a missing label has become floating point.
        name = part_name(label.removesuffix(".0"))
        if name is None:
            raise UserError(
                f"{path}: column `{labels.name}` holds {label!r}; it must be train, valid or test"
            )
        rows = good & (text == label).to_numpy(np.bool_)
        split[name] = rows | split.get(name, False)
    return split


def _check_labels(path: Path, labels: pd.Series, named: Collection[str]) -> None:
    """Refuse numbers as labels, which may be folds, except in MMRec's x_label or a given column."""
    if "part" in named or simple(str(labels.name)) == "xlabel":
        return
    shown = next((text for text in map(str, labels) if text[:1].isdigit()), None)
    if shown is not None:
        raise UserError(
            f"{path}: column `{labels.name}` holds {shown!r}, which may be a fold or a split; "
            "write train, valid and test, or give `--part-column` (its name, or '' to leave it out)"
        )


def _holds_ratings(cells: pd.Series, named: Collection[str]) -> bool:
    """Whether a column found by its name has any number, or an unambiguous name."""
    if "rating" in named or _RATING_NAMES.search(simple(str(cells.name))):
        return True
    return bool(np.isfinite(ratings_of(cells)).any() or is_missing(cells).all())


def _day_or_month(cells: pd.Series) -> bool:
    """Whether there are dates that start with a day or a month."""
    return cells.dtype.kind == "O" and bool(
        cells.astype(str).str.fullmatch(_DAY_OR_MONTH, flags=re.DOTALL).any()
    )


def _expanded(path: Path, frame: pd.DataFrame, item: str) -> tuple[pd.DataFrame, int]:
    """One row per item if cells hold lists of items, and the number of empty lists."""
    cells = frame[item]
    if cells.dtype.kind != "O":
        return frame, 0
    named = simple(item) in _LISTS
    known = cells[~is_missing(cells)]
    if all(isinstance(cell, str) for cell in known):
        lists = _lists_in_text(path, known, named)
        if lists is None:
            return frame, 0
        frame = frame.assign(**{item: pd.Series(lists, index=known.index).reindex(frame.index)})
    elif not known.map(_is_list).any():
        return frame, 0
    empty = frame[item].map(lambda cell: cell is None or (_is_list(cell) and len(cell) == 0))
    frame = frame[~empty.to_numpy(np.bool_)]
    listed = [name for name in frame.columns if len(frame) and _is_list(frame[name].iloc[0])]
    try:
        return frame.explode(listed) if listed else frame, int(empty.sum())
    except ValueError as error:
        raise UserError(
            f"{path}: the lists of {' and '.join(map(str, listed))} differ in length; write one "
            "entry per item"
        ) from error


def _is_list(cell: object) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _lists_in_text(path: Path, cells: pd.Series, named: bool) -> list[list[Any]] | None:
    """Lists in text, ``[1, 2]`` or, in a column named like a list, ``1 2``; None for ids."""
    text = cells.str.strip()
    whole = text.str.startswith("[") & text.str.endswith("]")
    most = 2 * whole.sum() > len(whole)
    if most and not whole.all():
        raise UserError(
            f"{path}: column `{cells.name}` holds lists such as {text[whole].iloc[0]!r:.40}, and "
            f"{text[~whole].iloc[0]!r:.40}; write every cell as a list, or correct what was cut"
        )
    if most:
        return [_parsed(cell) for cell in text]
    if not named:
        return None
    lists = [[entry for entry in re.split(r"[\s,;|]+", cell) if entry] for cell in text]
    entries = [entry for row in lists for entry in row]
    other = [entry for entry in entries if not any(map(str.isdigit, entry))]
    if max(map(len, lists), default=0) < 2 or 2 * len(other) > len(entries):
        return None
    if other:
        raise UserError(
            f"{path}: column `{cells.name}` holds lists of numbered items, and {other[0]!r}; write "
            "its lists as [a, b], or give the column another name if its cells are ids"
        )
    return lists


def _parsed(text: str) -> list[Any]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = [entry.strip("'\" ") for entry in re.split(r"[\s,;|]+", text[1:-1])]
    return [entry for entry in found if entry != ""]
