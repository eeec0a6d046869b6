"""A grid runs each cell once, whatever fails, and goes on where it stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from experiments.conftest import SCRIPT, MakeCells

from recbole_painvrl.errors import InterruptedRunError
from recbole_painvrl.experiments.cells import Cell, cell_folder, distinct
from recbole_painvrl.experiments.grid import run_cells
from recbole_painvrl.experiments.launch import Launch
from recbole_painvrl.locks import file_lock


@pytest.fixture(autouse=True)
def _script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "run.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def run(cells: list[Cell], workers: int = 1, on_start: Any = lambda *_: None) -> list[str]:
    """Lines about what came of the cells."""
    lines: list[str] = []
    with ThreadPoolExecutor(workers) as executor:
        task = Launch(workers, on_start)
        run_cells(cells, task, executor, lambda cell, line: lines.append(line), pause=0.05)
    return lines


def events(cells: list[Cell], kind: str = "start") -> list[str]:
    """Cells that were started, in order."""
    words = (line.split() for line in (cells[0].folder.parent / "events").read_text().splitlines())
    return [word[1] for word in words if word[0] == kind]


def test_a_failing_cell_does_not_stop_the_rest_and_nothing_runs_twice(
    make_cells: MakeCells,
) -> None:
    cells = make_cells("A", "Broken", "C")
    lines = run(cells)
    states = [(cell.model, cell.state()) for cell in cells]
    expected = {"A": "done", "Broken": "failed", "C": "done"}
    assert states == [(cell.model, expected[cell.model]) for cell in cells]
    assert cells[2].reason() == "no luck with Broken (exit code 1)"
    assert sum(line.startswith("failed: no luck with Broken") for line in lines) == 2
    assert run(cells) == []
    assert sorted(events(cells)) == sorted(cell.folder.name for cell in cells)


def test_a_failed_cell_runs_again_when_its_failure_is_forgotten(make_cells: MakeCells) -> None:
    broken, _ = make_cells("Broken")
    killed, _ = make_cells("Killed")
    run([broken, killed])
    broken.folder.mkdir()
    for cell in (broken, killed):
        cell.forget_failure()
    # What failed by itself begins anew: to go on would fail again.
    assert not broken.folder.exists() and broken.state() == "open"
    # What was ended from outside goes on.
    assert killed.state() == "interrupted"


def test_the_reasons_of_failures(make_cells: MakeCells) -> None:
    killed, _ = make_cells("Killed")
    run([killed])
    assert killed.reason() == "ended by SIGKILL, possibly out of memory"


def test_the_folder_of_a_model_of_another_package_is_portable(make_cells: MakeCells) -> None:
    (cell, _) = make_cells("A")
    folder = cell_folder(Path("cells"), "package.module:Tiny", "toy", 3, cell.key)
    assert folder.name == f"Tiny-toy-seed3-{cell.key.digest[:12]}"
    assert distinct([cell, cell]) == [cell]


@pytest.mark.parametrize("workers", [1, 3])
def test_so_many_workers_and_no_more(make_cells: MakeCells, workers: int) -> None:
    cells = make_cells("A", "B", "C")
    run(cells, workers)
    at_work, most = 0, 0
    for line in (cells[0].folder.parent / "events").read_text().splitlines():
        at_work += 1 if line.startswith("start") else -1
        most = max(most, at_work)
    assert most == workers


def test_ctrl_c_stops_what_runs_and_says_how_to_go_on(
    make_cells: MakeCells,
) -> None:
    cells = [make_cells("A")[0], *make_cells("Slow")]

    def press(cell: Cell, what: str) -> None:
        if cell.model == "Slow":
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()

    with pytest.raises(
        InterruptedRunError, match="1 of 3 runs done; re-running the command resumes"
    ):
        run(cells, 1, press)
    assert [cell.state() for cell in cells] == ["done", "open", "open"]
    assert len(events(cells)) == 2
    assert "stopped; go on with" in cells[1].log_file.read_text()
    assert list(cells[0].folder.parent.glob(".*.lock")) == []


@pytest.mark.parametrize("lock", ["of its grid", "of its run"])
def test_a_cell_that_another_process_runs_is_waited_for(
    lock: str, make_cells: MakeCells, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process of a cell outlives its grid where that is killed."""
    cells = make_cells("A")
    cells[0].folder.mkdir(parents=True)
    path = cells[0].lock_file if lock == "of its grid" else cells[0].folder / ".lock"
    held = threading.Event()

    def hold() -> None:
        with file_lock(path):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    run(cells)
    assert events(cells) == [cells[1].folder.name, cells[0].folder.name]
    assert "waiting for 1 runs" in capsys.readouterr().err
    thread.join()


def _work(cells: list[Cell], barrier: Any) -> None:
    barrier.wait()
    run(cells, 2)


def test_two_processes_take_each_cell_exactly_once(make_cells: MakeCells) -> None:
    cells = make_cells("A", "B", "C", "D")
    # A fork has everything imported; nothing here computes in threads.
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_work, args=(cells, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert sorted(events(cells)) == sorted(cell.folder.name for cell in cells)
