"""Source ``diffmm``: users and items numbered from 0, one feature row per item number.

Confirmed from DiffMM's own code: ``trnMat.pkl`` and ``tstMat.pkl`` (and ``valMat.pkl``) are
pickled SciPy matrices [n_users, n_items], every value but 0 is an interaction, and row i of
``image_feat.npy``, ``text_feat.npy``, ``audio_feat.npy`` belongs to item i. The pickles are read
by a restricted reader that runs nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import RawDataset
from dataset_prep.read.interactions import add_pairs, read_interactions
from dataset_prep.read.matrices import open_archive
from dataset_prep.read.pickles import read_pickled_matrix
from dataset_prep.report import Report
from dataset_prep.sources.common import find_file, numbered_dataset
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read the splits of DiffMM and MMSSL, pickled (trnMat.pkl, valMat.pkl, tstMat.pkl;
train_mat, val_mat, test_mat) or as interactions.npz (arrays train, val, test of
user and item numbers), and image_feat.npy, audio_feat.npy, text_feat.npy, whose
row i belongs to item i. Pickles are read without importing or calling anything
that they name."""
_EXAMPLE = """example:
  python -m dataset_prep diffmm --input DiffMM/Datasets/tiktok --fix drop-unrated \\
      --output dataset/tiktok"""
_PICKLES = {
    "train": ("trnMat.pkl", "train_mat", "train_mat.pkl"),
    "valid": ("valMat.pkl", "val_mat", "val_mat.pkl"),
    "test": ("tstMat.pkl", "test_mat", "test_mat.pkl"),
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the data")


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Splits and features of the folder."""
    folder: Path = arguments.input
    builder = InteractionBuilder()
    path = folder / "interactions.npz"
    inputs, width = [path], None
    if path.is_file():
        read_interactions(path, builder, report)
        shape = open_archive(path).get("shape")
        if shape is not None:
            if shape.shape != (2,) or shape.dtype.kind not in "iu":
                raise UserError(
                    f"{path}: its `shape` is not two whole numbers; leave it out or correct it"
                )
            width = int(shape[1])
    else:
        inputs, width = _read_pickles(folder, builder)
    interactions = builder.finish(str(inputs[0]), report)
    return numbered_dataset(report, interactions, inputs, [folder], "DiffMM family", width)


def _read_pickles(folder: Path, builder: InteractionBuilder) -> tuple[list[Path], int]:
    """Append the splits; returns their files and the number of items."""
    files = {part: find_file(folder, names, part, "--input") for part, names in _PICKLES.items()}
    if files["train"] is None or files["test"] is None:
        raise UserError(
            f"{folder}: has neither interactions.npz nor trnMat.pkl and tstMat.pkl; give the "
            "folder that holds them"
        )
    shapes: dict[Path, tuple[int, int]] = {}
    matrices = {
        (part, path): read_pickled_matrix(path) for part, path in files.items() if path is not None
    }
    # Values other than 1 are ratings, some of which may be dislikes.
    rated = any((matrix.data[matrix.data != 0] != 1).any() for matrix in matrices.values())
    for (part, path), matrix in matrices.items():
        there = matrix.data != 0
        columns = [matrix.row[there], matrix.col[there]]
        columns += [matrix.data[there].astype(np.float64)] if rated else []
        add_pairs(path, np.stack(columns, axis=1), builder, part)
        shapes[path] = (int(matrix.shape[0]), int(matrix.shape[1]))
    if len(set(shapes.values())) > 1:
        shown = ", ".join(f"{path.name} {shape}" for path, shape in shapes.items())
        raise UserError(f"{folder}: the splits have different shapes ({shown}); copy them again")
    return list(shapes), next(iter(shapes.values()))[1]


_SUMMARY = "pickled matrices or interactions.npz, and *_feat.npy (DiffMM, MMSSL)"
COMMAND = source("diffmm", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
