"""From finished cells to the rows of a table: values per seed and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from recbole_painvrl.evaluation.comparison import Column, Method, smaller_is_better
from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.report.tables import BEST, SECOND, Number, TableRow


def places(values: dict[str, float], smaller_is_better: bool = False) -> dict[str, str]:
    """Who is best and second; equal values share a place.

    Args:
        values: label to mean.
        smaller_is_better: for errors.
    """
    ranks = sorted(set(values.values()), reverse=not smaller_is_better)
    names = dict(zip(ranks, (BEST, SECOND), strict=False))
    return {label: names.get(value, "") for label, value in values.items()}


def table_row(row: Row) -> TableRow:
    """Read the cells of a row."""
    numbers: dict[Column, Number] = {}
    folders, missing = {}, []
    for cell in row.cells:
        if cell.state() != "done":
            missing.append(_missing(cell))
            continue
        folders[cell.seed] = cell.folder
        for part, metrics in cell.result()["metrics"].items():
            for metric, value in metrics.items():
                # A run writes null for NaN, which must not pass for a missing seed.
                known = float("nan") if value is None else value
                numbers.setdefault((part, metric), Number([])).values.append(known)
    return TableRow(row.label, folders, missing, numbers)


def rank(rows: Sequence[TableRow], column: Column) -> None:
    """Set the places of a column; rows with missing seeds compete only where all have some."""
    able = [row for row in rows if row.has(column)]
    complete = [row for row in able if row.complete] or able
    means = {row.label: row.numbers[column].mean for row in complete}
    found = places(means, smaller_is_better(column[1]))
    for row in complete:
        row.numbers[column].place = found[row.label]


def methods(rows: Sequence[TableRow]) -> list[Method]:
    """The rows as the comparison takes them."""
    return [_method(row) for row in rows]


def _method(row: TableRow) -> Method:
    def per_user(seed: int) -> pd.DataFrame:
        return pd.read_parquet(row.folders[seed] / "per_user.parquet")

    values = {column: number.values for column, number in row.numbers.items()}
    return Method(row.label, values, list(row.folders), per_user, row.complete, row.shown)


def result_of_any(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The result of one cell that is done, for what all have in common."""
    for row in rows:
        for cell in row.cells:
            if cell.state() == "done":
                return cell.result()
    return None


def _missing(cell: Cell) -> str:
    state = cell.state()
    what = f"failed: {cell.reason()}" if state == "failed" else "not run"
    if state == "interrupted":
        what = "not complete"
    return f"seed {cell.seed} {what}"
