"""Feature files of any kind as rows with an item id each, never in memory as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.arrays import RowMatrix, open_matrix
from dataset_prep.read.encoder_file import read_encoder
from dataset_prep.read.feature_arrays import read_hdf5, read_npz, read_tensors
from dataset_prep.read.feature_json import read_json_features
from dataset_prep.read.feature_parquet import read_parquet_features
from dataset_prep.read.feature_text import read_text_features
from dataset_prep.read.file_kind import file_kind
from dataset_prep.read.id_columns import IdSource
from dataset_prep.read.id_lists import read_ids
from dataset_prep.report import CORRECT, Report
from dataset_prep.tokens import as_tokens
from recbole_painvrl.errors import UserError

_SIDE_FILES = (
    *(".items.tsv", ".ids.npy", "_ids.npy", ".ids", ".ids.txt", ".ids.tsv", ".ids.csv"),
    ".ids.json",
)
_OF_ARRAYS = {"npz": read_npz, "hdf5": read_hdf5, "torch": read_tensors}
_OF_ROWS = {
    "parquet": read_parquet_features,
    "json": read_json_features,
    "text": read_text_features,
}


@dataclass
class FeatureTable:
    """Features of one modality as found.

    Attributes:
        name: of the modality.
        where: file, as shown to the user.
        tokens: item id of each row, empty where it is missing.
        matrix: ``[n, d]`` as stored.
        absent: rows known to have no content (no text, no poster), ``[n]``, or None.
        encoder: what made the features.
        notes: more for the manifest (layer, size, normalisation...).
        id_advice: what to do where the ids meet no interaction.
        own_ids: whether the ids stand in the file itself.
    """

    name: str
    where: str
    tokens: list[str]
    matrix: RowMatrix
    absent: npt.NDArray[np.bool_] | None = None
    encoder: str = "not recorded"
    notes: dict[str, Any] = field(default_factory=dict)
    id_advice: str = CORRECT
    own_ids: bool = True


def read_features(
    name: str, path: Path, report: Report, spool: Path, ids: IdSource | None = None
) -> FeatureTable:
    """Open a feature file of any kind; what is no plain matrix is spooled to disk.

    Raises:
        UserError: unreadable, of an unknown kind, or without ids.
    """
    ids = ids or IdSource()
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path of modality {name}")
    kind = file_kind(path)
    matrix, found = _open(name, path, kind, spool, ids, report)
    tokens = _side_ids(path, matrix.shape[0], ids, report) if found is None else as_tokens(found)
    if len(tokens) != matrix.shape[0]:
        raise UserError(
            f"{path}: has {matrix.shape[0]} rows for {len(tokens)} ids; the two belong together, "
            "give the ids of this file"
        )
    if not matrix.shape[1]:
        raise UserError(f"{path}: has {len(tokens)} rows of 0 columns; write its features again")
    if matrix.dtype.kind != "f":
        report.note(f"{path.name}: holds {matrix.dtype}, stored as floating point")
    own_ids = found is not None
    table = FeatureTable(name, path.name, tokens, matrix, id_advice=ids.advice, own_ids=own_ids)
    if kind == "npy" and (recorded := read_encoder(path)) is not None:
        table.encoder, table.notes = recorded
    return table


def _open(
    name: str, path: Path, kind: str, spool: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    """The matrix and, where the file holds them, the ids of its rows."""
    target = spool / f"{name}.f32"
    if path.suffix == ".gz" and kind not in ("json", "text"):
        raise UserError(f"{path}: holds a packed {kind} file; unpack it")
    if kind == "npy":
        return open_matrix(path), None
    if kind in _OF_ARRAYS:
        return _OF_ARRAYS[kind](name, path, target, ids, report)
    if kind in _OF_ROWS:
        return _OF_ROWS[kind](path, target, ids, report)
    if kind == "gzip":
        raise UserError(f"{path}: is packed by gzip; give it the ending .gz")
    raise UserError(f"{path}: a pickle can run code when read; save the matrix with numpy.save")


def _side_ids(path: Path, n_rows: int, ids: IdSource, report: Report) -> list[str]:
    if ids.first_row is not None:
        return [str(ids.first_row + row) for row in range(n_rows)]
    if ids.file is not None:
        return read_ids(ids.file, report, ids, n_rows)
    stem = path.name.removesuffix(path.suffix)
    for ending in _SIDE_FILES:
        side = path.with_name(stem + ending)
        if side.is_file():
            return read_ids(side, report, ids, n_rows)
    raise UserError(
        f"{path}: no ids for its {n_rows} rows; put {stem}.ids.npy beside it, name a file "
        "with `--feature-ids`, or say `--rows-from N` if row 0 is item N"
    )
