"""Logs of what was shown to whom, without a header, of which some rows are interactions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dataset_prep.interactions import InteractionBuilder, Interactions, Mask
from dataset_prep.read.cells import CellFaults, ratings_of, times_of
from dataset_prep.read.text_tables import Layout, chunks, sniff
from dataset_prep.report import Report
from dataset_prep.sources.folders import need_file
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
        encoding: of the log.
    """

    names: tuple[str, ...]
    user: str
    item: str
    actions: tuple[str, ...]
    time: str | None = None
    rating: str | None = None
    encoding: str = "utf-8-sig"


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
    builder.rating_name = columns.rating or builder.rating_name
    further = [columns.time, columns.rating]
    wanted = [columns.user, columns.item, *columns.actions, *filter(None, further)]
    faults = CellFaults(path)
    total = kept = 0
    for frame in chunks(layout, list(dict.fromkeys(wanted)), report):
        total += len(frame)
        good, happened = _flags(frame, columns.actions, faults)
        times = ratings = None
        if columns.time is not None:
            times, fine = times_of(frame[columns.time])
            faults.add("time", frame[columns.time], good & ~fine)
            good = good & fine
        if columns.rating is not None:
            ratings = ratings_of(frame[columns.rating])
            faults.add("rating", frame[columns.rating], good & ~np.isfinite(ratings))
            good = good & np.isfinite(ratings)
        rows = good & happened
        kept += int(rows.sum())
        users, items = frame[columns.user].to_numpy()[rows], frame[columns.item].to_numpy()[rows]
        builder.add(
            users,
            items,
            None if ratings is None else ratings[rows],
            None if times is None else times[rows],
        )
    faults.tell(report)
    named = " or ".join(columns.actions) or "any row"
    report.note(f"{path.name}: {kept:,} of {total:,} rows count as interactions ({named})")


def _flags(frame: pd.DataFrame, actions: Sequence[str], faults: CellFaults) -> tuple[Mask, Mask]:
    """Rows whose flags are all sound, and rows in which one of the actions happened."""
    good: Mask = np.ones(len(frame), dtype=np.bool_)
    happened: Mask = np.full(len(frame), not actions)
    for name in actions:
        flags = frame[name].str.strip()
        fine = flags.isin(_FLAGS).to_numpy(np.bool_)
        faults.add("flag of 0 or 1", frame[name], good & ~fine)
        good = good & fine
        happened = happened | (flags == "1").to_numpy(np.bool_)
    return good, happened


def _layout(path: Path, columns: LogColumns) -> Layout:
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    width = len(sniff(path, encoding=columns.encoding).names)
    if width != len(columns.names):
        raise UserError(
            f"{path}: has {width} columns where this release has {len(columns.names)} "
            f"({', '.join(columns.names)}); give the training log"
        )
    return sniff(path, columns.names, columns.encoding)
