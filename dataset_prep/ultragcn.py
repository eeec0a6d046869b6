"""Source ``ultragcn``: one line per user, the user and then the items (UltraGCN, LightGCN)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.framework.finish import run_source
from dataset_prep.framework.interactions import InteractionBuilder
from dataset_prep.framework.options import RawDataset, add_source
from dataset_prep.framework.read_interactions import part_name
from dataset_prep.framework.report import Report
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read train.txt, test.txt and, if there, valid.txt: each line is a user and the
user's items, separated by spaces."""
_EXAMPLE = """example:
  python -m dataset_prep ultragcn --input electronics --output dataset/electronics"""
_LINES_PER_PIECE = 20_000


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers,
        "ultragcn",
        "lists `user item item ...` (UltraGCN, LightGCN)",
        _DESCRIPTION,
        _EXAMPLE,
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the lists")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder."""
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """The lists of the folder.

    Raises:
        UserError: train or test is missing or malformed.
    """
    folder: Path = arguments.input
    files = {
        part: path
        for path in sorted(folder.glob("*.txt"))
        if (part := part_name(path.stem)) is not None
    }
    if not {"train", "test"} <= set(files):
        raise UserError(
            f"{folder}: needs train.txt and test.txt, found {sorted(files) or 'neither'}"
        )
    builder = InteractionBuilder()
    for part in ("train", "valid", "test"):
        if part in files:
            read_lists(files[part], builder, report, part)
    return RawDataset(
        interactions=builder.finish(str(folder), report),
        source=f"UltraGCN lists, {folder.resolve().name}",
        inputs=list(files.values()),
    )


def read_lists(path: Path, builder: InteractionBuilder, report: Report, part: str) -> None:
    """Append the lists of a file; a user without items is noted.

    Raises:
        UserError: not text.
    """
    users: list[list[str]] = [[]]
    items: list[str] = []
    malformed, first, lonely, ends = 0, 0, 0, True
    owners: list[str] = users[0]
    try:
        with open(path, encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                ends = line.endswith("\n")
                fields = line.split()
                if not all(field.isdigit() for field in fields):
                    malformed, first = malformed + 1, first or number
                    continue
                lonely += len(fields) == 1
                owners.extend(fields[:1] * (len(fields) - 1))
                items.extend(fields[1:])
                if number % _LINES_PER_PIECE == 0 and items:
                    builder.add(np.array(owners), np.array(items), part=part)
                    owners.clear()
                    items.clear()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as text ({error}); copy it again") from error
    if items:
        builder.add(np.array(owners), np.array(items), part=part)
    if malformed:
        what = f"{malformed} lines are not numbers separated by spaces, first line {first}"
        report.found(path.name, what, malformed, "drop-rows")
    if lonely:
        report.note(f"{path.name}: {lonely} users without items")
    if not ends:
        report.note(f"{path.name}: has no end of line at its end; make sure that it is not cut")
