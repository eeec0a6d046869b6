"""Features in files of named arrays: .npz, HDF5 and PyTorch files."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.read.files import readable
from dataset_prep.read.id_lists import ordered_ids
from dataset_prep.read.ids import (
    FeatureFile,
    Found,
    find_id,
    is_item_name,
    is_row_name,
    listed_names,
    no_id_column,
)
from dataset_prep.read.matrices import (
    Array,
    ArrayMatrix,
    RowMatrix,
    archive_shapes,
    unpack_member,
)
from dataset_prep.read.npy import npy_array
from recbole_painvrl.errors import UserError

_BY_PLACE = re.compile(r"arr_\d+")
_NO_TEXT = "fiub"


@dataclass(frozen=True)
class Arrays:
    """Named arrays of a file.

    Attributes:
        shapes: shape and type of each.
        read: a whole array by its name.
        matrix: a large matrix by its name.
    """

    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    read: Callable[[str], Array]
    matrix: Callable[[str], RowMatrix]


def read_npz(file: FeatureFile, copied: Path | None = None) -> Found:
    """The matrix of an .npz file (or of its ``copied`` form) and the id of each row, or None."""
    path = copied or file.path
    shapes = archive_shapes(path)
    again = "save plain numbers, copy or write it again"
    with readable(file.path, "not readable as arrays", again), zipfile.ZipFile(path) as archive:
        arrays = Arrays(
            shapes,
            lambda key: npy_array(archive.read(f"{key}.npy")),
            lambda key: unpack_member(path, key, file.target.with_suffix(".npy")),
        )
        return _from_arrays(file, arrays)


def _from_arrays(file: FeatureFile, arrays: Arrays) -> Found:
    """The matrix and the id of each row; None where something else must name the rows."""
    path, ids = file.path, file.ids
    numeric = [key for key, (_, kind) in arrays.shapes.items() if kind.kind in _NO_TEXT]
    sizes = {key: arrays.shapes[key][0] for key in arrays.shapes}
    wide = [key for key in numeric if len(sizes[key]) == 2]
    flat = [key for key in sizes if len(sizes[key]) == 1]
    single = [k for k in numeric if len(sizes[k]) == 1 or (len(sizes[k]) == 2 and sizes[k][0] == 1)]
    per_item = len(single) == len(sizes) and len(wide) != 1 and find_id(flat, ids.column) is None
    if per_item:
        return _per_item(file, arrays, single)
    if len(wide) > 1 and file.name in wide:
        wide = [file.name]
    if len(wide) != 1:
        raise UserError(
            f"{path}: holds {len(wide)} matrices ({listed_names(list(sizes))}); give one, or one "
            "array per item"
        )
    matrix = arrays.matrix(wide[0])
    if ids.first_row is not None or ids.file is not None:
        return matrix, None
    if ids.column is not None and ids.column not in flat:
        raise no_id_column(path, list(sizes), ids.column)
    lists = [key for key in flat if sizes[key][0] == matrix.shape[0]] or flat
    if not lists:
        raise UserError(
            f"{path}: no array of ids among {listed_names(list(sizes))}; add one called `ids`, or "
            "name a file with `--feature-ids`"
        )
    # Arrays beside a matrix follow its rows, unless one is called as row numbers are.
    known = [k for k in lists if k == ids.column or is_item_name(k) or is_row_name(k)]
    columns = {key: arrays.read(key) for key in known or lists}
    return matrix, ordered_ids(path, columns, ids, n_rows=matrix.shape[0])


def _per_item(file: FeatureFile, arrays: Arrays, keys: list[str]) -> Found:
    by_place = all(_BY_PLACE.fullmatch(key) for key in keys)
    if by_place:
        keys = sorted(keys, key=lambda key: int(key[4:]))
    matrix, tokens = file.spooled((key, arrays.read(key).reshape(-1)) for key in keys)
    return matrix, None if by_place else tokens


def read_hdf5(file: FeatureFile) -> Found:
    """As :func:`read_npz` for an HDF5 file; only what lies in the file itself is read."""
    path = file.path
    if importlib.util.find_spec("h5py") is None:
        raise UserError(f"{path}: is HDF5, which needs h5py; type `pip install h5py`")
    copied = file.target.with_suffix(".npz")
    script = Path(__file__).with_name("hdf5_copy.py")
    command = [sys.executable, "-P", str(script), str(path), str(copied), file.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["its reader crashed"])[-1][:200]
        raise UserError(f"{path}: HDF5 that cannot be read ({why}); copy or write it again")
    return read_npz(file, copied)


def read_tensors(file: FeatureFile) -> Found:
    """As :func:`read_npz` for a tensor, or a dictionary of tensors, of PyTorch."""
    path = file.path
    found = _load(path)
    if not isinstance(found, dict):
        array = _plain(path, found)
        if array.ndim != 2:
            raise UserError(f"{path}: holds a tensor {array.shape}; give one row per item")
        return ArrayMatrix(array), None
    arrays = {str(key): _plain(path, tensor) for key, tensor in found.items()}
    content = Arrays(
        {key: (array.shape, array.dtype) for key, array in arrays.items()},
        arrays.__getitem__,
        lambda key: ArrayMatrix(arrays[key]),
    )
    return _from_arrays(file, content)


def read_tensor(path: Path) -> Array:
    """The tensor of a PyTorch file."""
    return _plain(path, _load(path))


def _plain(path: Path, found: object) -> Array:
    import torch

    if not isinstance(found, torch.Tensor):
        raise UserError(f"{path}: holds a {type(found).__name__}, not a tensor; save the matrix")
    # NumPy has no bfloat16.
    tensor = found.detach()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _load(path: Path) -> Any:
    """Content of a PyTorch file, by the reader that knows tensors and plain data only."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise UserError(
            f"{path}: holds no plain tensor ({text}); save it with numpy.save"
        ) from error
