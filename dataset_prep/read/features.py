"""Feature files of any kind as rows with an item id each, never in memory as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_prep.interactions import as_tokens
from dataset_prep.read.feature_arrays import read_hdf5, read_npz, read_tensors
from dataset_prep.read.feature_json import read_json_features
from dataset_prep.read.feature_parquet import read_parquet_features
from dataset_prep.read.feature_text import read_text_features
from dataset_prep.read.files import check_there, file_kind
from dataset_prep.read.id_lists import read_ids
from dataset_prep.read.ids import FeatureFile, Found, IdSource
from dataset_prep.read.matrices import FeatureTable, open_matrix
from dataset_prep.report import Report
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.errors import UserError

# What made the features of NAME.npy stands in NAME.encoder.json, tied to them by checksums.
ENCODER_ENDING = ".encoder.json"
_SIDE_FILES = (
    *(".items.tsv", ".ids.npy", "_ids.npy", ".ids", ".ids.txt", ".ids.tsv", ".ids.csv"),
    ".ids.json",
)
_READERS: dict[str, Callable[[FeatureFile], Found]] = {
    "npy": lambda file: (open_matrix(file.path), None),
    "npz": read_npz,
    "hdf5": read_hdf5,
    "torch": read_tensors,
    "parquet": read_parquet_features,
    "json": read_json_features,
    "text": read_text_features,
}


def read_features(
    name: str, path: Path, report: Report, spool: Path, ids: IdSource | None = None
) -> FeatureTable:
    """Open a feature file of any kind; what is no plain matrix is spooled to disk."""
    ids = ids or IdSource()
    check_there(path, f"check the path of modality {name}")
    kind = file_kind(path)
    if path.suffix == ".gz" and kind not in ("json", "text"):
        raise UserError(f"{path}: holds a packed {kind} file; unpack it")
    if kind == "gzip":
        raise UserError(f"{path}: is packed by gzip; give it the ending .gz")
    if kind not in _READERS:
        raise UserError(f"{path}: a pickle can run code when read; save the matrix with numpy.save")
    matrix, found = _READERS[kind](FeatureFile(name, path, spool / f"{name}.f32", ids, report))
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
    if kind == "npy" and (recorded := _read_encoder(path)) is not None:
        table.encoder, table.notes = recorded
    return table


def _side_ids(path: Path, n_rows: int, ids: IdSource, report: Report) -> list[str]:
    if ids.first_row is not None:
        return [str(ids.first_row + row) for row in range(n_rows)]
    stem = path.name.removesuffix(path.suffix)
    beside = [path.with_name(stem + ending) for ending in _SIDE_FILES]
    for side in [ids.file] if ids.file is not None else beside:
        if side == ids.file or side.is_file():
            return read_ids(side, report, ids, n_rows)
    raise UserError(
        f"{path}: no ids for its {n_rows} rows; put {stem}.ids.npy beside it, name a file "
        "with `--feature-ids`, or say `--rows-from N` if row 0 is item N"
    )


def encoder_record(encoder: str, notes: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """Content of NAME.encoder.json for features in ``files`` (the matrix and its ids)."""
    hashes = {path.name: file_hash(path) for path in files}
    return {"encoder": encoder, "notes": notes, "sha256": hashes}


def _read_encoder(matrix: Path) -> tuple[str, dict[str, Any]] | None:
    """Encoder and notes of a matrix file, or None where nothing is recorded."""
    path = matrix.with_name(matrix.name.removesuffix(".npy") + ENCODER_ENDING)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        encoder, notes, hashes = str(found["encoder"]), dict(found["notes"]), dict(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: no record of an encoder; extract again or delete it") from error
    for name, expected in hashes.items():
        # Only files beside it: the record may come from anywhere.
        beside = path.with_name(Path(str(name)).name)
        if not beside.is_file() or file_hash(beside) != expected:
            raise UserError(
                f"{beside}: missing or changed since {path.name} was written; extract again, or "
                f"delete {path.name} if the change is meant"
            )
    return encoder, notes
