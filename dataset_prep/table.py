"""Source ``table``: any interactions in CSV, TSV, Parquet or NumPy files, any feature files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.framework.finish import run_source
from dataset_prep.framework.id_columns import IdSource, id_or_first
from dataset_prep.framework.interactions import InteractionBuilder
from dataset_prep.framework.options import RawDataset, add_source, encoding_name, name_and_path
from dataset_prep.framework.read_features import read_features
from dataset_prep.framework.read_interactions import TableColumns, part_name, read_interactions
from dataset_prep.framework.report import Report
from dataset_prep.framework.text_tables import chunks, sniff
from dataset_prep.framework.tokens import as_tokens
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read a table with one interaction per row (CSV, TSV, any separator, Parquet,
.npz, .npy) and any number of feature files (.npy, .npz, CSV, TSV, Parquet) with
the item id of each row. Columns are found by their usual names."""
_EXAMPLE = """example:
  python -m dataset_prep table --input events.csv --features visual=frames.npy \\
      --features text=sentences.parquet --feature-ids movie_ids.txt \\
      --k-core 5 --fix drop-unrated --output dataset/mine
  python -m dataset_prep table --splits train=train.csv valid=valid.csv test=test.csv \\
      --columns user,item --output dataset/mine"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers, "table", "any table of interactions, any feature files", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument("--input", type=Path, nargs="+", metavar="FILE", help="interactions")
    parser.add_argument(
        "--splits",
        type=name_and_path,
        nargs="+",
        metavar="PART=FILE",
        help="files of fixed splits instead of --input: train, valid (if any), test",
    )
    add_column_options(parser)
    add_feature_options(parser)
    parser.add_argument(
        "--items", type=Path, metavar="FILE", help="table with an id column and titles"
    )
    parser.add_argument("--source-note", default="own table", help="what the data are")
    parser.add_argument("--licence", default="not recorded", help="what may be done with them")
    parser.set_defaults(run=run)


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Options that name columns of interaction tables."""
    group = parser.add_argument_group("columns")
    group.add_argument(
        "--columns", metavar="NAME,...", help="names of all columns of files without a header"
    )
    for role in ("user", "item", "rating", "time", "part"):
        group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}")
    group.add_argument(
        "--encoding", type=encoding_name, default="utf-8-sig", help="of text (default %(default)s)"
    )


def add_feature_options(parser: argparse.ArgumentParser) -> None:
    """Options that name feature files and their ids."""
    group = parser.add_argument_group("features")
    group.add_argument(
        "--features",
        type=name_and_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a modality and its file, once per modality",
    )
    group.add_argument(
        "--feature-ids", type=Path, metavar="FILE", help="item id of each row of .npy features"
    )
    group.add_argument("--feature-id-column", metavar="NAME", help="id column of feature tables")
    group.add_argument(
        "--rows-from", type=int, metavar="N", help="row 0 of .npy features is item N, row 1 N+1..."
    )


def columns_of(arguments: argparse.Namespace) -> TableColumns:
    """The columns that were named."""
    roles = {
        role: getattr(arguments, f"{role}_column")
        for role in ("user", "item", "rating", "time", "part")
        if getattr(arguments, f"{role}_column")
    }
    names = tuple(arguments.columns.split(",")) if arguments.columns else None
    return TableColumns(roles, names, arguments.encoding)


def ids_of(arguments: argparse.Namespace) -> IdSource:
    """Where the ids of feature files are."""
    return IdSource(
        column=arguments.feature_id_column,
        file=arguments.feature_ids,
        first_row=arguments.rows_from,
        encoding=arguments.encoding,
        advice="say where its ids are with `--feature-id-column` or `--feature-ids`",
    )


def read_item_table(path: Path, report: Report, encoding: str) -> pd.DataFrame:
    """``item_id:token`` and ``movie_title:token_seq`` from a table with an id and a title column.

    Raises:
        UserError: no id column or no title column.
    """
    layout = sniff(path, None, encoding)
    id_column = id_or_first(path, layout.names, advice="call it item_id in the file")
    title = next((n for n in layout.names if "title" in n.lower() or "name" in n.lower()), None)
    if title is None or title == id_column:
        raise UserError(f"{path}: no column of titles among {', '.join(layout.names[:8])}")
    table = pd.concat(chunks(layout, [id_column, title], report))
    return item_table(as_tokens(table[id_column]), table[title].tolist())


def item_table(tokens: list[str], titles: list[str]) -> pd.DataFrame:
    """RecBole's columns of an .item file; tabs and line ends in titles become spaces."""
    cleaned = [" ".join(str(title).split()) for title in titles]
    return pd.DataFrame({"item_id:token": tokens, "movie_title:token_seq": cleaned})


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder."""
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions and features as the options name them.

    Raises:
        UserError: neither or both of --input and --splits, or a file that cannot be read.
    """
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
    features = [
        read_features(name, path, report, spool, ids_of(arguments))
        for name, path in arguments.features
    ]
    titles = (
        read_item_table(arguments.items, report, arguments.encoding) if arguments.items else None
    )
    return RawDataset(
        interactions=builder.finish(", ".join(path.name for _, path in files)),
        features=features,
        item_table=titles,
        source=arguments.source_note,
        licence=arguments.licence,
        inputs=[path for _, path in files]
        + [path for _, path in arguments.features]
        + ([arguments.items] if arguments.items else []),
    )
