"""Large parts of a dataset folder written a bounded piece at a time, and the swap of folders."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.floating[Any]]

ROWS_PER_PIECE = 1 << 19
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@runtime_checkable
class MatrixStream(Protocol):
    """A matrix that is never in memory as a whole.

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
        """Consecutive rows, a bounded piece at a time."""
        ...


def save_matrix(stream: BinaryIO, matrix: FloatArray | MatrixStream) -> None:
    """Write a .npy file of [n_rows, d], in one go or block by block.

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
        raise ValueError(f"{rows} rows were given where the shape promises {matrix.shape[0]}")


def save_interactions(stream: BinaryIO, frame: pd.DataFrame, types: dict[str, str]) -> None:
    """Write the columns of ``types`` as a RecBole atomic file, a piece of the rows at a time."""
    columns = [column for column in types if column in frame.columns]
    header = "\t".join(f"{column}:{types[column]}" for column in columns)
    stream.write(f"{header}\n".encode())
    whole = {
        column: bool((frame[column] % 1 == 0).all())
        for column in columns
        if types[column] == "float"
    }
    for start in range(0, len(frame), ROWS_PER_PIECE):
        piece = frame[columns].iloc[start : start + ROWS_PER_PIECE]
        integral = {column: "int64" for column, is_whole in whole.items() if is_whole}
        text = {c: object for c in columns if isinstance(piece[c].dtype, pd.CategoricalDtype)}
        piece.astype({**integral, **text}).to_csv(
            stream, sep="\t", index=False, header=False, lineterminator="\n", encoding="utf-8"
        )


def pairs_in_two(frames: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """(user, item) pairs that are in more than one of the frames of a dataset."""
    if not isinstance(frames[0]["user_id"].dtype, pd.CategoricalDtype):
        pairs = pd.concat([frame[["user_id", "item_id"]].drop_duplicates() for frame in frames])
        return list(pairs[pairs.duplicated()].itertuples(index=False, name=None))
    keys = np.concatenate([np.unique(_pair_keys(frame)) for frame in frames])
    keys.sort()
    users, items = (frames[0][name].cat.categories for name in ("user_id", "item_id"))
    repeated = keys[1:][keys[1:] == keys[:-1]]
    return [(users[key // len(items)], items[key % len(items)]) for key in repeated.tolist()]


def _pair_keys(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """One number per (user, item) pair of a frame with the categories of its dataset."""
    users = np.asarray(frame["user_id"].cat.codes, dtype=np.int64)
    items = np.asarray(frame["item_id"].cat.codes, dtype=np.int64)
    return users * np.int64(len(frame["item_id"].cat.categories)) + items


def put_in_place(work: Path, folder: Path) -> None:
    """Replace the folder by ``work`` in one step; a kill leaves the old one or the new one.

    *Deviation*: where the system cannot exchange two folders, there is an instant between two
    renames at which the old folder rests under a hidden name beside the new one.
    """
    if _exchange(work, folder):
        shutil.rmtree(work, ignore_errors=True)
        return
    aside = work.with_suffix(".old")
    os.rename(folder, aside)
    try:
        os.rename(work, folder)
    except OSError:
        os.rename(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically; False where the system has no such call."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
