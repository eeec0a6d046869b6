"""Puts a table together: rows, places, comparisons, notes and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.summary import (
    comparisons,
    rank,
    reference_row,
    result_of_any,
    table_row,
)
from recbole_painvrl.report.contents import (
    PRIMARY,
    VALID,
    Column,
    Comparison,
    Table,
    TableRow,
    part_name,
    smaller_is_better,
)

LEVEL = 0.05


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
    reference = None
    if result is not None:
        reference = reference_row(found, method, str(result["valid_metric"]).lower())
    tests = [column for column in columns if column[0] != VALID]
    table = Table(title, method, reference, tests, found, [])
    table.comparisons = comparisons(found, method, reference, tests)
    table.sentences = [s for s in (standing(table, column) for column in tests) if s]
    table.notes = _notes(table, rows, result)
    return table


def standing(table: Table, column: Column) -> str:
    """How the method stands in a column, against whom, and with what confidence."""
    row = next(row for row in table.rows if row.label == table.method)
    rivals = [r for r in table.rows if r.label != table.method and r.has(column)]
    if not row.has(column) or not rivals:
        return ""
    own = row.numbers[column].mean
    sign = -1 if smaller_is_better(column[1]) else 1
    ahead = [r for r in rivals if sign * (r.numbers[column].mean - own) > 0]
    name = f"{part_name(column[0])} {column[1]}"
    if ahead:
        best = max(ahead, key=lambda r: sign * r.numbers[column].mean)
        verb = "does not win: it is behind"
    else:
        best = max(rivals, key=lambda r: sign * r.numbers[column].mean)
        level = best.numbers[column].mean == own
        verb = "does not win: it is level with" if level else "leads, ahead of"
    gap = abs(own - best.numbers[column].mean)
    theirs = best.numbers[column].mean
    share = f", {gap / abs(theirs):.1%}" if theirs else ""
    words = f"{name}: {row.shown} ({own:.4f}) {verb} {best.shown} ({theirs:.4f})"
    words += f" by {gap:.4f}{share}" if gap else ""
    return f"{words}; {confidence(_find(table.comparisons, best.label, column))}."


def confidence(one: Comparison | None) -> str:
    """What the paired tests say of a difference."""
    if one is None:
        return "there are no values per user to test this with"
    paired = one.paired
    worse = max(one.holm_t, one.holm_wilcoxon)
    better = min(one.holm_t, one.holm_wilcoxon)
    if worse < LEVEL:
        verdict = "the difference is significant"
    elif better < LEVEL:
        verdict = "the two tests disagree"
    else:
        verdict = "the difference is not significant"
    return (
        f"{verdict} (over {paired.n} users {paired.difference:+.4f}, 95 % interval "
        f"{paired.low:+.4f} to {paired.high:+.4f}; corrected p {one.holm_t:.2g} by t, "
        f"{one.holm_wilcoxon:.2g} by Wilcoxon)"
    )


def _find(found: Sequence[Comparison], other: str, column: Column) -> Comparison | None:
    return next(
        (one for one in found if (one.other, one.part, one.metric) == (other, *column)), None
    )


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
        notes.append(
            f"Tests: {table.method} against every other row, paired over users whose values are "
            "averaged over seeds, so they speak of users and not of other seeds; t test and "
            f"Wilcoxon's, two-sided, corrected by Holm within two families ({PRIMARY}: all test "
            "sets and metrics; other rows: the same for all of them). Intervals are not corrected."
        )
    return notes
