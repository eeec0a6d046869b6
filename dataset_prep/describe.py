"""Command ``describe``: statistics of a dataset folder and nearest neighbours of items."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset_prep.fix.selection import Selection
from dataset_prep.folder import Ids, dataset_folder, read_table, read_titles, split_files
from dataset_prep.options import Command
from dataset_prep.plot import check_plot, plot_degrees
from dataset_prep.read.matrices import FeatureTable, open_matrix
from recbole_painvrl.data.features import available_modalities, load_modality
from recbole_painvrl.errors import UserError

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
_NEIGHBOURS = 3

Degrees = npt.NDArray[np.int64]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The folder, and what to show."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="dataset folder")
    add("--items", type=int, default=3, metavar="N", help="items to show neighbours of")
    text = "show this item's neighbours"
    add("--item", action="append", default=[], metavar="ID", help=text)
    text = "write the degree plots (needs matplotlib)"
    add("--plot", type=Path, metavar="FILE", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    folder = dataset_folder(arguments.folder)
    if arguments.items < 0:
        raise UserError(f"--items {arguments.items}: must be 0 or more")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    table = read_table(folder / f"{folder.name}.inter")
    known, users = Ids(), Ids()
    codes = known.encode(table["item_id"])
    items = np.bincount(codes[codes >= 0])
    codes = users.encode(table["user_id"])
    degrees = np.bincount(codes[codes >= 0])
    if not len(items) or not len(degrees):
        raise UserError(
            f"{folder}: no row of its .inter file has a user and an item; prepare it again"
        )
    unknown = [token for token in arguments.item if token not in known.numbers]
    if unknown:
        raise UserError(f"{folder}: has no item {unknown[0]!r}; give ids of its .inter file")
    _print_statistics(folder, len(table), degrees, items)
    tokens = list(known.numbers)
    popular = [tokens[n] for n in np.argsort(-items, kind="stable")[: arguments.items]]
    titles = read_titles(folder)
    for modality in available_modalities(folder):
        _print_modality(folder, modality, set(tokens), arguments.item or popular, titles)
    if arguments.plot is not None:
        plot_degrees(arguments.plot, folder.name, degrees, items)
    return 0


def _print_statistics(folder: Path, n_rows: int, users: Degrees, items: Degrees) -> None:
    """Counts, sparsity and quantiles of the degrees."""
    print(f"{folder.name}: {n_rows:,} interactions, {len(users):,} users, {len(items):,} items")
    print(f"sparsity {1 - n_rows / (len(users) * len(items)):.4%}")
    for part, path in split_files(folder).items():
        print(f"split {part}: {len(read_table(path)):,} interactions")
    print(f"{'per':>5} " + " ".join(f"{q:>8.0%}" for q in _QUANTILES) + f" {'mean':>8}")
    for name, degrees in (("user", users), ("item", items)):
        shown = " ".join(f"{value:>8.0f}" for value in np.quantile(degrees, _QUANTILES))
        print(f"{name:>5} {shown} {degrees.mean():>8.1f}")


def _print_modality(
    folder: Path, modality: str, rated: set[str], chosen: list[str], titles: dict[str, str]
) -> None:
    """Coverage, norms and the nearest neighbours of a few items."""
    matrix, tokens = load_modality(folder, modality)
    covered = len(set(tokens) & rated)
    rows, width = matrix.shape
    print(
        f"modality {modality}: {rows:,} rows x {width} columns {matrix.dtype}, covers "
        f"{covered:,} of {len(rated):,} items ({covered / len(rated):.1%})"
    )
    path = folder / "features" / f"{modality}.npy"
    selection = Selection.of(FeatureTable(modality, str(path), tokens, open_matrix(path)))
    row_of = {token: row for row, token in enumerate(tokens)}
    shown = [token for token in chosen if token in row_of]
    for token, near in zip(shown, _neighbours(selection, [row_of[t] for t in shown]), strict=True):
        listed = ", ".join(f"{titles.get(tokens[r], tokens[r])} ({s:.2f})" for r, s in near)
        print(f"  {titles.get(token, token)}: {listed}")


def _neighbours(selection: Selection, rows: list[int]) -> list[list[tuple[int, float]]]:
    """Rows with the largest cosine to each of ``rows``, in one pass.

    Columns are centred, and scaled to deviation 1 if a few columns with large numbers dominate.
    """
    if not rows:
        return []
    scan = selection.scan()
    mean, spread = scan.mean, np.ones(len(scan.mean))
    if scan.uneven:
        spread = np.where(scan.deviation > 0, scan.deviation, 1.0)
    matrix = selection.table.matrix
    wanted = np.concatenate([matrix[row : row + 1] for row in rows]).astype(np.float64)
    wanted = (wanted - mean) / spread
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


COMMAND = Command(
    "describe",
    "statistics, degrees, coverage and nearest neighbours of a dataset folder",
    "Print what a dataset folder holds, and the items that each modality finds\n"
    "similar (cosine): neighbours that make no sense mean that features and ids are not\n"
    "aligned.",
    """example:
  python -m dataset_prep describe dataset/ml-trailers --items 5 --plot degrees.png""",
    add_options,
    run,
)
