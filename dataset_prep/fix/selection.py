"""The rows and columns of a feature table that are kept, and the changes to their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.files import bar
from dataset_prep.read.matrices import FeatureTable, row_blocks

_FEW_COLUMNS = 0.05

Block = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Scan:
    """Statistics of a selection, per column ``[d]`` or per row ``[n]``.

    ``total`` and ``squares`` are sums of the finite values and of their squares about ``shift``;
    broken means NaN or Inf.
    """

    def __init__(self, n_rows: int, width: int) -> None:
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self.broken_cells = np.zeros(width, dtype=np.int64)
        self.total, self.squares, self.shift = np.zeros((3, width))
        self.broken_rows, self.zero_rows = np.zeros((2, n_rows), dtype=np.bool_)
        self._passed = 0

    def add(self, block: Block) -> None:
        """Count the next rows."""
        rows = slice(self._passed, self._passed + len(block))
        good = np.isfinite(block)
        whole = bool(good.all())
        self.zero_rows[rows] = ~block.any(axis=1)
        if whole:
            low, high, safe = block.min(axis=0), block.max(axis=0), block
        else:
            self.broken_rows[rows] = ~good.all(axis=1)
            self.broken_cells += (~good).sum(axis=0)
            low = np.where(good, block, np.inf).min(axis=0)
            high = np.where(good, block, -np.inf).max(axis=0)
            safe = np.where(good, block, 0.0)
        if not self._passed:
            # Sums about a value of the column, since squares of large, nearly equal numbers cancel.
            self.shift[:] = np.where(np.isfinite(low), low, 0.0)
        centred = safe - self.shift if whole else np.where(good, safe - self.shift, 0.0)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.total += centred.sum(axis=0)
        self.squares += np.square(centred).sum(axis=0)
        self._passed = rows.stop

    @property
    def n_finite(self) -> Block:
        """Number of finite values of each column."""
        return np.asarray(len(self.broken_rows) - self.broken_cells, dtype=np.float64)

    @property
    def mean(self) -> Block:
        """Mean of the finite values of each column; 0 without any."""
        return np.asarray(self.shift + self.total / np.maximum(self.n_finite, 1))

    @property
    def deviation(self) -> Block:
        """Standard deviation of each column."""
        count = np.maximum(self.n_finite, 1)
        variance = self.squares / count - np.square(self.total / count)
        return np.asarray(np.sqrt(np.maximum(variance, 0)))

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Columns whose finite values are all equal."""
        return np.asarray((self.low == self.high) | (self.n_finite == 0), dtype=np.bool_)

    @property
    def effective(self) -> float:
        """Effective number of columns by variance, from 1 (one dominates) to d (all equal)."""
        variance = np.square(self.deviation / max(float(self.deviation.max()), 1e-300))
        return float(variance.sum() ** 2 / max(float(np.square(variance).sum()), 1e-300))

    @property
    def uneven(self) -> bool:
        """Whether a few columns with large numbers dominate every cosine."""
        width = len(self.shift)
        return width > 2 and self.effective < max(2.0, _FEW_COLUMNS * width)

    @property
    def largest(self) -> Block:
        """Largest finite absolute value of each column."""
        return np.asarray(np.maximum(-self.low, self.high))

    def exploding(self, limit: float) -> npt.NDArray[np.bool_]:
        """Columns with finite values beyond the limit."""
        return np.asarray(self.largest > limit, dtype=np.bool_)


@dataclass
class Selection:
    """Rows and columns of a table, whose values may be standardised.

    ``rows`` and ``columns`` are the indices that are kept, ascending, ``tokens`` the item id of
    each row, ``standard`` the mean and deviation of each column, ``[2, d]``, and ``dtype`` the type
    of the written values.
    """

    table: FeatureTable
    rows: Rows
    tokens: npt.NDArray[np.object_]
    columns: npt.NDArray[np.int64]
    standard: Block | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    @classmethod
    def of(cls, table: FeatureTable, dtype: str = "float32") -> Selection:
        """All rows and columns of a table."""
        return cls(
            table,
            np.arange(table.matrix.shape[0]),
            np.array(table.tokens, dtype=object),
            np.arange(table.matrix.shape[1]),
            dtype=np.dtype(dtype),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are kept."""
        return len(self.rows), len(self.columns)

    def keep_rows(self, mask: npt.NDArray[np.bool_]) -> None:
        """Drop the other rows."""
        self.rows, self.tokens = self.rows[mask], self.tokens[mask]

    def keep_columns(self, mask: npt.NDArray[np.bool_]) -> None:
        """Drop the other columns."""
        self.columns = self.columns[mask]

    def values(self) -> Iterator[Block]:
        """The values as float64, in blocks of bounded size."""
        every = len(self.columns) == self.table.matrix.shape[1]
        with bar(len(self.rows), self.table.where, "row") as progress:
            for block in row_blocks(self.table.matrix, self.rows):
                progress.update(len(block))
                if not every:
                    block = block[:, self.columns]
                if self.standard is not None:
                    block = (block - self.standard[0]) / self.standard[1]
                yield block

    def blocks(self) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """The values in the written type (``MatrixStream``)."""
        for block in self.values():
            yield block.astype(self.dtype)

    def scan(self) -> Scan:
        """One pass over the values."""
        found = Scan(*self.shape)
        for block in self.values():
            found.add(block)
        return found
