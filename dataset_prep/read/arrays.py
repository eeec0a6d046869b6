"""Arrays and matrices in files, read in pieces, never as Python objects."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.text_tables import reason
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import (
    DAMAGED,
    check_inflation,
    npy_array,
    read_arrays,
    read_npy_header,
)

Array = npt.NDArray[Any]

CELLS_PER_BLOCK = 1 << 21
_NPY_MAGIC = b"\x93NUMPY"
# Python's parser, which reads the header, calls nesting without end a lack of memory.
_BROKEN = (MemoryError, *DAMAGED)


@dataclass(frozen=True)
class FileMatrix:
    """Rows [n, d] of numbers in a file, read with seek: memory maps would count as memory.

    Attributes:
        path: file that holds the numbers.
        offset: bytes before the first.
        shape: rows and columns.
        dtype: type of the numbers.
    """

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int) -> Array:
        """Rows ``start`` to ``stop``, as stored."""
        width = self.shape[1]
        with open(self.path, "rb") as stream:
            stream.seek(self.offset + start * width * self.dtype.itemsize)
            flat = np.fromfile(stream, self.dtype, (stop - start) * width)
        return flat.reshape(-1, width)


@dataclass(frozen=True)
class ArrayMatrix:
    """Rows [n, d] in memory, with the interface of :class:`FileMatrix`."""

    array: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.array.dtype

    def read(self, start: int, stop: int) -> Array:
        """Rows ``start`` to ``stop``."""
        return self.array[start:stop]


RowMatrix = FileMatrix | ArrayMatrix


def read_array(path: Path) -> Array:
    """A whole .npy file.

    Raises:
        UserError: unreadable, cut, or holding Python objects.
    """
    try:
        return npy_array(path.read_bytes())
    except _BROKEN as error:
        raise UserError(_why(path, error)) from error


def open_archive(path: Path) -> dict[str, Array]:
    """All arrays of an .npz file.

    Raises:
        UserError: unreadable, cut, or holding Python objects.
    """
    with open(path, "rb") as stream:
        if stream.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
            raise UserError(f"{path}: is a .npy file called .npz; rename it")
    return read_arrays(path, "save plain numbers, copy or write it again")


def open_matrix(path: Path, shown: Path | str | None = None) -> RowMatrix:
    """Matrix [n, d] of a .npy file without reading it.

    Raises:
        UserError: unreadable, cut, empty, not two-dimensional, or not of numbers.
    """
    shown = shown or path
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise UserError(_why(shown, error)) from error
    if not isinstance(mapped, np.memmap):
        raise UserError(f"{shown}: is not a .npy file; check its extension")
    if mapped.dtype.kind not in "fiub":
        raise UserError(f"{shown}: holds {mapped.dtype} values; save numbers as float32")
    if mapped.ndim != 2 or 0 in mapped.shape:
        raise UserError(
            f"{shown}: has shape {mapped.shape}; save one row per item and one column per feature"
        )
    if not mapped.flags.c_contiguous:
        return ArrayMatrix(mapped)
    shape = (int(mapped.shape[0]), int(mapped.shape[1]))
    return FileMatrix(path, int(mapped.offset), shape, mapped.dtype)


def unpack_member(path: Path, member: str, target: Path) -> RowMatrix:
    """Matrix of one array of an .npz file, unpacked to ``target`` so that it can be sought.

    Raises:
        UserError: as :func:`open_matrix`.
    """
    try:
        with (
            zipfile.ZipFile(path) as archive,
            open(target, "wb") as stream,
        ):
            check_inflation(archive, path.stat().st_size)
            packed = archive.open(f"{member}.npy")
            shutil.copyfileobj(packed, stream, 1 << 20)
    except _BROKEN as error:
        raise UserError(_why(path, error)) from error
    return open_matrix(target, f"{path} ({member})")


def archive_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of every array of an .npz file, without reading the arrays.

    Raises:
        UserError: unreadable or cut.
    """
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            check_inflation(archive, path.stat().st_size)
            for name in archive.namelist():
                key = name.removesuffix(".npy")
                if key in shapes:
                    raise ValueError(f"it holds {key[:80]!r} twice")
                with archive.open(name) as stream:
                    shape, dtype, _ = read_npy_header(stream)
                    shapes[key] = (shape, dtype)
    except _BROKEN as error:
        raise UserError(_why(path, error)) from error
    return shapes


def row_blocks(matrix: RowMatrix, rows: npt.NDArray[np.int64]) -> Iterator[Array]:
    """The given rows, which must ascend, as float64, a bounded piece at a time."""
    size = max(1, CELLS_PER_BLOCK // matrix.shape[1])
    for start in range(0, matrix.shape[0], size):
        stop = min(start + size, matrix.shape[0])
        low, high = np.searchsorted(rows, [start, stop])
        if high > low:
            block = matrix.read(start, stop)
            yield np.asarray(block[rows[low:high] - start], dtype=np.float64)


def _why(path: Path | str, error: Exception) -> str:
    signs = ("allow_pickle", "pickled", "Object arrays", "Python objects")
    if any(sign in str(error) for sign in signs):
        return (
            f"{path}: holds Python objects or is no NumPy file; a pickle can run code when read, "
            "save it as plain numbers"
        )
    return f"{path}: cut or not a NumPy file ({reason(error)}); copy or write it again"
