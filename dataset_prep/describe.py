"""``describe``: statistics of a dataset folder, and neighbours that a person can judge."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.fix.selection import Selection
from dataset_prep.folder import (
    FolderReader,
    dataset_folder,
    read_titles,
    split_files,
)
from dataset_prep.plot import check_plot, plot_degrees
from dataset_prep.read.arrays import open_matrix
from dataset_prep.read.features import FeatureTable
from recbole_painvrl.data.features import available_modalities, load_modality
from recbole_painvrl.errors import UserError

_EXAMPLE = """example:
  python -m dataset_prep describe dataset/ml-trailers --items 5 --plot degrees.png"""
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
_NEIGHBOURS = 3


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "describe",
        help="statistics, degrees, coverage and nearest neighbours of a dataset folder",
        description="Print what a dataset folder holds, and the items that each modality finds\n"
        "similar (cosine): neighbours without any sense mean that features and ids are not\n"
        "aligned.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="dataset folder")
    parser.add_argument(
        "--items", type=int, default=3, metavar="N", help="items to show neighbours of"
    )
    parser.add_argument(
        "--item", action="append", default=[], metavar="ID", help="show this item's neighbours"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write the degree plots (needs matplotlib)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    folder = dataset_folder(arguments.folder)
    if arguments.items < 0:
        raise UserError(f"--items {arguments.items}: must be 0 or more")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    reader = FolderReader()
    table = reader.read(folder / f"{folder.name}.inter")
    tokens = reader.item_tokens()
    users = np.bincount(table.users[table.users >= 0])
    items = np.bincount(table.items[table.items >= 0])
    known = set(tokens)
    unknown = [token for token in arguments.item if token not in known]
    if unknown:
        raise UserError(f"{folder}: has no item {unknown[0]!r}; give ids of its .inter file")
    print_statistics(folder, len(table), users, items)
    titles = read_titles(folder)
    popular = [tokens[n] for n in np.argsort(-items, kind="stable")]
    chosen = arguments.item or popular[: arguments.items]
    for modality in available_modalities(folder):
        print_modality(folder, modality, known, chosen, titles)
    if arguments.plot is not None:
        plot_degrees(arguments.plot, folder.name, users, items)
    return 0


def print_statistics(
    folder: Path, n_rows: int, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
) -> None:
    """Counts, sparsity and quantiles of the degrees."""
    cells = len(users) * len(items)
    print(f"{folder.name}: {n_rows:,} interactions, {len(users):,} users, {len(items):,} items")
    print(f"sparsity {1 - n_rows / cells:.4%}")
    for part, path in split_files(folder).items():
        print(f"split {part}: {len(FolderReader().read(path)):,} interactions")
    print(f"{'per':>5} " + " ".join(f"{q:>8.0%}" for q in _QUANTILES) + f" {'mean':>8}")
    for name, degrees in (("user", users), ("item", items)):
        shown = " ".join(f"{value:>8.0f}" for value in np.quantile(degrees, _QUANTILES))
        print(f"{name:>5} {shown} {degrees.mean():>8.1f}")


def print_modality(
    folder: Path, modality: str, rated: set[str], chosen: list[str], titles: dict[str, str]
) -> None:
    """Coverage, norms and the nearest neighbours of a few items."""
    matrix, tokens = load_modality(folder, modality)
    covered = len(set(tokens) & rated)
    share = covered / len(rated)
    rows, width = matrix.shape
    print(
        f"modality {modality}: {rows:,} rows x {width} columns {matrix.dtype}, covers "
        f"{covered:,} of {len(rated):,} items ({share:.1%})"
    )
    path = folder / "features" / f"{modality}.npy"
    selection = Selection.of(FeatureTable(modality, str(path), tokens, open_matrix(path)))
    place = {token: row for row, token in enumerate(tokens)}
    shown = [token for token in chosen if token in place]
    for token, near in zip(shown, neighbours(selection, [place[t] for t in shown]), strict=True):
        listed = ", ".join(f"{titles.get(tokens[r], tokens[r])} ({s:.2f})" for r, s in near)
        print(f"  {titles.get(token, token)}: {listed}")


def neighbours(selection: Selection, rows: list[int]) -> list[list[tuple[int, float]]]:
    """Rows with the largest cosine to each of ``rows``, in one pass.

    Columns count by their deviation from the mean, in units of their own spread where a few columns
    with large numbers would decide alone.
    """
    if not rows:
        return []
    scan = selection.scan()
    uneven = scan.deviation > 0 if scan.uneven else np.zeros(len(scan.mean), dtype=np.bool_)
    mean, spread = scan.mean, np.where(uneven, scan.deviation, 1.0)
    wanted = np.stack([(_one_row(selection, row) - mean) / spread for row in rows])
    wanted = wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
    pieces = []
    for block in selection.values():
        centred = (block - mean) / spread
        norms = np.maximum(np.linalg.norm(centred, axis=1), 1e-12)
        pieces.append((centred @ wanted.T) / norms[:, None])
    cosines = np.concatenate(pieces)
    found = []
    for column, row in enumerate(rows):
        cosines[row, column] = -np.inf
        best = np.argsort(-cosines[:, column], kind="stable")[:_NEIGHBOURS]
        found.append([(int(r), float(cosines[r, column])) for r in best if r != row])
    return found


def _one_row(selection: Selection, row: int) -> npt.NDArray[np.float64]:
    return np.asarray(selection.table.matrix.read(row, row + 1)[0], dtype=np.float64)
