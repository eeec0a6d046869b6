"""Features in files of named arrays: .npz, HDF5 and PyTorch files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.framework.arrays import (
    Array,
    ArrayMatrix,
    RowMatrix,
    archive_shapes,
    open_archive,
    unpack_member,
)
from dataset_prep.framework.id_columns import IdSource, find_id, listed_names, no_id_column
from dataset_prep.framework.id_lists import ordered_ids
from dataset_prep.framework.report import Report
from dataset_prep.framework.spool import Spool, VectorSpool
from dataset_prep.framework.text_tables import reason
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED

_BY_PLACE = re.compile(r"arr_\d+")
_ROWS_PER_BLOCK = 4096
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


def read_npz(
    name: str, path: Path, target: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    """The matrix of an .npz file and the id of each row, or None without ids.

    Raises:
        UserError: unreadable, or neither one matrix nor one array per item.
    """
    shapes = archive_shapes(path)
    content: dict[str, Array] = {}

    def read(key: str) -> Array:
        if not content:
            content.update(open_archive(path))
        return content[key]

    def matrix(key: str) -> RowMatrix:
        return unpack_member(path, key, target.with_suffix(".npy"))

    return from_arrays(name, path, Arrays(shapes, read, matrix), target, ids, report)


def from_arrays(
    name: str, path: Path, arrays: Arrays, target: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    """The matrix and the id of each row; None where something else must name the rows.

    Raises:
        UserError: neither one matrix nor one array per item.
    """
    numeric = [key for key, (_, kind) in arrays.shapes.items() if kind.kind in _NO_TEXT]
    sizes = {key: arrays.shapes[key][0] for key in arrays.shapes}
    wide = [key for key in numeric if len(sizes[key]) == 2]
    flat = [key for key in sizes if len(sizes[key]) == 1]
    single = [k for k in numeric if len(sizes[k]) == 1 or (len(sizes[k]) == 2 and sizes[k][0] == 1)]
    per_item = len(single) == len(sizes) and len(wide) != 1 and find_id(flat, ids.column) is None
    if per_item:
        return _per_item(path, arrays, single, target, report)
    if len(wide) > 1 and name in wide:
        wide = [name]
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
    columns = {key: arrays.read(key) for key in lists}
    return matrix, ordered_ids(path, columns, ids, n_rows=matrix.shape[0])


def _per_item(
    path: Path, arrays: Arrays, keys: list[str], target: Path, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    by_place = all(_BY_PLACE.fullmatch(key) for key in keys)
    if by_place:
        keys = sorted(keys, key=lambda key: int(key[4:]))
    with VectorSpool(target, path, report) as spool:
        for key in keys:
            spool.add(key, arrays.read(key).reshape(-1))
        matrix, tokens = spool.finish()
    return matrix, None if by_place else tokens


def read_hdf5(
    name: str, path: Path, target: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    """As :func:`read_npz` for an HDF5 file; only what lies in the file itself is read.

    Raises:
        UserError: h5py is missing, unreadable, or neither one matrix nor one dataset per item.
    """
    with _datasets(name, path) as datasets:
        shapes = {
            key: (tuple(data.shape), np.dtype("U1") if _is_text(data) else data.dtype)
            for key, data in datasets.items()
        }

        def read(key: str) -> Array:
            data = datasets[key]
            return np.asarray(data.asstr()[()] if _is_text(data) else data[()])

        def matrix(key: str) -> RowMatrix:
            data = datasets[key]
            with Spool(target, int(data.shape[1])) as spool:
                for start in range(0, int(data.shape[0]), _ROWS_PER_BLOCK):
                    spool.add(np.asarray(data[start : start + _ROWS_PER_BLOCK]))
            return spool.matrix(path)

        return from_arrays(name, path, Arrays(shapes, read, matrix), target, ids, report)


@contextmanager
def _datasets(name: str, path: Path) -> Iterator[dict[str, Any]]:
    """The datasets of a file by their names, without the groups that all of them share."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path}: is HDF5, which needs h5py; type `pip install h5py`") from error
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {}

            def visit(key: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    # What lies in other files might be any file of this machine.
                    if item.external or item.is_virtual:
                        raise ValueError(f"dataset {key} lies in other files")
                    found[key] = item

            file.visititems(visit)
            yield _short_names(path, name, found)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{path}: HDF5 that cannot be read ({reason(error)}); copy it") from error


def _short_names(path: Path, name: str, datasets: dict[str, Any]) -> dict[str, Any]:
    places = {key: key.rpartition("/") for key in datasets}
    if len({group for group, _, _ in places.values()}) <= 1:
        return {places[key][2]: data for key, data in datasets.items()}
    lasts = {last for _, _, last in places.values()}
    wanted = next(iter(lasts)) if len(lasts) == 1 else name
    chosen = {
        places[k][0].rpartition("/")[2]: d for k, d in datasets.items() if places[k][2] == wanted
    }
    if wanted not in lasts:
        raise UserError(
            f"{path}: is HDF5 with {len(datasets)} datasets in several groups "
            f"({listed_names(list(datasets), 4)}); write one dataset per item, or a matrix and "
            "`ids`"
        )
    return chosen


def _is_text(data: Any) -> bool:
    return bool(data.dtype.kind in "OSU")


def read_tensors(
    name: str, path: Path, target: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[Any] | None]:
    """As :func:`read_npz` for a tensor, or a dictionary of tensors, of PyTorch.

    Raises:
        UserError: it holds anything but tensors.
    """
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
    return from_arrays(name, path, content, target, ids, report)


def read_tensor(path: Path) -> Array:
    """The tensor of a PyTorch file.

    Raises:
        UserError: unreadable, or it holds anything else.
    """
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
