"""Rows collected in a temporary file, so that no feature table is in memory as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.arrays import CELLS_PER_BLOCK, FileMatrix
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_ROWS_PER_BLOCK = 1024


class Spool:
    """Collects rows in a temporary file and gives them back as a matrix."""

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._width, self._rows = path, width, 0
        self._stream = open(path, "wb")  # noqa: SIM115

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, block: npt.NDArray[Any]) -> None:
        """Append rows [n, d]; what does not fit float32 becomes infinite and is found later.

        Raises:
            ValueError: rows of another width, which would shift all that follow.
        """
        if block.ndim != 2 or block.shape[1] != self._width:
            raise ValueError(f"vectors of {block.shape[1:]} numbers where {self._width} are due")
        with np.errstate(over="ignore"):
            self._stream.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
        self._rows += len(block)

    def close(self) -> None:
        """End writing."""
        self._stream.close()

    def matrix(self, origin: Path) -> FileMatrix:
        """What was collected.

        Raises:
            UserError: nothing was.
        """
        self.close()
        if not self._rows:
            raise UserError(f"{origin}: holds no row; check that it was written completely")
        return FileMatrix(self._path, 0, (self._rows, self._width), np.dtype(np.float32))


class VectorSpool:
    """Collects one vector per row; the width is that of most of the first rows.

    Rows with another number of values, or without a vector, are a fault (``drop-rows``).
    """

    def __init__(self, path: Path, origin: Path, report: Report) -> None:
        self._path, self._origin, self._report = path, origin, report
        self._spool: Spool | None = None
        self._width = 0
        self._waiting: list[tuple[Any, npt.NDArray[Any]]] = []
        self._tokens: list[Any] = []
        self._odd: list[str] = []

    def __enter__(self) -> VectorSpool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._spool is not None:
            self._spool.close()

    def add(self, token: Any, vector: Sequence[Any] | npt.NDArray[Any] | None) -> None:
        """Append the vector of an id; None where there is none."""
        try:
            row = np.asarray([] if vector is None else vector, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            row = np.empty(0)
        self._waiting.append((token, row if row.ndim == 1 else np.empty(0)))
        if len(self._waiting) >= _ROWS_PER_BLOCK or len(self._waiting) * row.size > CELLS_PER_BLOCK:
            self._flush()

    def finish(self) -> tuple[FileMatrix, list[Any]]:
        """The matrix and the id of each row.

        Raises:
            UserError: no row has a vector.
        """
        self._flush()
        if self._spool is None:
            raise UserError(f"{self._origin}: no row holds a vector of numbers; check its content")
        if self._odd:
            count = len(self._odd)
            what = f"{count} rows have no vector of {self._width} numbers, first {self._odd[0]}"
            self._report.found(self._origin.name, what, count, "drop-rows")
        return self._spool.matrix(self._origin), self._tokens

    def _flush(self) -> None:
        if not self._width:
            widths = Counter(len(row) for _, row in self._waiting if len(row))
            self._width = widths.most_common(1)[0][0] if widths else 0
        good = [(token, row) for token, row in self._waiting if len(row) == self._width > 0]
        self._odd += [
            f"{token!r} with {len(row)}" for token, row in self._waiting if len(row) != self._width
        ]
        if good:
            self._spool = self._spool or Spool(self._path, self._width)
            self._spool.add(np.stack([row for _, row in good]))
            self._tokens += [token for token, _ in good]
        self._waiting.clear()
