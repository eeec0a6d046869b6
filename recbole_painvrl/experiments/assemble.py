"""Puts a table together: rows, places, comparisons, notes and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recbole_painvrl.evaluation.comparison import (
    TESTS,
    VALID,
    Column,
    compare,
    reference,
    standing,
)
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.summary import methods, rank, result_of_any, table_row
from recbole_painvrl.report.tables import Table, TableRow


def assemble(title: str, rows: Sequence[Row], method: str) -> Table:
    """The table of some rows, from whatever of their cells is done.

    Args:
        title: heading.
        rows: of the plan.
        method: label of the row of interest.
    """
    found = [table_row(row) for row in rows]
    columns = _columns(found)
    for column in columns:
        rank(found, column)
    result = result_of_any(rows)
    compared, chosen = methods(found), None
    if result is not None:
        chosen = reference(compared, method, str(result["valid_metric"]).lower())
    tests = [column for column in columns if column[0] != VALID]
    comparisons = compare(compared, method, chosen, tests)
    sentences = (standing(compared, method, column, comparisons) for column in tests)
    table = Table(title, method, chosen, tests, found, comparisons)
    table.sentences = [sentence for sentence in sentences if sentence]
    table.notes = _notes(table, rows, result)
    return table


def _columns(rows: Sequence[TableRow]) -> list[Column]:
    """Every part and metric, tests in a fixed order and validation last."""
    seen = dict.fromkeys(column for row in rows for column in row.numbers)
    order = {"test": 0, "iid": 1, "ood": 2, VALID: 9}
    return sorted(seen, key=lambda column: order.get(column[0], 5))


def _notes(table: Table, rows: Sequence[Row], result: dict[str, Any] | None) -> list[str]:
    if result is None:
        return ["No cell is done yet."]
    seeds = sorted({cell.seed for row in rows for cell in row.cells})
    dataset, protocol = result["dataset"], result["protocol"]
    notes = [
        f"Dataset {dataset}, edition {result['edition']}, protocol {protocol}, "
        f"seeds {', '.join(map(str, seeds))}.",
    ]
    shift = result["split"].get("shift")
    if shift is not None:
        notes.append(f"Shift: {shift}.")
    notes.append(
        "Mean ± sample standard deviation over the seeds."
        if len(seeds) > 1
        else "One seed, so there is no spread over seeds to show."
    )
    notes.append("Best in bold, second underlined, among the rows whose seeds are all done.")
    valid = str(result["valid_metric"]).lower()
    if table.reference is not None:
        notes.append(
            f"Best baseline, that is, best of the other rows: {table.reference}, by its mean "
            f"{valid} on validation; no test set was looked at to choose it."
        )
    if table.comparisons:
        notes.append(f"Tests: {table.method} against every other row, {TESTS}")
    return notes
