"""Source ``ultragcn``: one line per user, the user and then the items (UltraGCN, LightGCN)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.finish import run_source
from dataset_prep.interactions import PARTS, InteractionBuilder
from dataset_prep.options import RawDataset, add_source
from dataset_prep.read.interactions import part_name
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read train.txt, test.txt and valid.txt, or one file: each line is a user and the
user's items, separated by spaces. Without test.txt all lists become one table, which
runs split themselves."""
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
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH", help="the folder, or one file"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder."""
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """The lists of the folder.

    Raises:
        UserError: the lists of training are missing, or a file is not text.
    """
    place: Path = arguments.input
    if not place.exists():
        raise UserError(f"{place}: no such folder or file; check the path")
    files = {
        part: path
        for path in sorted(place.glob("*.txt"))
        if (part := part_name(path.stem)) is not None
    }
    lists: list[tuple[str | None, Path]] = [(part, files[part]) for part in PARTS if part in files]
    if place.is_file():
        lists = [(None, place)]
    elif "train" not in files:
        found = ", ".join(path.name for path in files.values()) or "none of them"
        raise UserError(f"{place}: needs train.txt, test.txt and valid.txt; found {found}")
    elif "test" not in files:
        lists = [(None, path) for _, path in lists]
        report.note(f"{place.name}: has no test.txt, so that its lists become one table")
    builder = InteractionBuilder()
    for part, path in lists:
        read_lists(path, builder, report, part, arguments.encoding)
    return RawDataset(
        interactions=builder.finish(str(place), report),
        source=f"UltraGCN lists, {place.resolve().name}",
        inputs=[path for _, path in lists],
    )


def read_lists(
    path: Path, builder: InteractionBuilder, report: Report, part: str | None, encoding: str
) -> None:
    """Append the lists of a file; a user without items is noted.

    Raises:
        UserError: not text.
    """
    users: list[list[str]] = [[]]
    items: list[str] = []
    malformed, first, lonely, ends = 0, 0, 0, True
    owners: list[str] = users[0]
    try:
        with open(path, encoding=encoding) as stream:
            for number, line in enumerate(stream, start=1):
                ends = line.endswith("\n")
                fields = line.split()
                if not all(field.isdecimal() for field in fields):
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
