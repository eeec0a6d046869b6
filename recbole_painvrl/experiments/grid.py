"""Execution of a grid command: run what is not complete, then write tables."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager

from recbole_painvrl.atomic import make_folder, write_bytes
from recbole_painvrl.errors import InterruptedRunError, UserError, WriteError
from recbole_painvrl.experiments.engines import Engine, open_engine, outcome
from recbole_painvrl.experiments.launch import BUSY, FAILED, STOPPED
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row, prepare_split
from recbole_painvrl.experiments.progress import LiveLine, planned
from recbole_painvrl.experiments.record import write_record
from recbole_painvrl.experiments.runs import ENDED, GridRun, distinct
from recbole_painvrl.locks import in_turn
from recbole_painvrl.report.tables import Table, write_table_files

_WAIT = 2.0
# How often a run that was stopped from outside is resumed.
_ATTEMPTS = 3


def run_grid(
    options: GridOptions, plan: Plan, rows: Sequence[Row], methods: Mapping[str, str] | None = None
) -> list[GridRun]:
    """Execute the runs that are not complete, unless `--report-only`; returns all runs.

    Args:
        options: of the command.
        plan: source of the rows.
        rows: of all tables.
        methods: group of a table to the label of its row of interest.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; re-running the command resumes.
    """
    runs = distinct([one for row in rows for one in row.runs])
    live = LiveLine(runs, options.workers)
    make_folder(options.output / "cells", "--output")
    for line in write_record(options.output, rows, methods):
        live.say(line)
    if options.report_only:
        return runs
    if set(_states(runs, options.retry_failed, live)) <= set(ENDED):
        return runs
    by_name = {one.folder.name: one for one in runs}

    def changed(one: GridRun, what: str) -> None:
        ended = sum(other.state() in ENDED for other in runs)
        live.say(f"[{ended}/{len(runs)}] {one.folder.name}: {what}")
        write_record(options.output, rows, methods)

    def started(name: str) -> None:
        one = by_name[name]
        state = one.state()
        # Another command, or a worker that Dask took for lost, may have ended it meanwhile.
        if state not in ENDED:
            live.begin(one)
            changed(one, "resumes" if state == "interrupted" else "starts")

    try:
        with (
            _recorded(lambda: write_record(options.output, rows, methods), live),
            open_engine(options.engine, options.workers, options.output, started) as engine,
        ):
            prepare_split(plan.config(runs[0].arguments), live.say)
            run(runs, engine, changed, live)
    except KeyboardInterrupt as error:
        done = sum(one.state() == "done" for one in runs)
        what = f"{str(error) or 'stopped'} with {done} of {len(runs)} runs done"
        raise InterruptedRunError(f"{what}; re-running the command resumes") from error
    return runs


@contextmanager
def _recorded(record: Callable[[], object], live: LiveLine) -> Iterator[None]:
    """Write the record at the end: what was stopped, or run by others, has no line of its own.

    Where it cannot be written after an error, such as an interruption, the error is raised.
    """
    try:
        yield
    except BaseException:
        live.clear()
        try:
            record()
        except (WriteError, UserError) as error:
            live.say(f"warning: {error}")
        raise
    live.clear()
    record()


def _states(runs: Sequence[GridRun], retry_failed: bool, live: LiveLine) -> Sequence[str]:
    """The state of every run; also reports how many runs are in each state."""
    if retry_failed:
        for one in runs:
            if one.state() == "failed":
                one.forget_failure()
    states = [one.state() for one in runs]
    counts = {name: states.count(name) for name in ("done", "failed", "interrupted", "open")}
    known = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    live.say(f"{len(runs)} runs: {known}")
    return states


def run(
    runs: Sequence[GridRun],
    engine: Engine,
    on_end: Callable[[GridRun, str], object],
    live: LiveLine,
    pause: float = _WAIT,
) -> None:
    """Execute runs until all are done or failed, by this or by other commands.

    Args:
        runs: distinct runs.
        engine: where they are executed.
        on_end: called with a run and one line about its outcome.
        live: the line about the runs that are active.
        pause: seconds between checks of runs that other commands execute.

    Raises:
        UserError: a machine lacks what a run needs.
        InterruptedRunError: the connection to the engine is lost.
    """
    pending: dict[Future[tuple[int, str]], GridRun] = {}
    left, stops, is_told = list(runs), Counter[GridRun](), False
    while left or pending:
        left = [one for one in left if one.state() not in ENDED]
        for one in [one for one in left if not one.is_held()]:
            left.remove(one)
            words = [json.dumps({"shared": engine.shared, "run": one.to_json()})]
            pending[engine.executor.submit(engine.task, words, one.folder.name)] = one
        if left and not pending and not is_told:
            live.say(f"waiting for {len(left)} runs of other processes")
            is_told = True
        if not pending:
            time.sleep(pause if left else 0)
            continue
        ended, _ = wait(pending, pause if left or live.active else None, FIRST_COMPLETED)
        live.show(one for future, one in pending.items() if future not in ended)
        for future in ended:
            one = pending.pop(future)
            code, text = outcome(future)
            if code == 0 and not text:
                # Complete or failed already, unless a library ended the process.
                code, text = STOPPED, f"ended {_ATTEMPTS} times without a result"
            stops[one] += code == STOPPED
            again = code == BUSY or (code == STOPPED and stops[one] < _ATTEMPTS)
            text = "" if again else _ended(one, code, text)
            if text:
                on_end(one, text)
            else:
                # Another process may have ended it, or executes it: its state will tell.
                left.append(one)


def _ended(one: GridRun, code: int, text: str) -> str:
    """One line about a run that has ended; records a failure that its process did not record.

    Empty if another process has ended the run or executes it.
    """
    if code in (0, FAILED):
        return text
    if code > 0 and code != STOPPED:
        raise UserError(f"{one.folder.name}: {text}")
    reason = text or f"stopped {_ATTEMPTS} times from outside"
    if code < 0:
        name = signal.Signals(-code).name
        reason = f"ended by {name}{', possibly out of memory' if name == 'SIGKILL' else ''}"
    return f"failed: {reason} ({one.log_file})" if one.fail_from_outside(reason) else ""


def dry_run(options: GridOptions, rows: Sequence[Row]) -> None:
    """Say what would be run and how long it takes, from the complete runs in the folder."""
    runs = distinct([one for row in rows for one in row.runs])
    print("\n".join(planned(runs, options.workers, options.retry_failed)))


def tables_lock(options: GridOptions) -> AbstractContextManager[None]:
    """Held from reading the runs to writing the tables, lest a slower command write older ones."""
    return in_turn(options.output / ".tables.lock")


def write_files(table: Table, options: GridOptions, part: str = "") -> None:
    """Write all files of a table, in a subfolder if the grid has several tables."""
    folder = options.output / part
    for name, content in write_table_files(table, folder).items():
        write_bytes(folder / name, content.encode())


def failures(runs: Sequence[GridRun]) -> list[str]:
    """One line per failed run."""
    return [
        f"{one.model} seed {one.seed} failed: {one.reason()}"
        for one in runs
        if one.state() == "failed"
    ]
