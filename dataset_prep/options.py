"""What a source declares and returns, and the options that all sources share."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.fix.filters import Filters
from dataset_prep.interactions import Interactions
from dataset_prep.read.interactions import ROLES, TableColumns
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import FIXES, Report
from recbole_painvrl.data.folder import MANIFEST, FolderExistsError
from recbole_painvrl.errors import UserError

_NAME = re.compile(r"\w[\w.-]*")
# Interactions, users, items of the paper's Table 1.
PAPER = {
    "movielens": (1_239_508, 55_485, 5_986),
    "tiktok": (726_065, 36_656, 76_085),
    "kwai": (298_492, 7_010, 86_483),
}


@dataclass
class RawDataset:
    """The result of reading a source.

    ``features`` has one table per modality, ``item_table`` the typed columns of RecBole's .item
    file, ``paper`` the counts of the paper's Table 1, ``inputs`` the files that were read.
    ``rename`` replaces the ids of a file of ``--features`` by those of the interactions.
    """

    interactions: Interactions
    features: list[FeatureTable] = field(default_factory=list)
    item_table: pd.DataFrame | None = None
    source: str = "not recorded"
    licence: str = "not recorded; see where the data come from"
    edition: str = "prepared from files"
    paper: tuple[int, int, int] | None = None
    inputs: list[Path] = field(default_factory=list)
    rename: Callable[[FeatureTable], None] | None = None


Reader = Callable[[argparse.Namespace, Report, Path], RawDataset]


@dataclass(frozen=True)
class Command:
    """A subcommand: its help, its options, and ``run(arguments)``, which returns the exit code."""

    name: str
    summary: str
    description: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def add_parser(self, subparsers: Any) -> None:
        """Add the subcommand and its options."""
        parser = subparsers.add_parser(
            self.name,
            help=self.summary,
            description=self.description,
            epilog=self.example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_options(parser)
        parser.set_defaults(run=self.run)


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """The options of every source but ``planted``."""
    repairs = "\n".join(f"  {fix:<16} {text}" for fix, text in FIXES.items())
    parser.epilog = f"{parser.epilog}\n\nrepairs (--fix):\n{repairs}"
    add_output_options(parser, "dataset folder to write; its last component names the dataset")
    add = parser.add_argument
    add(
        "--fix",
        action="append",
        default=[],
        metavar="REPAIR,...",
        help="repairs to make, each counted and recorded (list below)",
    )
    add(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="type of the written features (default %(default)s)",
    )
    add("--encoding", type=_encoding, default="utf-8-sig", help="of text (default %(default)s)")
    add("--items", type=Path, metavar="FILE", help="table with an id column and titles")
    _add_features(parser.add_argument_group("features in addition to those of the source"))
    text = "filters, applied in this order after missing ids are dropped"
    add = parser.add_argument_group(text).add_argument
    add("--min-rating", type=float, metavar="X", help="lowest rating that counts")
    add("--all-modalities", action="store_true", help="only items with a row in every modality")
    text = "fewest interactions of users and items"
    add("--k-core", type=int, default=1, metavar="K", help=text)
    add("--user-core", type=int, metavar="K", help="the same for users alone")
    add("--item-core", type=int, metavar="K", help="the same for items alone")
    text = "merge the fixed splits of the source into one table"
    add("--resplit", action="store_true", help=text)


def add_output_options(
    parser: argparse.ArgumentParser, text: str, dry: str = "only report; write nothing"
) -> None:
    """The output folder, ``--dry-run`` and ``--force``."""
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help=text)
    parser.add_argument("--dry-run", action="store_true", help=dry)
    parser.add_argument("--force", action="store_true", help="replace an existing dataset folder")


def _add_features(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--features",
        type=name_and_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a modality and its file, once per modality: .npy, .npz, CSV, TSV, JSON, Parquet, "
        "HDF5, word2vec text or a PyTorch tensor; a column per number, or vectors in one column",
    )
    group.add_argument(
        "--feature-ids",
        type=Path,
        metavar="FILE",
        help="ids of the rows of files without ids: one per line, or a table or JSON map of ids "
        "and row numbers",
    )
    group.add_argument("--feature-id-column", metavar="NAME", help="id column of feature tables")
    text = "row 0 of files without ids is item N, row 1 N+1..."
    group.add_argument("--rows-from", type=int, metavar="N", help=text)


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Options of sources whose interactions are tables with named columns."""
    group = parser.add_argument_group("columns")
    text = "names of all columns of files without a header"
    group.add_argument("--columns", metavar="NAME,...", help=text)
    group.add_argument(
        "--separator",
        type=_separator,
        metavar="TEXT",
        help="between the cells of a line (default: detected), as in ';', '\\t', tab, blank or ::",
    )
    for role in ROLES:
        none = "" if role in ("user", "item") else " ('' for none)"
        group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}{none}")


def columns_of(arguments: argparse.Namespace) -> TableColumns:
    """The columns named by options."""
    given = {role: getattr(arguments, f"{role}_column") for role in ROLES}
    roles = {role: name for role, name in given.items() if name is not None}
    names = tuple(arguments.columns.split(",")) if arguments.columns else None
    return TableColumns(roles, names, arguments.encoding, arguments.separator, options=True)


def refuse_columns(arguments: argparse.Namespace, path: Path) -> None:
    """Raise :class:`UserError` if an option names columns of a file without columns."""
    names = ["columns", "separator", *(f"{role}_column" for role in ROLES)]
    given = [f"--{n.replace('_', '-')}" for n in names if getattr(arguments, n) is not None]
    if given:
        raise UserError(f"{path}: has no columns; leave out {' and '.join(given)}")


def filters_of(arguments: argparse.Namespace) -> Filters:
    """The filters chosen by options."""
    user_core, item_core = (
        arguments.k_core if core is None else core
        for core in (arguments.user_core, arguments.item_core)
    )
    if min(user_core, item_core) < 1:
        raise UserError("--k-core: must be at least 1; 1 keeps everything")
    modalities, resplit = arguments.all_modalities, arguments.resplit
    return Filters(arguments.min_rating, user_core, item_core, modalities, resplit)


def output_folder(
    arguments: argparse.Namespace,
    ours: Callable[[Path], bool] = lambda folder: (folder / MANIFEST).is_file(),
) -> Path:
    """The folder to write, checked before the data are read.

    Only a folder for which ``ours`` holds may be replaced.
    """
    output: Path = arguments.output
    folder = Path(os.path.abspath(output))
    if not _NAME.fullmatch(folder.name):
        raise UserError(
            f"--output {output}: {folder.name!r} cannot name a dataset; use letters, digits, `_`, "
            "`-` and `.`, starting with a letter or digit"
        )
    if arguments.dry_run:
        return folder
    if folder.exists() and not arguments.force:
        raise FolderExistsError(f"{output}: exists already; choose another --output or add --force")
    if folder.exists() and not (folder.is_dir() and ours(folder)):
        raise UserError(
            f"{output}: is not a dataset folder of this kind and is not replaced; choose another "
            "--output or delete it"
        )
    parent = next(parent for parent in folder.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"--output {output}: {parent} cannot be written; choose another folder")
    return folder


def use_of(output: Path) -> str:
    """The options of a run with this folder; the default of ``--data_path`` is ``dataset/``."""
    folder = Path(os.path.abspath(output))
    dataset = shlex.quote(f"--dataset={folder.name}")
    if folder.parent == Path(os.path.abspath("dataset")):
        return dataset
    parent = output.parent if output.name == folder.name else folder.parent
    return f"{shlex.quote(f'--data_path={parent}')} {dataset}"


def name_and_path(text: str) -> tuple[str, Path]:
    """``NAME=PATH`` of an option; the name becomes a file name."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH, as in visual=features.npy")
    if not _NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{name!r} must consist of letters, digits, _, - and .")
    return name, Path(path)


def _separator(text: str) -> str:
    """A separator as typed in a shell, where a tab is hard to type."""
    separator = {"\\t": "\t", "tab": "\t", "blank": " ", "space": " "}.get(text, text)
    if len(separator) != 1 and separator != "::":
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a separator; give one character, tab or ::"
        )
    if separator in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} cannot separate cells")
    return separator


def _encoding(text: str) -> str:
    try:
        "".encode(text)
    except LookupError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an encoding; try utf-8-sig, latin-1 or cp1252"
        ) from error
    return text
