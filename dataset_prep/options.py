"""Options that every source shares, and the input that every source gives."""

from __future__ import annotations

import argparse
import codecs
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.fix.filters import Filters
from dataset_prep.interactions import Interactions
from dataset_prep.read.features import FeatureTable
from dataset_prep.report import FIXES, Report, parse_fixes
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
    """What a source read.

    Attributes:
        interactions: numbers and tokens.
        features: one table per modality.
        item_table: ``item_id:token`` and more typed columns, or None.
        source: what the data are.
        licence: what may be done with them.
        edition: of the manifest.
        paper: interactions, users, items in the paper, where it has this dataset.
        inputs: files that were read, for the manifest.
        rename: gives the rows of a file of ``--features`` the ids of the interactions, or None.
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


def add_source(
    subparsers: Any, name: str, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Parser of a source with the options that all share."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"{example}\n\nrepairs (--fix):\n"
        + "\n".join(f"  {fix:<16} {text}" for fix, text in FIXES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="dataset folder to write; its last part names the dataset",
    )
    parser.add_argument("--dry-run", action="store_true", help="only report; write nothing")
    parser.add_argument(
        "--force", action="store_true", help="replace an existing dataset folder in one step"
    )
    parser.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="REPAIR,...",
        help="repairs to make, each counted and recorded (list below)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="type of the written features (default %(default)s)",
    )
    parser.add_argument(
        "--encoding", type=encoding_name, default="utf-8-sig", help="of text (default %(default)s)"
    )
    parser.add_argument(
        "--items", type=Path, metavar="FILE", help="table with an id column and titles"
    )
    _add_features(parser)
    _add_filters(parser)
    return parser


def _add_features(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("features, beside those of the source itself")
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
    group.add_argument(
        "--rows-from",
        type=int,
        metavar="N",
        help="row 0 of files without ids is item N, row 1 N+1...",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "filters, applied in this order after missing ids are dropped"
    )
    group.add_argument("--min-rating", type=float, metavar="X", help="lowest rating that counts")
    group.add_argument(
        "--all-modalities", action="store_true", help="only items with a row in every modality"
    )
    group.add_argument(
        "--k-core", type=int, default=1, metavar="K", help="fewest interactions of users and items"
    )
    group.add_argument("--user-core", type=int, metavar="K", help="the same for users alone")
    group.add_argument("--item-core", type=int, metavar="K", help="the same for items alone")
    group.add_argument(
        "--resplit", action="store_true", help="merge the fixed splits of the source into one table"
    )


def filters_of(arguments: argparse.Namespace) -> Filters:
    """The filters that were chosen."""
    cores = {
        name: getattr(arguments, name) if getattr(arguments, name) is not None else arguments.k_core
        for name in ("user_core", "item_core")
    }
    if min(cores.values()) < 1:
        raise UserError("--k-core: must be at least 1; 1 keeps everything")
    return Filters(
        min_rating=arguments.min_rating,
        all_modalities=arguments.all_modalities,
        resplit=arguments.resplit,
        **cores,
    )


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds a dataset, so that it may be replaced."""
    return (folder / MANIFEST).is_file()


def output_folder(
    output: Path, force: bool, dry_run: bool, ours: Callable[[Path], bool] = is_dataset
) -> Path:
    """The folder to write, asked before hours of work rather than after.

    Args:
        output: as given.
        force: whether an existing folder may be replaced, if it is one of ``ours``.
        dry_run: whether nothing will be written.
        ours: tells folders that were written by this source.

    Raises:
        UserError: it exists, its name cannot name a dataset, or its place cannot be written.
    """
    folder = Path(os.path.abspath(output))
    if not _NAME.fullmatch(folder.name):
        raise UserError(
            f"--output {output}: {folder.name!r} cannot name a dataset; use letters, digits, `_`, "
            "`-` and `.`, starting with a letter or digit"
        )
    if dry_run:
        return folder
    if folder.exists() and not force:
        raise FolderExistsError(f"{output}: exists already; choose another --output or add --force")
    if folder.exists() and not (folder.is_dir() and ours(folder)):
        raise UserError(
            f"{output}: is not a dataset folder of this kind and is not replaced; choose another "
            "--output or delete it"
        )
    place = next(parent for parent in folder.parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"--output {output}: {place} cannot be written; choose another place")
    return folder


def use_of(output: Path) -> str:
    """The options of a run with this folder; RecBole looks in ``dataset/`` where it is not told."""
    folder = Path(os.path.abspath(output))
    dataset = shlex.quote(f"--dataset={folder.name}")
    if folder.parent == Path(os.path.abspath("dataset")):
        return dataset
    place = output.parent if output.name == folder.name else folder.parent
    return f"{shlex.quote(f'--data_path={place}')} {dataset}"


def report_of(arguments: argparse.Namespace) -> Report:
    """An empty report that knows the repairs that were asked for."""
    return Report(fixes=parse_fixes(arguments.fix))


def name_and_path(text: str) -> tuple[str, Path]:
    """``NAME=PATH`` of a feature option; the name becomes a file name."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH, as in visual=features.npy")
    if not _NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{name!r} must consist of letters, digits, _, - and .")
    return name, Path(path)


def encoding_name(text: str) -> str:
    """A text encoding that Python knows."""
    try:
        codecs.lookup(text)
    except LookupError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no encoding; try utf-8-sig, latin-1 or cp1252"
        ) from error
    return text


@contextmanager
def spool_folder() -> Iterator[Path]:
    """A temporary folder for what has to be unpacked; ``TMPDIR`` chooses the disk."""
    with tempfile.TemporaryDirectory(prefix="dataset-prep-") as folder:
        yield Path(folder)
