"""Impression logs without a header, some rows of which are interactions."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dataset_prep.interactions import InteractionBuilder, Interactions, Mask
from dataset_prep.read.cells import CellFaults
from dataset_prep.read.frames import add_frames
from dataset_prep.read.tables import Layout, chunks, sniff
from dataset_prep.report import Report
from dataset_prep.sources.common import need_file
from recbole_painvrl.errors import UserError

_FLAGS = ("0", "1", "-1")


@dataclass(frozen=True)
class Log:
    """Layout of the log of a release.

    ``names`` are all columns in order; one of the columns ``actions`` must be 1 for a row to count;
    ``patterns`` are usual names of the file.
    """

    names: tuple[str, ...]
    roles: dict[str, str]
    actions: tuple[str, ...]
    patterns: tuple[str, ...]


def add_log_options(
    parser: argparse.ArgumentParser, ratings: Sequence[str], actions: str, default: str
) -> None:
    """Options for the folder, its log, the rating, and the actions that count."""
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="FOLDER", help="the unpacked release")
    add("--log", type=Path, metavar="FILE", help="log, if its name is unusual")
    text = f"column of the log to keep as the rating, of {', '.join(ratings)}"
    add("--rating-column", choices=ratings, metavar="NAME", help=text)
    text = f"rows that count: {actions}, or any (default %(default)s)"
    add("--actions", default=default, metavar="NAME,...", help=text)
    text = "columns of the text features"
    add("--text-size", type=int, default=128, metavar="D", help=text)


def read_log(arguments: argparse.Namespace, log: Log, report: Report) -> tuple[Interactions, Path]:
    """Interactions of the given log or of the log in the folder, and its file."""
    path = arguments.log or need_file(arguments.input, log.patterns, "log", "--log")
    actions = _chosen(arguments.actions, log.actions)
    layout = _layout(path, log.names, arguments.encoding)
    roles = dict(log.roles)
    if arguments.rating_column is not None:
        roles["rating"] = arguments.rating_column
    faults = CellFaults(path)
    counts = np.zeros(2, dtype=np.int64)

    def frames(receiver: Report) -> Iterator[pd.DataFrame]:
        # Ambiguous dates need an extra pass over all rows; only one pass must count the rows.
        counted = receiver is report
        for frame in chunks(layout, list(dict.fromkeys([*roles.values(), *actions])), receiver):
            rows = _happened(frame, actions, faults if counted else CellFaults(path))
            counts[:] += (len(frame) * counted, int(rows.sum()) * counted)
            yield frame[rows]

    builder = InteractionBuilder()
    add_frames(path, frames, roles, ("rating",), builder, report)
    faults.tell(report)
    named = " or ".join(actions) or "any row"
    report.note(f"{path.name}: {counts[1]:,} of {counts[0]:,} rows count as interactions ({named})")
    return builder.finish(str(path), report), path


def _chosen(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Actions from ``finish,like``, or none for ``any``."""
    if text == "any":
        return ()
    actions = tuple(part.strip() for part in text.split(",") if part.strip())
    if not actions or not set(actions) <= set(known):
        raise UserError(f"--actions {text}: choose among {', '.join(known)}, or any")
    return actions


def _happened(frame: pd.DataFrame, actions: Sequence[str], faults: CellFaults) -> Mask:
    """Mask of rows in which one of the actions happened and all flags are valid."""
    good: Mask = np.ones(len(frame), dtype=np.bool_)
    happened: Mask = np.full(len(frame), not actions)
    for name in actions:
        flags = frame[name].str.strip()
        fine = flags.isin(_FLAGS).to_numpy(np.bool_)
        good = faults.check("flag of 0 or 1", frame[name], good, fine)
        happened = happened | (flags == "1").to_numpy(np.bool_)
    return good & happened


def _layout(path: Path, names: tuple[str, ...], encoding: str) -> Layout:
    if path.name.endswith((".tgz", ".tar.gz", ".zip")):
        raise UserError(f"{path}: is an archive; unpack it and give the file inside")
    width = len(sniff(path, encoding=encoding).names)
    if width != len(names):
        raise UserError(
            f"{path}: has {width} columns where this release has {len(names)} "
            f"({', '.join(names)}); give the training log"
        )
    return sniff(path, names, encoding)
