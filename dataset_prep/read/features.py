"""Feature files of any kind as a matrix with an item id per row."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.interactions import as_tokens
from dataset_prep.read.feature_tables import read_table_features, read_text_features
from dataset_prep.read.files import file_kind, readable
from dataset_prep.read.id_lists import ordered_ids, read_ids, refuse_unread_ids
from dataset_prep.read.ids import (
    FeatureFile,
    Found,
    IdSource,
    find_id,
    is_item_name,
    is_row_name,
    listed_names,
    no_id_column,
)
from dataset_prep.read.matrices import Array, FeatureTable, open_archive, open_matrix
from dataset_prep.report import Report
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import parse_json, reason

# NAME.encoder.json describes how NAME.npy was made; it holds checksums of NAME's files.
ENCODER_ENDING = ".encoder.json"
_SIDE_FILES = (
    *(".items.tsv", ".ids.npy", "_ids.npy", ".ids", ".ids.txt", ".ids.tsv", ".ids.csv"),
    ".ids.json",
)
_BY_INDEX = re.compile(r"arr_[0-9]{1,18}")


def read_features(
    name: str, path: Path, report: Report, spool: Path, ids: IdSource | None = None
) -> FeatureTable:
    """Open a feature file of any kind; rows of text, JSON and Parquet are spooled to disk."""
    ids = ids or IdSource()
    kind = file_kind(path)
    if kind == "gzip" or (path.suffix == ".gz" and kind not in ("json", "text")):
        raise UserError(f"{path}: is a {kind} file whose ending does not fit; unpack or rename it")
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
    has_ids = found is not None
    table = FeatureTable(name, path.name, tokens, matrix, id_advice=ids.advice, has_ids=has_ids)
    if kind == "npy" and (recorded := _read_encoder(path)) is not None:
        table.encoder, table.notes = recorded
    return table


def _side_ids(path: Path, n_rows: int, ids: IdSource, report: Report) -> list[str]:
    """Ids of the rows from ``--rows-from``, ``--feature-ids`` or a file beside the matrix."""
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


def _from_arrays(file: FeatureFile, arrays: Mapping[str, Array]) -> Found:
    """The matrix and the id of each row of named arrays: one matrix, or one vector per item."""
    path, ids = file.path, file.ids
    numeric = [key for key, array in arrays.items() if array.dtype.kind in "fiub"]
    wide = [key for key in numeric if arrays[key].ndim == 2]
    flat = [key for key, array in arrays.items() if array.ndim == 1]
    single = [k for k in numeric if arrays[k].ndim == 1 or arrays[k].shape[:-1] == (1,)]
    if len(single) == len(arrays) and len(wide) != 1 and find_id(flat, ids.column) is None:
        by_index = all(map(_BY_INDEX.fullmatch, single))
        keys = sorted(single, key=lambda key: int(key[4:])) if by_index else single
        matrix, tokens = file.spooled((key, arrays[key].reshape(-1)) for key in keys)
        return matrix, None if by_index else tokens
    wide = [file.name] if file.name in wide else wide
    if len(wide) != 1:
        raise UserError(
            f"{path}: holds {len(wide)} matrices ({listed_names(list(arrays))}); give one, or one "
            "array per item"
        )
    array = arrays[wide[0]]
    if ids.first_row is not None or ids.file is not None:
        return array, None
    if ids.column is not None and ids.column not in flat:
        raise no_id_column(path, list(arrays), ids.column)
    refuse_unread_ids(path, [key for key in arrays if key != wide[0]], flat, ids)
    lists = [key for key in flat if len(arrays[key]) == len(array)] or flat
    # Arrays beside a matrix follow its rows, unless one of them is named as row indices are.
    known = [k for k in lists if k == ids.column or is_item_name(k) or is_row_name(k)]
    columns = {key: arrays[key] for key in known or lists}
    if not columns:
        raise UserError(
            f"{path}: no array of ids among {listed_names(list(arrays))}; add one called `ids`, or "
            "name a file with `--feature-ids`"
        )
    return array, ordered_ids(path, columns, ids, n_rows=len(array))


def _read_hdf5(file: FeatureFile) -> Found:
    """As ``.npz``; only what the file itself contains is read."""
    path = file.path
    if importlib.util.find_spec("h5py") is None:
        raise UserError(f"{path}: is HDF5, which needs h5py; type `pip install h5py`")
    copied = file.target.with_suffix(".npz")
    script = Path(__file__).with_name("hdf5_copy.py")
    command = [sys.executable, "-P", str(script), str(path), str(copied)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["its reader crashed"])[-1][:200]
        raise UserError(f"{path}: HDF5 that cannot be read ({why}); copy or write it again")
    return _from_arrays(file, open_archive(copied, path))


def _read_tensors(file: FeatureFile) -> Found:
    """As ``.npz``, for a tensor or a dictionary of tensors of PyTorch."""
    found = _load(file.path)
    if isinstance(found, dict):
        arrays = {str(key): _as_array(file.path, tensor) for key, tensor in found.items()}
        return _from_arrays(file, arrays)
    array = _as_array(file.path, found)
    if array.ndim != 2:
        raise UserError(f"{file.path}: holds a tensor {array.shape}; give one row per item")
    return array, None


def read_tensor(path: Path) -> Array:
    """The tensor of a PyTorch file as an array."""
    return _as_array(path, _load(path))


def _as_array(path: Path, found: object) -> Array:
    import torch

    if not isinstance(found, torch.Tensor):
        raise UserError(f"{path}: holds a {type(found).__name__}, not a tensor; save the matrix")
    with readable(path, "holds a tensor that NumPy does not have", "save it with numpy.save"):
        # NumPy has no bfloat16.
        tensor = found.float() if found.dtype == torch.bfloat16 else found
        return np.asarray(tensor.detach().numpy())


def _load(path: Path) -> Any:
    """Content of a PyTorch file, restricted to tensors and plain data."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = reason(error)[:120]
        raise UserError(
            f"{path}: holds no plain tensor ({text}); save it with numpy.save"
        ) from error


_READERS: dict[str, Callable[[FeatureFile], Found]] = {
    "npy": lambda file: (open_matrix(file.path), None),
    "npz": lambda file: _from_arrays(file, open_archive(file.path)),
    "hdf5": _read_hdf5,
    "torch": _read_tensors,
    "parquet": read_table_features,
    "json": read_table_features,
    "text": read_text_features,
}


def encoder_record(encoder: str, notes: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """Content of NAME.encoder.json for features in ``files`` (the matrix and its ids)."""
    hashes = {path.name: file_hash(path) for path in files}
    return {"encoder": encoder, "notes": notes, "sha256": hashes}


def _read_encoder(matrix: Path) -> tuple[str, dict[str, Any]] | None:
    """Encoder and notes of a matrix file, or None if there is no record."""
    path = matrix.with_name(matrix.name.removesuffix(".npy") + ENCODER_ENDING)
    if not path.is_file():
        return None
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        encoder, notes, hashes = str(found["encoder"]), dict(found["notes"]), dict(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no record of an encoder; extract again or delete it") from error
    for name, expected in hashes.items():
        # The record may come from anyone: only files beside it are read.
        beside = path.parent / Path(str(name)).name
        if not beside.is_file() or file_hash(beside) != expected:
            raise UserError(
                f"{beside}: missing or changed since {path.name} was written; extract again, or "
                f"delete {path.name} if the change is intended"
            )
    return encoder, notes
