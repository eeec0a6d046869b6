"""Execution of a grid command: run what is not complete, then write tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Protocol

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import InterruptedRunError
from recbole_painvrl.experiments.cells import Cell, distinct
from recbole_painvrl.experiments.launch import BUSY, Launch
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row, prepare_split
from recbole_painvrl.experiments.record import write_cells
from recbole_painvrl.report.tables import Table, write_table_files

_WAIT = 2.0


class Task(Protocol):
    """Executes one run; see :class:`Launch`."""

    def __call__(self, cell: Cell) -> str:
        """One line about the outcome of the run, ``BUSY``, or nothing."""

    def stop(self) -> None:
        """Stop all active runs so that they can be resumed."""


def say(line: str) -> None:
    """A line about the work; results go to stdout."""
    # In one write: runs report from several threads.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run_grid(
    options: GridOptions, plan: Plan, rows: Sequence[Row], methods: Mapping[str, str] | None = None
) -> list[Cell]:
    """Execute the runs that are not complete, unless `--report-only`; returns all runs.

    Args:
        options: of the command.
        plan: source of the rows.
        rows: of all tables.
        methods: group of a table to the label of its row of interest.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; re-running the command resumes.
    """
    cells = distinct([cell for row in rows for cell in row.cells])
    (options.output / "cells").mkdir(parents=True, exist_ok=True)
    for line in write_cells(options.output, rows, methods):
        say(line)
    if options.report_only:
        return cells
    if options.retry_failed:
        for cell in cells:
            if cell.state() == "failed":
                cell.forget_failure()
    if any(cell.state() in ("open", "interrupted") for cell in cells):
        prepare_split(plan.config(cells[0].arguments), say)
    states = [cell.state() for cell in cells]
    counts = {name: states.count(name) for name in ("done", "failed", "interrupted", "open")}
    known = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    say(f"{len(cells)} runs: {known}")

    def changed(cell: Cell, what: str) -> None:
        ended = sum(one.state() in ("done", "failed") for one in cells)
        say(f"[{ended}/{len(cells)}] {cell.folder.name}: {what}")
        write_cells(options.output, rows, methods)

    launch = Launch(options.workers, changed)
    with ThreadPoolExecutor(options.workers) as executor:
        run_cells(cells, launch, executor, changed)
    return cells


def run_cells(
    cells: Sequence[Cell],
    task: Task,
    executor: Executor,
    on_end: Callable[[Cell, str], object],
    pause: float = _WAIT,
) -> None:
    """Execute runs until all are done or failed, in this or in other processes.

    Args:
        cells: distinct runs.
        task: executes a run.
        executor: runs tasks in parallel.
        on_end: called with a run and one line about its outcome.
        pause: seconds between checks of runs in other processes.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; the active runs were stopped and can be resumed.
    """
    pending: dict[Future[str], Cell] = {}
    left, is_told = list(cells), False
    try:
        while True:
            left = [cell for cell in left if cell.state() not in ("done", "failed")]
            pending.update({executor.submit(task, cell): cell for cell in left})
            if not pending:
                return
            ended, _ = wait(pending, return_when=FIRST_COMPLETED)
            results = [(pending.pop(future), future.result()) for future in ended]
            left = [cell for cell, line in results if line == BUSY]
            for cell, line in results:
                if line not in ("", BUSY):
                    on_end(cell, line)
            if len(left) < len(results):
                is_told = False
                continue
            if not pending and not is_told:
                say(f"waiting for {len(left)} runs of other processes")
                is_told = True
            time.sleep(pause)
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        task.stop()
        if not isinstance(error, KeyboardInterrupt):
            raise
        done = sum(cell.state() == "done" for cell in cells)
        raise InterruptedRunError(
            f"stopped with {done} of {len(cells)} runs done; re-running the command resumes"
        ) from error


def write_files(table: Table, options: GridOptions, part: str = "") -> None:
    """Write all files of a table, in a subfolder if the grid has several tables."""
    folder = options.output / part
    for name, content in write_table_files(table, folder).items():
        write_bytes(folder / name, content.encode())


def failures(cells: Sequence[Cell]) -> list[str]:
    """One line per failed run."""
    return [
        f"{cell.model} seed {cell.seed} failed: {cell.reason()}"
        for cell in cells
        if cell.state() == "failed"
    ]
