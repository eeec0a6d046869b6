"""Source ``mmgcn``: the .npy family of MMGCN, GRCN, InvRL, LightGT and CLCRec."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import PAPER, RawDataset
from dataset_prep.read.interactions import add_pairs, read_interactions
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.pickles import load_object_array
from dataset_prep.report import Report
from dataset_prep.sources.mmgcn_features import read_mmgcn_features
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read train.npy (pairs), val_full.npy and test_full.npy (lists: a user, then the
items), where items are numbered after the users, with FeatureVideo_normal.npy,
feat_v.npy or feat_v.pt and the like, whose row i belongs to the i-th item; or one
.npz file with pairs under train, val and test. Pickled lists are read by a reader
that knows plain data only."""
_EXAMPLE = """example:
  python -m dataset_prep mmgcn --input Data/movielens --dataset movielens \\
      --resplit --output dataset/movielens
  python -m dataset_prep mmgcn --input pairs.npz --resplit --output dataset/ml-mmgcn"""
_FILES = {
    "train": ("train.npy", "train_sample.npy"),
    "valid": ("val_full.npy", "val.npy", "val_sample.npy", "valid.npy"),
    "test": ("test_full.npy", "test.npy", "test_sample.npy"),
}
# Evaluation lists of MMGCN's first release carry a thousand sampled negatives each.
_WITH_NEGATIVES = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this source alone."""
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PATH", help="folder, or one .npz of pairs"
    )
    parser.add_argument(
        "--dataset", choices=sorted(PAPER), help="compare the counts with the paper's"
    )
    parser.add_argument(
        "--users", type=int, metavar="N", help="number of the first item (default: users found)"
    )


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Splits and features, with items numbered from 0."""
    place: Path = arguments.input
    builder = InteractionBuilder()
    features: list[FeatureTable] = []
    if place.is_file():
        read_interactions(place, builder, report)
        inputs = [place]
    else:
        pairs, inputs = _read_folder(place)
        first_item = _first_item(place, pairs, arguments.users)
        for part, array in pairs.items():
            shifted = array - np.array([0, first_item])
            add_pairs(place, shifted, builder, part)
        n_items = max(int(array[:, 1].max()) for array in pairs.values()) + 1 - first_item
        features, files = read_mmgcn_features(place, n_items, report)
        inputs += files
    known = arguments.dataset or next((name for name in PAPER if name in place.stem.lower()), None)
    return RawDataset(
        interactions=builder.finish(str(place), report),
        features=features,
        source=f"MMGCN family, {place.resolve().stem}",
        paper=PAPER[known] if known else None,
        inputs=inputs,
    )


def _read_folder(folder: Path) -> tuple[dict[str, npt.NDArray[np.int64]], list[Path]]:
    found = {
        part: next((folder / name for name in names if (folder / name).is_file()), None)
        for part, names in _FILES.items()
    }
    if found["train"] is None:
        raise UserError(f"{folder}: has no train.npy; give the folder that holds it")
    paths = {part: path for part, path in found.items() if path is not None}
    pairs = {part: _read_pairs(path) for part, path in paths.items()}
    return {part: array for part, array in pairs.items() if len(array)}, list(paths.values())


def _read_pairs(path: Path) -> npt.NDArray[np.int64]:
    """Pairs [n, 2] of a .npy file that holds pairs, or lists of a user and the user's items."""
    content = load_object_array(path)
    if isinstance(content, np.ndarray) and content.dtype.kind in "iu":
        if content.ndim == 2 and content.shape[1] == 2:
            return content.astype(np.int64)
        if content.ndim == 2 and content.shape[1] > _WITH_NEGATIVES:
            raise UserError(_negatives(path))
    if not isinstance(content, np.ndarray | list):
        raise UserError(f"{path}: holds a {type(content).__name__}; give pairs or lists")
    return _from_lists(path, content)


def _from_lists(path: Path, lists: Iterable[Any]) -> npt.NDArray[np.int64]:
    pieces = []
    for number, entry in enumerate(lists):
        try:
            row = np.asarray(list(entry), dtype=np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{path}: entry {number} is no list of numbers; give a user and items per entry"
            ) from error
        if len(row) > _WITH_NEGATIVES:
            raise UserError(_negatives(path))
        if len(row) > 1:
            pieces.append(np.stack([np.full(len(row) - 1, row[0]), row[1:]], axis=1))
    return np.concatenate(pieces) if pieces else np.zeros((0, 2), dtype=np.int64)


def _negatives(path: Path) -> str:
    return (
        f"{path}: its lists are longer than {_WITH_NEGATIVES}, as where sampled negatives were "
        "added; give the *_full.npy files"
    )


def _first_item(folder: Path, pairs: dict[str, npt.NDArray[np.int64]], given: int | None) -> int:
    """Number of the first item: items follow the users."""
    last_user = max(int(array[:, 0].max()) for array in pairs.values())
    lowest = min(int(array[:, 1].min()) for array in pairs.values())
    first = last_user + 1 if given is None else given
    if given is None and lowest <= last_user:
        return 0
    if lowest < first:
        raise UserError(
            f"{folder}: item {lowest} is below the first item number {first}; correct --users"
        )
    return first


_SUMMARY = "train/val/test.npy and feat_*.npy of MMGCN's kin"
COMMAND = source("mmgcn", (_SUMMARY, _DESCRIPTION, _EXAMPLE), add_options, read)
