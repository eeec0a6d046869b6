"""Source ``diffmm``: users and items numbered from 0, one feature row per item number."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dataset_prep.framework.arrays import open_archive, open_matrix
from dataset_prep.framework.finish import run_source
from dataset_prep.framework.interactions import InteractionBuilder
from dataset_prep.framework.options import RawDataset, add_source
from dataset_prep.framework.read_features import FeatureTable
from dataset_prep.framework.read_interactions import read_interactions
from dataset_prep.framework.report import Report
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read interactions.npz (arrays train, val, test of user and item numbers) and
image_feat.npy, audio_feat.npy, text_feat.npy, whose row i belongs to item i:
the data of DiffMM and MMSSL without their pickles."""
_EXAMPLE = """example:
  python -m dataset_prep diffmm --input tiktok --output dataset/tiktok"""
_FEATURES = {"image_feat": "visual", "audio_feat": "acoustic", "text_feat": "textual"}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers,
        "diffmm",
        "interactions.npz and *_feat.npy (DiffMM, MMSSL)",
        _DESCRIPTION,
        _EXAMPLE,
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the data")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder."""
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Splits and features of the folder.

    Raises:
        UserError: a file is missing, unreadable, or contradicts the stated shape.
    """
    folder: Path = arguments.input
    path = folder / "interactions.npz"
    if not path.is_file():
        raise UserError(f"{folder}: has no interactions.npz; give the folder that holds it")
    builder = InteractionBuilder()
    read_interactions(path, builder, report)
    interactions = builder.finish(str(path))
    shape = open_archive(path).get("shape")
    n_items = max(int(token) for token in interactions.item_tokens) + 1
    if shape is not None and n_items > int(shape[1]):
        raise UserError(
            f"{path}: item {n_items - 1} is beyond the stated {int(shape[1])} items; the file is "
            "damaged, copy it again"
        )
    features, inputs = [], [path]
    for stem, name in _FEATURES.items():
        file = folder / f"{stem}.npy"
        if not file.is_file():
            report.note(f"{file.name}: not there, no modality {name}")
            continue
        matrix = open_matrix(file)
        if matrix.shape[0] < n_items:
            raise UserError(
                f"{file}: has {matrix.shape[0]} rows for {n_items} items; it is cut or of another "
                "dataset"
            )
        tokens = [str(row) for row in range(matrix.shape[0])]
        features.append(FeatureTable(name, file.name, tokens, matrix))
        inputs.append(file)
    return RawDataset(
        interactions=interactions,
        features=features,
        source=f"DiffMM family, {folder.resolve().name}",
        inputs=inputs,
    )
