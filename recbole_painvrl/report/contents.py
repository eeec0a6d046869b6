"""What a table holds, whatever it is written as."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recbole_painvrl.evaluation.comparison import Column, Comparison

BEST, SECOND = "best", "second"


@dataclass
class Number:
    """One number of a table: a metric of a row on one part, over seeds.

    Attributes:
        values: per seed that is done.
        place: ``best``, ``second`` or nothing.
    """

    values: list[float]
    place: str = ""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over the seeds; None for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass
class TableRow:
    """A row with what came of its cells.

    Attributes:
        label: its name.
        folders: run folder per seed that is done.
        missing: line per cell that is not done.
        numbers: by part and metric.
    """

    label: str
    folders: dict[int, Path]
    missing: list[str]
    numbers: dict[Column, Number]

    @property
    def shown(self) -> str:
        """Its name, with how many seeds its numbers are over where some are missing."""
        done, all_seeds = len(self.folders), len(self.folders) + len(self.missing)
        return (
            f"{self.label} ({done} of {all_seeds} seeds)"
            if done < all_seeds and done
            else self.label
        )

    def has(self, column: Column) -> bool:
        """Whether there is a number, and not NaN, in a column."""
        return column in self.numbers and math.isfinite(self.numbers[column].mean)

    @property
    def complete(self) -> bool:
        """Whether every seed is done."""
        return not self.missing


@dataclass
class Table:
    """Everything that the files of a table say.

    Attributes:
        title: heading.
        method: label of the row of interest.
        reference: best baseline by validation; None without one.
        columns: test set and metric.
        rows: in the order of the user.
        comparisons: of the method with every other row.
        notes: what the reader has to know.
        sentences: how the method stands in every column.
    """

    title: str
    method: str
    reference: str | None
    columns: list[Column]
    rows: list[TableRow]
    comparisons: list[Comparison]
    notes: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
