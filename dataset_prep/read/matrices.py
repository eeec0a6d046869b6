"""Matrices that are read and collected in pieces, and arrays of .npy and .npz files."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.files import BROKEN
from dataset_prep.report import CORRECT, Report
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import read_arrays, reason

Array = npt.NDArray[Any]

CELLS_PER_BLOCK = 1 << 21
_VECTORS_PER_BLOCK = 1024
# Deflate compresses zeros about 1,030 times and real arrays a few times.
_MAX_INFLATED, _MAX_RATIO = 1 << 26, 200
_KINDS = "biufUS"


@dataclass(frozen=True)
class FileMatrix:
    """Rows [n, d] of numbers that start ``offset`` bytes into a file.

    Rows are read with seek, since pages of a memory map count as memory of the process.
    """

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice) -> Array:
        width = self.shape[1]
        with open(self.path, "rb") as stream:
            stream.seek(self.offset + rows.start * width * self.dtype.itemsize)
            flat = np.fromfile(stream, self.dtype, (rows.stop - rows.start) * width)
        return flat.reshape(-1, width)


RowMatrix = FileMatrix | Array


@dataclass
class FeatureTable:
    """Features of one modality, before repairs.

    ``where`` is the file as shown to the user, ``tokens`` the item id of each row, empty where it
    is missing, ``absent`` a mask of rows without content (no text, no poster). ``notes`` go to the
    manifest, ``has_ids`` says whether the file itself holds the ids.
    """

    name: str
    where: str
    tokens: list[str]
    matrix: RowMatrix
    absent: npt.NDArray[np.bool_] | None = None
    encoder: str = "not recorded"
    notes: dict[str, Any] = field(default_factory=dict)
    id_advice: str = CORRECT
    has_ids: bool = True


def row_blocks(matrix: RowMatrix, rows: npt.NDArray[np.int64]) -> Iterator[Array]:
    """The given rows, in ascending order, as float64 in blocks of bounded size."""
    size = max(1, CELLS_PER_BLOCK // matrix.shape[1])
    for start in range(0, matrix.shape[0], size):
        stop = min(start + size, matrix.shape[0])
        low, high = np.searchsorted(rows, [start, stop])
        if high > low:
            block = matrix[start:stop]
            yield np.asarray(block[rows[low:high] - start], dtype=np.float64)


def check_inflation(archive: zipfile.ZipFile, size: int) -> None:
    """ValueError for a zip bomb by the sizes that it states; no more than these is read."""
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > max(_MAX_INFLATED, _MAX_RATIO * size):
        raise ValueError(f"{size} bytes claim to hold {inflated}")


def _plain(array: Array) -> Array:
    """The array, unchanged; ValueError if it holds anything but numbers or text."""
    if array.dtype.kind not in _KINDS or array.dtype.subdtype is not None:
        raise ValueError(f"it holds {str(array.dtype)[:80]}, not numbers or text")
    return array


def npy_array(content: bytes) -> Array:
    """The array of numbers or text in the bytes of a whole .npy file.

    Raises:
        ValueError: it is cut, longer than its header says, or holds Python objects.
    """
    stream = io.BytesIO(content)
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    except BROKEN as error:
        raise ValueError(reason(error)) from error
    if stream.read(1):
        raise ValueError("it is longer than its header says")
    return _plain(array)


def read_array(path: Path) -> Array:
    """A whole .npy file of numbers or text."""
    try:
        return npy_array(path.read_bytes())
    except BROKEN as error:
        raise _refusal(path, error) from error


def open_archive(path: Path, shown: Path | None = None) -> dict[str, Array]:
    """All arrays of an .npz file; ``shown`` is the path for messages."""
    with open(path, "rb") as stream:
        if stream.read(6) == b"\x93NUMPY":
            raise UserError(f"{path}: is a .npy file called .npz; rename it")
    try:
        with zipfile.ZipFile(path) as archive:
            check_inflation(archive, path.stat().st_size)
        arrays = read_arrays(path, "save plain numbers, copy or write it again")
        return {name: _plain(array) for name, array in arrays.items()}
    except UserError:
        raise
    except BROKEN as error:
        raise _refusal(shown or path, error) from error


def open_matrix(path: Path) -> RowMatrix:
    """Matrix [n, d] of a .npy file without reading it."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise _refusal(path, error) from error
    if not isinstance(mapped, np.memmap):
        raise UserError(f"{path}: is not a .npy file; check its extension")
    if mapped.dtype.kind not in "fiub":
        raise UserError(f"{path}: holds {mapped.dtype} values; save numbers as float32")
    if mapped.ndim != 2 or 0 in mapped.shape:
        raise UserError(
            f"{path}: has shape {mapped.shape}; save one row per item and one column per feature"
        )
    if not mapped.flags.c_contiguous:
        return mapped
    shape = (int(mapped.shape[0]), int(mapped.shape[1]))
    return FileMatrix(path, int(mapped.offset), shape, mapped.dtype)


def _refusal(path: Path, error: Exception) -> UserError:
    signs = ("allow_pickle", "pickled", "Object arrays", "Python objects")
    if any(sign in str(error) for sign in signs):
        return UserError(
            f"{path}: holds Python objects or is no NumPy file; a pickle can run code when read, "
            "save it as plain numbers"
        )
    return UserError(f"{path}: cut or not a NumPy file ({reason(error)}); copy or write it again")


class Spool:
    """Appends rows [n, d] to a temporary file that is then read as a matrix."""

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._width, self._rows = path, width, 0
        # What another reader left there would be the first rows.
        path.write_bytes(b"")

    def add(self, block: Array) -> None:
        """Append rows; values beyond float32 become infinite, which later checks report."""
        if block.ndim != 2 or block.shape[1] != self._width:
            # All following rows would be shifted.
            raise ValueError(f"rows {block.shape[1:]} where {self._width} columns are expected")
        with np.errstate(over="ignore"), open(self._path, "ab") as stream:
            stream.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
        self._rows += len(block)

    def matrix(self, origin: Path) -> FileMatrix:
        """The rows written so far; ``origin`` is the file for messages."""
        if not self._rows:
            raise UserError(f"{origin}: holds no row; check that it was written completely")
        return FileMatrix(self._path, 0, (self._rows, self._width), np.dtype(np.float32))


class VectorSpool:
    """Collects one vector per row; the width is the most frequent one among the first rows.

    Rows with another number of values, or without a vector, are collected in ``odd``.
    """

    def __init__(self, path: Path, origin: Path) -> None:
        self._path, self._origin = path, origin
        self._spool: Spool | None = None
        self._waiting: list[tuple[Any, Array]] = []
        self.width = 0
        self.tokens: list[Any] = []
        self.odd: list[tuple[Any, int]] = []

    def add(self, token: Any, vector: Sequence[Any] | Array | None) -> None:
        """Append the vector of an id, or None if it has no vector."""
        try:
            row = np.asarray([] if vector is None else vector, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            row = np.empty(0)
        self._waiting.append((token, row if row.ndim == 1 else np.empty(0)))
        full = len(self._waiting) * row.size > CELLS_PER_BLOCK
        if full or len(self._waiting) >= _VECTORS_PER_BLOCK:
            self._flush()

    def finish(self, report: Report, odd: str = "", none: str = "") -> FileMatrix:
        """The matrix; odd rows are reported as a fault (``drop-rows``).

        ``odd`` is its text with ``{count}``, ``{width}`` and ``{first}``, ``none`` the error if no
        row has a vector.
        """
        self._flush()
        if self._spool is None:
            none = none or "no row holds a vector of numbers; check its content"
            raise UserError(f"{self._origin}: {none}")
        if self.odd:
            odd = odd or "{count} rows have no vector of {width} numbers, first {first!r} with {n}"
            first, n = self.odd[0]
            what = odd.format(count=len(self.odd), width=self.width, first=first, n=n)
            report.found(self._origin.name, what, len(self.odd), "drop-rows")
        return self._spool.matrix(self._origin)

    def _flush(self) -> None:
        if not self.width:
            widths = Counter(len(row) for _, row in self._waiting if len(row))
            self.width = widths.most_common(1)[0][0] if widths else 0
        good = [(token, row) for token, row in self._waiting if len(row) == self.width > 0]
        self.odd += [(token, len(row)) for token, row in self._waiting if len(row) != self.width]
        if good:
            self._spool = self._spool or Spool(self._path, self.width)
            self._spool.add(np.stack([row for _, row in good]))
            self.tokens += [token for token, _ in good]
        self._waiting.clear()
