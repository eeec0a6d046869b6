"""Source ``table``: any interactions in CSV, TSV, Parquet or NumPy files, any feature files."""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import RawDataset, add_column_options, columns_of, name_and_path
from dataset_prep.read.frames import part_name
from dataset_prep.read.interactions import read_interactions
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read a table with one interaction per row (CSV, TSV, any separator, Parquet,
JSON, .npz, .npy) and any number of feature files with the item id of each row. Columns are
found by their usual names."""
_EXAMPLE = """example:
  python -m dataset_prep table --input events.csv --features visual=frames.npy \\
      --features text=sentences.parquet --feature-ids movie_ids.txt \\
      --k-core 5 --fix drop-unrated --output dataset/mine
  python -m dataset_prep table --splits train=train.csv valid=valid.csv test=test.csv \\
      --columns user,item --output dataset/mine"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The interactions, their columns, and what describes them in the manifest."""
    parser.add_argument("--input", type=Path, nargs="+", metavar="FILE", help="interactions")
    parser.add_argument(
        "--splits",
        type=name_and_path,
        nargs="+",
        metavar="PART=FILE",
        help="files of fixed splits instead of --input: train, valid (if any), test",
    )
    add_column_options(parser)
    parser.add_argument("--source-note", default="own table", help="description of the data")
    parser.add_argument("--licence", default="not recorded", help="licence of the data")


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions as the options name them."""
    if bool(arguments.input) == bool(arguments.splits):
        raise UserError("table: give either --input FILE... or --splits train=FILE test=FILE")
    columns = columns_of(arguments)
    builder = InteractionBuilder()
    files: list[tuple[str | None, Path]] = [(None, path) for path in arguments.input or ()]
    for name, path in arguments.splits or ():
        part = part_name(name)
        if part is None:
            raise UserError(f"--splits {name}=...: the splits are train, valid and test")
        files.append((part, path))
    for part, path in files:
        read_interactions(path, builder, report, columns, part)
    return RawDataset(
        interactions=builder.finish(", ".join(path.name for _, path in files), report),
        source=arguments.source_note,
        licence=arguments.licence,
        inputs=[path for _, path in files],
    )


_SUMMARY = "any table of interactions, any feature files"
COMMAND = source("table", (_SUMMARY, _DESCRIPTION, _EXAMPLE), add_options, read)
