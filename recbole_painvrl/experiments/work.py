"""One call of a grid command: run what is left, then write what is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.experiments.cells import Cell, distinct
from recbole_painvrl.experiments.claims import Claims, LocalClaims
from recbole_painvrl.experiments.grid import Grid
from recbole_painvrl.experiments.launch import Launch, ProcessLaunch, threads_per_cell
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row, prepare_split
from recbole_painvrl.experiments.record import write_cells
from recbole_painvrl.report.contents import Table
from recbole_painvrl.report.tables import write_table_files


def say(line: str) -> None:
    """A line about the work; results go to stdout."""
    print(line, file=sys.stderr, flush=True)


def run_grid(
    options: GridOptions,
    plan: Plan,
    rows: Sequence[Row],
    launch: Launch | None = None,
    claims: Claims | None = None,
) -> list[Cell]:
    """Run the cells that are not done, unless only a report is wanted; returns all cells.

    Args:
        options: of the command.
        plan: where the rows came from.
        rows: of all tables.
        launch: starts a cell; None for a process each.
        claims: hands out cells; None for what ``--storage`` says.
    """
    cells = distinct([cell for row in rows for cell in row.cells])
    (options.output / "cells").mkdir(parents=True, exist_ok=True)
    for line in write_cells(options.output, rows):
        say(line)
    if options.report_only:
        return cells
    if options.retry_failed:
        for cell in cells:
            if cell.state() == "failed":
                cell.forget_failure()
    if any(cell.state() in ("open", "interrupted") for cell in cells):
        prepare_split(plan.config(cells[0].arguments), say)
    Grid(
        cells,
        claims or _claims(options.storage),
        launch or ProcessLaunch(threads_per_cell(options.workers)),
        options.workers,
        say,
        lambda: write_cells(options.output, rows),
    ).run()
    return cells


def write_files(table: Table, folder: Path) -> None:
    """Write every file of a table."""
    for name, content in write_table_files(table, folder).items():
        write_bytes(folder / name, content.encode())


def failures(cells: Sequence[Cell]) -> list[str]:
    """A line per cell that failed."""
    return [
        f"{cell.model} seed {cell.seed} failed: {cell.reason()}"
        for cell in cells
        if cell.state() == "failed"
    ]


def _claims(storage: str | None) -> Claims:
    if storage is None:
        return LocalClaims()
    # Optuna is an extra, which only a shared grid needs.
    from recbole_painvrl.experiments.shared import SharedClaims

    return SharedClaims(storage)
