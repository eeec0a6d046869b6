"""Rows of named columns, in pieces, as interactions: lists unfolded, numbers and splits checked."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.interactions import InteractionBuilder, Mask
from dataset_prep.read.cells import CellFaults, day_first, is_missing, ratings_of, times_of
from dataset_prep.read.tables import simple
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

# Gives the pieces from the start, each time it is called.
Frames = Callable[[Report], Iterator[pd.DataFrame]]
_PART_NAMES = {
    **dict.fromkeys(("0", "train", "training"), "train"),
    **dict.fromkeys(("1", "val", "valid", "validation", "dev"), "valid"),
    **dict.fromkeys(("2", "test", "testing"), "test"),
}
# A column of another name that holds no number, such as `interaction`, may be a word.
_SURELY_RATINGS = re.compile("rating|score|star|overall")
_LISTS = ("items", "itemids", "itemlist")
_DAY_OR_MONTH = r"\s*\d{1,2}[-/]\d{1,2}[-/]\d{4}.*"


def part_name(text: str) -> str | None:
    """train, valid or test for what people call them, None for anything else."""
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
    """Append the rows of all pieces; a rating or time that cannot be read makes a row malformed.

    Args:
        path: the file, for messages.
        frames: pieces with the chosen columns, whose index holds line numbers.
        chosen: role -> column.
        named: roles whose column the user named.
        builder: takes the rows.
        report: told of malformed rows.
        part: split of all rows, or None.
    """
    faults = CellFaults(path)
    columns = dict(chosen)
    order: bool | None = None
    lonely = 0
    for number, frame in enumerate(frames(report)):
        if number == 0:
            if "part" in columns and part is None:
                _check_labels(path, frame[columns["part"]], named)
            if "rating" in columns and not _holds_ratings(frame[columns["rating"]], named):
                report.note(f"{path.name}: column `{columns.pop('rating')}` holds no rating")
            if "time" in columns and _tells_no_order(frame[columns["time"]]):
                name = columns["time"]
                order = day_first(path, name, (piece[name] for piece in frames(Report())))
            builder.rating_name = columns.get("rating", builder.rating_name)
        distinct = list(dict.fromkeys(columns.values()))
        taken, empty = _unfolded(path, frame[distinct], columns["item"])
        lonely += empty
        good, numbers = _numbers(taken, columns, faults, order)
        split = {part: good}
        if part is None and "part" in columns:
            split = _by_label(path, taken[columns["part"]], good)
        for label, rows in split.items() if good.any() else ():
            users, items = (taken[columns[role]].to_numpy()[rows] for role in ("user", "item"))
            extra = {role: values[rows] for role, values in numbers.items()}
            builder.add(users, items, extra.get("rating"), extra.get("time"), label)
    faults.tell(report)
    if lonely:
        report.note(f"{path.name}: {lonely} users have an empty list of items")


def _numbers(
    frame: pd.DataFrame, columns: Mapping[str, str], faults: CellFaults, order: bool | None
) -> tuple[Mask, dict[str, npt.NDArray[Any]]]:
    """Rows with a rating and a time where these are due, and the two columns."""
    good: Mask = np.ones(len(frame), dtype=np.bool_)
    numbers: dict[str, npt.NDArray[Any]] = {}
    if "rating" in columns:
        cells = frame[columns["rating"]]
        numbers["rating"] = ratings_of(cells)
        good = faults.check("rating", cells, good, np.isfinite(numbers["rating"]))
    if "time" in columns:
        cells = frame[columns["time"]]
        numbers["time"], fine = times_of(cells, order)
        good = faults.check("time", cells, good, fine)
    return good, numbers


def _by_label(path: Path, labels: pd.Series, good: Mask) -> dict[str | None, Mask]:
    """Good rows of each split by its label."""
    split: dict[str | None, Mask] = {}
    # Not `astype(str)`, which leaves missing labels alone on pandas 3.
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
    """Numbers are splits in MMRec's x_label; elsewhere they may be folds or anything else."""
    if "part" in named or simple(str(labels.name)) == "xlabel":
        return
    shown = next((text for text in map(str, labels) if text[:1].isdigit()), None)
    if shown is not None:
        raise UserError(
            f"{path}: column `{labels.name}` holds {shown!r}, which may be a fold or a split; "
            "write train, valid and test, or give `--part-column` (its name, or '' to leave it out)"
        )


def _holds_ratings(cells: pd.Series, named: Collection[str]) -> bool:
    """Whether a guessed column has any number, or a name that leaves no doubt."""
    if "rating" in named or _SURELY_RATINGS.search(simple(str(cells.name))):
        return True
    return bool(np.isfinite(ratings_of(cells)).any() or is_missing(cells).all())


def _tells_no_order(cells: pd.Series) -> bool:
    """Whether there are dates that begin with a day or a month."""
    return cells.dtype.kind == "O" and bool(
        cells.astype(str).str.fullmatch(_DAY_OR_MONTH, flags=re.DOTALL).any()
    )


def _unfolded(path: Path, frame: pd.DataFrame, item: str) -> tuple[pd.DataFrame, int]:
    """One row per item where cells hold lists of them, and how many lists were empty."""
    if frame[item].dtype.kind != "O":
        return frame, 0
    first = next((cell for cell in frame[item] if isinstance(cell, list | np.ndarray) or cell), "")
    named_so = simple(item) in _LISTS
    if isinstance(first, str) and not (named_so or first.lstrip().startswith("[")):
        return frame, 0
    known = frame[item][~is_missing(frame[item])]
    if all(isinstance(cell, str) for cell in known):
        lists = _listed(known, named_so)
        if lists is None:
            return frame, 0
        frame = frame.assign(**{item: pd.Series(lists, index=known.index).reindex(frame.index)})
    elif not isinstance(first, list | tuple | np.ndarray):
        return frame, 0
    empty = frame[item].map(
        lambda cell: cell is None or (isinstance(cell, list | np.ndarray) and len(cell) == 0)
    )
    frame = frame[~empty.to_numpy(np.bool_)]
    listed = [
        name
        for name in frame.columns
        if len(frame) and isinstance(frame[name].iloc[0], list | tuple | np.ndarray)
    ]
    try:
        return frame.explode(listed), int(empty.sum())
    except ValueError as error:
        raise UserError(
            f"{path}: the lists of {' and '.join(map(str, listed))} differ in length; write one "
            "entry per item"
        ) from error


def _listed(cells: pd.Series, is_named_so: bool) -> list[list[Any]] | None:
    """Lists of items as text, ``[1, 2]`` or, in a column of that name, ``1 2``; None for ids."""
    text = cells.str.strip()
    if (text.str.startswith("[") & text.str.endswith("]")).all():
        return [_parsed(cell) for cell in text]
    if is_named_so:
        lists = [[entry for entry in re.split(r"[\s,;|]+", cell) if entry] for cell in text]
        numbered = all(re.search(r"\d", entry) for entries in lists for entry in entries)
        return lists if numbered and max(map(len, lists)) > 1 else None
    return None


def _parsed(text: str) -> list[Any]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = [entry.strip("'\" ") for entry in re.split(r"[\s,;|]+", text[1:-1])]
    return [entry for entry in found if entry != ""]
