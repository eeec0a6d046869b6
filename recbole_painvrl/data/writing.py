"""Atomic creation of folders, and block-wise writing of large tables and matrices."""

from __future__ import annotations

import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.atomic import is_write_failure, sync_folder
from recbole_painvrl.errors import UserError
from recbole_painvrl.locks import LOCK, file_lock, remove_abandoned

FloatArray = npt.NDArray[np.floating[Any]]

_ROWS_PER_BLOCK = 1 << 19
_YOUNG_SECONDS = 60.0


class FolderExistsError(UserError):
    """The folder already exists; nothing was written."""


@runtime_checkable
class MatrixStream(Protocol):
    """A matrix that is produced in blocks and never completely in memory.

    ``dtype`` is what :meth:`blocks` yields, ``shape`` is [n_rows, d].
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def blocks(self) -> Iterator[FloatArray]:
        """Consecutive rows, in blocks of bounded size."""
        ...


@contextmanager
def new_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Create a hidden folder next to ``folder`` that is renamed to it after success.

    Raises:
        FolderExistsError: the folder exists, or another process created it in the meantime.
    """
    if folder.exists() and not replace:
        raise FolderExistsError(f"{folder}: exists already; choose another folder or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _restore(folder)
    remove_abandoned(folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"))
    work = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        work.mkdir()
        with file_lock(work.with_suffix(LOCK)):
            yield work
            for directory in [*(p for p in work.rglob("*") if p.is_dir()), work]:
                sync_folder(directory)
            _put_in_place(work, folder, replace)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _restore(folder: Path) -> None:
    """Put back, or remove, a replaced folder that a killed process left under its hidden name."""
    for aside in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*.old")):
        # A young one may be of a process that is about to rename its new folder.
        if time.time() - aside.stat().st_ctime < _YOUNG_SECONDS:
            continue
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.rename(aside, folder)


def _put_in_place(work: Path, folder: Path, replace: bool) -> None:
    """Give the finished folder its name; a replaced one is first renamed to a hidden ``.old``."""
    aside = work.with_suffix(".old")
    replace = replace and folder.exists()
    if replace:
        os.rename(folder, aside)
    try:
        os.rename(work, folder)
    except OSError as error:
        if replace:
            os.rename(aside, folder)
            raise
        # If another process created the folder meanwhile, rename refuses the non-empty target.
        if not folder.exists() or is_write_failure(error):
            raise
        raise FolderExistsError(f"{folder}: was written by another process") from error
    sync_folder(folder.parent)
    if replace:
        shutil.rmtree(aside, ignore_errors=True)


def save_matrix(stream: BinaryIO, matrix: FloatArray | MatrixStream) -> None:
    """Write a .npy file of [n_rows, d], at once or in blocks.

    Raises ValueError when the blocks do not add up to the shape.
    """
    if isinstance(matrix, np.ndarray):
        np.save(stream, matrix, allow_pickle=False)
        return
    header = {
        "descr": np.dtype(matrix.dtype).str,
        "fortran_order": False,
        "shape": tuple(int(n) for n in matrix.shape),
    }
    np.lib.format.write_array_header_1_0(stream, header)
    rows = 0
    for block in matrix.blocks():
        stream.write(np.ascontiguousarray(block, dtype=matrix.dtype).tobytes())
        rows += block.shape[0]
    if rows != matrix.shape[0]:
        raise ValueError(f"{rows} rows were given, but the shape has {matrix.shape[0]}")


def save_interactions(stream: BinaryIO, frame: pd.DataFrame, types: dict[str, str]) -> None:
    """Write the columns of ``types`` as a RecBole atomic file, in blocks of rows."""
    columns = [column for column in types if column in frame.columns]
    header = "\t".join(f"{column}:{types[column]}" for column in columns)
    stream.write(f"{header}\n".encode())
    whole = {
        column: "int64"
        for column in columns
        if types[column] == "float" and _fits_int64(frame[column])
    }
    for start in range(0, len(frame), _ROWS_PER_BLOCK):
        block = frame[columns].iloc[start : start + _ROWS_PER_BLOCK]
        text = {c: object for c in columns if isinstance(block[c].dtype, pd.CategoricalDtype)}
        block.astype({**whole, **text}).to_csv(
            stream, sep="\t", index=False, header=False, lineterminator="\n", encoding="utf-8"
        )


def _fits_int64(values: pd.Series) -> bool:
    if values.dtype.kind == "i":
        return True
    return bool((values % 1 == 0).all() and values.abs().max() < 2**63)


def repeated_pairs(frames: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """(user, item) pairs that are in more than one of the frames of a dataset."""
    pairs = pd.concat([frame[["user_id", "item_id"]].drop_duplicates() for frame in frames])
    return list(pairs[pairs.duplicated()].itertuples(index=False, name=None))
