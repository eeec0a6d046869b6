"""Tables of complete runs: values per seed, best and second best, comparisons and notes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from recbole_painvrl.data.splits.iid_ood import shift_words
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.comparison import (
    TESTS,
    VALID,
    Column,
    Method,
    compare,
    control_of,
    places,
    reference,
    standing,
)
from recbole_painvrl.evaluation.evaluation_settings import trains_on_its_split
from recbole_painvrl.experiments import controls
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.runs import GridRun, distinct
from recbole_painvrl.reading import DAMAGED, reason
from recbole_painvrl.report.read import read_per_user
from recbole_painvrl.report.tables import Number, Table, TableRow
from recbole_painvrl.run.folder import PER_USER

_MASK = "--feature_mask="
_ORDER = {"test": 0, "iid": 1, "ood": 2, VALID: 9}


def assemble(title: str, rows: Sequence[Row], method: str) -> Table:
    """The table of some rows, from their complete runs.

    Args:
        title: heading.
        rows: of the plan.
        method: label of the row of interest.

    Raises:
        UserError: two rows have other training or test interactions.
    """
    _require_equal_splits(rows)
    found = [_table_row(row) for row in rows]
    columns = dict.fromkeys(column for row in found for column in row.numbers)
    compared, chosen = [method_of(row) for row in found], None
    for column in columns:
        marks = places(compared, column)
        for row in found:
            if column in row.numbers:
                row.numbers[column].place = marks.get(row.label, "")
    # Of the method where it has one: rows may have validation metrics of their own.
    in_order = sorted(rows, key=lambda row: row.label != method)
    done = (run for row in in_order for run in row.runs if run.state() == "done")
    result = next((run.result() for run in done), None)
    if result is not None:
        chosen = reference(compared, method, str(result["valid_metric"]).lower())
    # Tests in a fixed order; validation is not compared.
    tests = sorted((c for c in columns if c[0] != VALID), key=lambda c: _ORDER.get(c[0], 5))
    comparisons = compare(compared, method, chosen, tests)
    sentences = (standing(compared, method, column, comparisons) for column in tests)
    table = Table(title, method, chosen, tests, found, comparisons)
    table.sentences = [sentence for sentence in sentences if sentence]
    table.notes = _notes(table, rows, result)
    return table


def _require_equal_splits(rows: Sequence[Row]) -> None:
    seen: dict[int, tuple[str, Any]] = {}
    for row in rows:
        for run in row.runs:
            if run.state() != "done":
                continue
            result = run.result()
            names = [name for metrics in result["metrics"].values() for name in metrics]
            train = result.get("hashes", {}).get("train") if trains_on_its_split(names) else None
            split = result["split"].get("sizes"), train
            first, expected = seen.setdefault(run.seed, (row.label, split))
            if split != expected:
                raise UserError(
                    f"{row.label} and {first} were split differently with seed {run.seed}, so they "
                    f"are not compared; give both the same data and split, or a grid each "
                    f"({run.folder})"
                )


def _table_row(row: Row) -> TableRow:
    numbers: dict[Column, Number] = {}
    done = [run for run in row.runs if run.state() == "done"]
    folders = {run.seed: run.folder for run in done}
    missing = [_missing(run) for run in row.runs if run not in done]
    for index, run in enumerate(done):
        for part, metrics in run.result()["metrics"].items():
            for metric, value in metrics.items():
                # A run writes null for NaN, which is not a missing seed.
                number = numbers.setdefault((part, metric), Number([math.nan] * len(done)))
                number.values[index] = math.nan if value is None else value
    given = (word for run in row.runs for word in run.arguments if word.startswith(_MASK))
    # In other tables, a mask file with the name of a control is not a control.
    is_control = row.group == controls.GROUP
    control = control_of(next(given, "").removeprefix(_MASK)) if is_control else ""
    return TableRow(row.label, folders, missing, numbers, control)


def _missing(run: GridRun) -> str:
    state = run.state()
    if state == "failed":
        return f"seed {run.seed} failed: {run.reason()}"
    return f"seed {run.seed} {'not complete' if state == 'interrupted' else 'not run'}"


def method_of(row: TableRow) -> Method:
    """The row as input of the comparison."""

    def per_user(seed: int) -> pd.DataFrame | None:
        path = row.folders[seed] / PER_USER
        try:
            # As in a report, a run without the file is not tested.
            return read_per_user(path) if path.is_file() else None
        except DAMAGED as error:
            raise UserError(
                f"{path}: damaged ({reason(error)}); delete its run folder and run it again"
            ) from error

    values = {column: number.values for column, number in row.numbers.items()}
    seeds = list(row.folders)
    return Method(row.label, values, seeds, per_user, row.complete, row.shown, row.control)


def _notes(table: Table, rows: Sequence[Row], result: dict[str, Any] | None) -> list[str]:
    if result is None:
        return ["No run is complete yet."]
    seeds = sorted({run.seed for row in rows for run in row.runs})
    dataset, protocol = result["dataset"], result["protocol"]
    notes = [
        f"Dataset {dataset}, variant: {result['edition']}, protocol {protocol}, "
        f"seeds {', '.join(map(str, seeds))}."
    ]
    if result["split"].get("shift") is not None:
        notes.append(f"Shift: {shift_words(result['split'])}.")
    notes.append(
        "Mean ± sample standard deviation over the seeds."
        if len(seeds) > 1
        else "One seed, hence no standard deviation."
    )
    among = (
        "among the rows whose runs are all complete"
        if any(row.complete for row in table.rows)
        else "among all rows, since none has all its runs yet"
    )
    notes.append(f"Best in bold, second best underlined, {among}.")
    valid = str(result["valid_metric"]).lower()
    if table.reference is not None:
        notes.append(
            f"Best baseline, that is, best of the other rows: {table.reference}, by its mean "
            f"{valid} on validation; no test set was used to select it."
        )
    notes += _mixed(rows)
    if any(row.control for row in table.rows):
        notes.append(
            "Controls of a mask are no baselines; the oracle mask, which knows the truth, is left "
            "out where the best and second best are marked."
        )
    if table.tested:
        notes.append(f"Tests: {table.method} against every other row, {TESTS}")
    return notes


def _mixed(rows: Sequence[Row]) -> list[str]:
    """One sentence per package, or device, that is not the same in all complete runs."""
    done = distinct([run for row in rows for run in row.runs if run.state() == "done"])
    counts: dict[str, Counter[str]] = {}
    for result in (run.result() for run in done):
        device = {"device": str(result["device"])} if "device" in result else {}
        for name, value in {**result.get("versions", {}), **device}.items():
            counts.setdefault(name, Counter())[str(value)] += 1
    return [
        f"The runs have different {name}, on which figures may depend: "
        f"{', '.join(f'{value} ({count} of {len(done)})' for value, count in found.items())}."
        for name, found in counts.items()
        if len(found) > 1
    ]
