"""Source ``ultragcn``: one line per user, the user and then the items (UltraGCN, LightGCN)."""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.finish import source
from dataset_prep.interactions import PARTS, InteractionBuilder
from dataset_prep.options import RawDataset
from dataset_prep.read.frames import part_name
from dataset_prep.report import Report
from dataset_prep.sources.common import read_lists
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read train.txt, test.txt and valid.txt, or one file: each line is a user and the
user's items, separated by spaces. Without test.txt all lists become one table, which
runs split themselves."""
_EXAMPLE = """example:
  python -m dataset_prep ultragcn --input electronics --output dataset/electronics"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH", help="the folder, or one file"
    )


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """The lists of the folder."""
    root: Path = arguments.input
    if not root.exists():
        raise UserError(f"{root}: no such folder or file; check the path")
    files = {
        part: path
        for path in sorted(root.glob("*.txt"))
        if (part := part_name(path.stem)) is not None
    }
    lists: list[tuple[str | None, Path]] = [(part, files[part]) for part in PARTS if part in files]
    if root.is_file():
        lists = [(None, root)]
    elif "train" not in files:
        found = ", ".join(path.name for path in files.values()) or "none of them"
        raise UserError(f"{root}: needs train.txt, test.txt and valid.txt; found {found}")
    elif "test" not in files:
        lists = [(None, path) for _, path in lists]
        report.note(f"{root.name}: has no test.txt, so that its lists become one table")
    builder = InteractionBuilder()
    for part, path in lists:
        form = "numbers separated by spaces"
        read_lists(path, builder, report, arguments.encoding, _split, form, part)
    return RawDataset(
        interactions=builder.finish(str(root), report),
        source=f"UltraGCN lists, {root.resolve().name}",
        inputs=[path for _, path in lists],
    )


def _split(line: str) -> tuple[str, list[str]] | None:
    fields = line.split()
    return (fields[0], fields[1:]) if all(field.isdecimal() for field in fields) else None


_SUMMARY = "lists `user item item ...` (UltraGCN, LightGCN)"
COMMAND = source("ultragcn", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
