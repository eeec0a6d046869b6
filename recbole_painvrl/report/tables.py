"""The table of a grid, and its files: CSV, Markdown, LaTeX and one self-contained HTML page."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_painvrl.evaluation.comparison import VALID, Column, Comparison
from recbole_painvrl.report.render import render


@dataclass
class Number:
    """A metric of a row on one split, over seeds.

    Attributes:
        values: one per complete seed.
        place: ``best``, ``second`` or empty.
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
    """A row and its runs.

    Attributes:
        label: its name.
        folders: run folder of every complete seed.
        missing: a line for every run that is not complete.
        numbers: by split and metric.
        control: of a mask, see :class:`~recbole_painvrl.evaluation.comparison.Method`.
    """

    label: str
    folders: dict[int, Path]
    missing: list[str]
    numbers: dict[Column, Number]
    control: str = ""

    @property
    def shown(self) -> str:
        """Its name, with the number of complete seeds if some are missing."""
        done, planned = len(self.folders), len(self.folders) + len(self.missing)
        return f"{self.label} ({done} of {planned} seeds)" if 0 < done < planned else self.label

    @property
    def why(self) -> str:
        """Why seeds are missing, each reason once and shortened."""
        reasons = dict.fromkeys(line.split(" ", 2)[2] for line in self.missing)
        return "; ".join(textwrap.shorten(one, 90, placeholder=" ...") for one in reasons) or "-"

    @property
    def complete(self) -> bool:
        """Whether every seed is complete."""
        return not self.missing


@dataclass
class Table:
    """The contents of the files of a table.

    Attributes:
        title: heading.
        method: label of the row that is compared with the others.
        reference: label of the best baseline by validation, or None.
        columns: test set and metric.
        rows: in the order given by the user.
        comparisons: of the method with the other rows.
        notes: sentences about data, seeds and tests.
        sentences: how the method compares in every column.
    """

    title: str
    method: str
    reference: str | None
    columns: list[Column]
    rows: list[TableRow]
    comparisons: list[Comparison]
    notes: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Test sets with the number of their columns."""
        return [(split, len(list(same))) for split, same in groupby(s for s, _ in self.columns)]

    @property
    def missing(self) -> list[str]:
        """A line for every run that is not complete."""
        return [f"{row.label}: {line}." for row in self.rows for line in row.missing]

    @property
    def tested(self) -> list[Comparison]:
        """Comparisons for which there are paired tests."""
        return [one for one in self.comparisons if one.paired is not None]


def write_table_files(table: Table, folder: Path) -> dict[str, str]:
    """Content of every file of a table, by name.

    Args:
        table: the table.
        folder: of the files, from which links are relative.
    """
    return {
        "table.csv": table_csv(table, folder),
        "significance.csv": significance_csv(table),
        **{f"table.{kind}": _rendered(table, folder, kind) for kind in ("md", "tex", "html")},
    }


def table_markdown(table: Table, folder: Path) -> str:
    """The table as Markdown, with sentences about the method and notes."""
    return _rendered(table, folder, "md")


def _rendered(table: Table, folder: Path, kind: str) -> str:
    return render(f"table.{kind}", table=table, folder=folder, title=table.title, link=_link)


def table_csv(table: Table, folder: Path) -> str:
    """One line per row, split (validation included) and metric."""
    empty = Number([])
    lines = [
        {
            "row": row.label,
            "part": split,
            "metric": metric,
            "mean": number.mean if number.values else None,
            "sd": number.sd,
            "seeds": len(number.values),
            "values": " ".join(map(repr, number.values)),
            "place": number.place if split != VALID else "",
            "missing": "; ".join(row.missing),
            "run_folders": " ".join(_link(path, folder) for path in row.folders.values()),
        }
        for row in table.rows
        for (split, metric), number in (row.numbers or {("", ""): empty}).items()
    ]
    return _csv(lines)


def significance_csv(table: Table) -> str:
    """One line per comparison of the method with another row."""
    names = [
        "method",
        "other",
        "part",
        "metric",
        "family",
        "seeds",
        "users",
        "difference",
        "low",
        "high",
        "effect",
        "effect_low",
        "effect_high",
        "p_t",
        "p_wilcoxon",
        "signed_ranks",
        "holm_t",
        "holm_wilcoxon",
        "outcome",
    ]
    lines = [
        {
            **asdict(one),
            **asdict(one.paired),
            "method": table.method,
            "users": one.paired.n,
            "outcome": one.outcome,
        }
        for one in table.tested
        if one.paired is not None
    ]
    return _csv(lines, names)


def _csv(lines: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> str:
    """Lines as CSV; missing and non-finite values are empty."""
    frame = pd.DataFrame(lines, columns=list(names) or None).replace(
        [math.inf, -math.inf], math.nan
    )
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _link(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()
