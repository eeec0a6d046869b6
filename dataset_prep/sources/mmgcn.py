"""Source ``mmgcn``: the .npy files of MMGCN, GRCN, InvRL, LightGT and CLCRec."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import PAPER, RawDataset
from dataset_prep.read.features import read_tensor
from dataset_prep.read.interactions import add_pairs, read_interactions
from dataset_prep.read.matrices import FeatureTable, RowMatrix, open_matrix
from dataset_prep.read.pickles import load_object_array
from dataset_prep.report import Report
from dataset_prep.sources.common import check_rows
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read train.npy (pairs), val_full.npy and test_full.npy (lists: a user, then the
items), where items are numbered after the users, with FeatureVideo_normal.npy,
feat_v.npy or feat_v.pt and the like, whose row i belongs to the i-th item; or one
.npz file with pairs under train, val and test. Pickled lists are read by a
restricted reader of plain data."""
_EXAMPLE = """example:
  python -m dataset_prep mmgcn --input Data/movielens --dataset movielens \\
      --resplit --output dataset/movielens
  python -m dataset_prep mmgcn --input pairs.npz --resplit --output dataset/ml-mmgcn"""
_FILES = {
    "train": ("train.npy", "train_sample.npy"),
    "valid": ("val_full.npy", "val.npy", "val_sample.npy", "valid.npy"),
    "test": ("test_full.npy", "test.npy", "test_sample.npy"),
}
_STEMS = {
    "visual": ("FeatureVideo", "feat_v", "v_feat", "visual_feat"),
    "acoustic": ("FeatureAudio", "feat_a", "a_feat", "audio_feat"),
    "textual": ("FeatureText", "feat_t", "t_feat", "text_feat"),
}
# Evaluation lists of MMGCN's first release hold a thousand sampled negatives each.
_WITH_NEGATIVES = 1000
# The matrix of a bag of words has a column for every number up to the largest.
_LARGEST_NUMBER = 10**7
_BAG_WIDTH = 128


def _add_options(parser: argparse.ArgumentParser) -> None:
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
    path: Path = arguments.input
    builder = InteractionBuilder()
    features: list[FeatureTable] = []
    if path.is_file():
        read_interactions(path, builder, report)
        inputs = [path]
    else:
        pairs, inputs = _read_folder(path)
        first_item = _first_item(path, pairs, arguments.users)
        for part, array in pairs.items():
            shifted = array - np.array([0, first_item])
            add_pairs(path, shifted, builder, part)
        n_items = max(int(array[:, 1].max()) for array in pairs.values()) + 1 - first_item
        features, files = _read_features(path, n_items, report)
        inputs += files
    known = arguments.dataset or next((name for name in PAPER if name in path.stem.lower()), None)
    return RawDataset(
        interactions=builder.finish(str(path), report),
        features=features,
        source=f"MMGCN family, {path.resolve().stem}",
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
    pairs = {part: array for part, array in pairs.items() if len(array)}
    if not pairs:
        raise UserError(f"{folder}: its splits hold no interaction; copy them again")
    return pairs, list(paths.values())


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
    """Number of the first item; items are numbered after the users, or from 0."""
    last_user = max(int(array[:, 0].max()) for array in pairs.values())
    lowest = min(int(array[:, 1].min()) for array in pairs.values())
    first = last_user + 1 if given is None else given
    if given is None and lowest <= last_user:
        return 0
    if given is None and lowest > first:
        raise UserError(
            f"{folder}: users end at {last_user} and items start at {lowest}, so the number of the "
            "first item is not known; give the number of users by --users"
        )
    if lowest < first:
        raise UserError(
            f"{folder}: item {lowest} is below the first item number {first}; correct --users"
        )
    return first


def _read_features(
    folder: Path, n_items: int, report: Report
) -> tuple[list[FeatureTable], list[Path]]:
    """One table per modality of the folder, and the files."""
    tables, files = [], []
    for name, stems in _STEMS.items():
        candidates = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in (".npy", ".pt") and path.name.startswith(stems)
        )
        if not candidates:
            report.note(f"{folder.name}: no features for modality {name}")
            continue
        path = candidates[0]
        if len(candidates) > 1:
            others = ", ".join(other.name for other in candidates[1:])
            report.note(f"{name}: {path.name} is used; move it away to use {others}")
        matrix, encoder = _open(path, n_items)
        check_rows(path, matrix, n_items)
        tokens = [str(row) for row in range(matrix.shape[0])]
        tables.append(FeatureTable(name, path.name, tokens, matrix, encoder=encoder))
        files.append(path)
    return tables, files


def _open(path: Path, n_items: int) -> tuple[RowMatrix, str]:
    if path.suffix == ".npy":
        matrix = open_matrix(path)
        if matrix.shape[0] != 2 or matrix.dtype.kind not in "iu":
            return matrix, "not recorded"
        array = matrix[0:2]
    else:
        array = read_tensor(path)
    if array.ndim == 2 and array.shape[0] == 2 and array.dtype.kind in "iu":
        largest = max(n_items, int(array.max(initial=0)))
        if array.size == 0 or int(array.min()) < 0 or largest > _LARGEST_NUMBER:
            raise UserError(
                f"{path}: as a bag of words it must hold numbers of items and words from 0 to "
                f"{_LARGEST_NUMBER}; copy it again"
            )
        width = min(_BAG_WIDTH, n_items - 1, int(array[1].max()))
        bag = word_bag(array, n_items, width)
        return bag, f"TF-IDF of word numbers, SVD to {bag.shape[1]} columns"
    if array.ndim != 2:
        raise UserError(f"{path}: has shape {array.shape}; give one row per item")
    return array, "not recorded"


def word_bag(
    pairs: npt.NDArray[np.integer[Any]], n_items: int, width: int
) -> npt.NDArray[np.float32]:
    """Rows [n_items, width] of a bag of words given as (item row, word) columns [2, n].

    *Deviation* from MMGCN, which learns a vector per word: TF-IDF and an SVD give every model the
    same features.
    """
    shape = (max(n_items, int(pairs[0].max()) + 1), int(pairs[1].max()) + 1)
    counts = sp.csr_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=shape)
    # Imported here, since importing scikit-learn takes a second.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = TfidfTransformer().fit_transform(counts)
    dense = TruncatedSVD(max(1, width), random_state=0).fit_transform(weights)
    return np.asarray(dense, dtype=np.float32)


_SUMMARY = "train/val/test.npy and feat_*.npy of the MMGCN family"
COMMAND = source("mmgcn", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
