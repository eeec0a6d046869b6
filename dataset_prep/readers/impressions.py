"""Logs of what was shown to whom, without a header, of which some rows are interactions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.framework.interactions import InteractionBuilder, Interactions
from dataset_prep.framework.report import Report
from dataset_prep.framework.text_tables import Layout, chunks, sniff
from dataset_prep.readers.folders import need_file
from recbole_painvrl.errors import UserError

_FLAGS = ("0", "1", "-1")


@dataclass(frozen=True)
class LogColumns:
    """Columns of a log.

    Attributes:
        names: of all columns, in order.
        user: column of the user.
        item: column of the item.
        actions: columns of which one must be 1; none: every row counts.
        time: column of the time, or None.
        rating: column to keep as the rating, or None.
    """

    names: tuple[str, ...]
    user: str
    item: str
    actions: tuple[str, ...]
    time: str | None = None
    rating: str | None = None


def add_log_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Options that name the log and its rating."""
    parser.add_argument("--log", type=Path, metavar="FILE", help="log, if its name is unusual")
    parser.add_argument(
        "--rating-column",
        choices=names,
        metavar="NAME",
        help=f"column of the log to keep as the rating, of {', '.join(names)}",
    )


def chosen_actions(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Actions from ``finish,like``, or none for ``any``.

    Raises:
        UserError: an unknown action.
    """
    if text == "any":
        return ()
    actions = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = next((action for action in actions if action not in known), None)
    if wrong is not None or not actions:
        raise UserError(f"--actions {text}: choose among {', '.join(known)}, or any")
    return actions


def log_interactions(
    given: Path | None,
    folder: Path,
    patterns: Sequence[str],
    columns: LogColumns,
    report: Report,
) -> tuple[Interactions, Path]:
    """Interactions of the log that was named or that the folder holds, and its file.

    Raises:
        UserError: missing, ambiguous, unreadable, or of another layout.
    """
    path = given or need_file(folder, patterns, "log", "--log")
    builder = InteractionBuilder()
    read_log(path, columns, builder, report)
    return builder.finish(str(path), report), path


def read_log(path: Path, columns: LogColumns, builder: InteractionBuilder, report: Report) -> None:
    """Append the rows of a log in which one of the actions happened.

    Raises:
        UserError: packed in an archive, unreadable, or with another number of columns.
    """
    if path.name.endswith((".tgz", ".tar.gz", ".zip")):
        raise UserError(f"{path}: is an archive; unpack it and give the file inside")
    layout = _layout(path, columns)
    further = {"times": columns.time, "ratings": columns.rating}
    numeric = {name: column for name, column in further.items() if column is not None}
    wanted = list(dict.fromkeys([columns.user, columns.item, *columns.actions, *numeric.values()]))
    total = kept = bad = 0
    for frame in chunks(layout, wanted, report):
        total += len(frame)
        flags = frame[list(columns.actions)].apply(lambda column: column.str.strip())
        good = flags.isin(_FLAGS).all(axis=1).to_numpy(np.bool_)
        happened = (flags == "1").any(axis=1).to_numpy(np.bool_) | (not columns.actions)
        values = {name: _numbers(frame[column]) for name, column in numeric.items()}
        for column in values.values():
            good &= np.isfinite(column)
        bad += int((~good).sum())
        rows = good & happened
        kept += int(rows.sum())
        users, items = frame[columns.user].to_numpy()[rows], frame[columns.item].to_numpy()[rows]
        builder.add(users, items, **{name: column[rows] for name, column in values.items()})
    if bad:
        names = " or ".join(dict.fromkeys([*columns.actions, *numeric.values()]))
        what = f"{bad} rows have no valid {names}"
        report.found(path.name, what, bad, "drop-rows")
    named = " or ".join(columns.actions) or "any row"
    report.note(f"{path.name}: {kept:,} of {total:,} rows count as interactions ({named})")


def _layout(path: Path, columns: LogColumns) -> Layout:
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    plain = sniff(path)
    width = len(plain.sample[0]) if plain.sample else len(plain.names)
    if width != len(columns.names):
        raise UserError(
            f"{path}: has {width} columns where this release has {len(columns.names)} "
            f"({', '.join(columns.names)}); give the training log"
        )
    return sniff(path, columns.names)


def _numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
