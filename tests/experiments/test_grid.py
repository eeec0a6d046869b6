"""A grid runs each cell once, whatever fails, and goes on where it stopped."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
from experiments.conftest import FakeLaunch, FakeRun, MakeCells, toy_cells

from recbole_painvrl.errors import InterruptedRunError, UserError
from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.experiments.claims import Claims, LocalClaims
from recbole_painvrl.experiments.grid import Grid
from recbole_painvrl.experiments.shared import SharedClaims


def run(
    cells: list[Cell], launch: FakeLaunch, workers: int = 1, claims: Claims | None = None
) -> list[str]:
    lines: list[str] = []
    Grid(cells, claims or LocalClaims(), launch, workers, lines.append, wait=0.01).run()
    return lines


def test_a_failing_cell_does_not_stop_the_rest(make_cells: MakeCells) -> None:
    cells = make_cells("A", "B", "C")
    lines = run(cells, FakeLaunch({("B", 0): 1}))
    states = {(cell.model, cell.seed): cell.state() for cell in cells}
    assert states.pop(("B", 0)) == "failed"
    assert set(states.values()) == {"done"}
    failed = next(cell for cell in cells if cell.state() == "failed")
    assert failed.reason() == "no luck with B (exit code 1)"
    assert any("B-toy-seed0-" in line and "failed: no luck with B" in line for line in lines)


def test_going_on_runs_nothing_twice(make_cells: MakeCells) -> None:
    cells = make_cells("A", "B")
    first, second = FakeLaunch({("B", 1): 1}), FakeLaunch()
    run(cells, first)
    run(cells, second)
    assert sorted(first.started) == [("A", 0), ("A", 1), ("B", 0), ("B", 1)]
    assert second.started == []


def test_a_failed_cell_runs_again_when_its_failure_is_forgotten(make_cells: MakeCells) -> None:
    cells = make_cells("A")
    run(cells, FakeLaunch({("A", 1): 1}))
    cells[1].folder.mkdir()
    (cells[1].folder / "config.yaml").write_text("half a run")
    cells[1].forget_failure()
    # What failed by itself begins anew: to go on would fail again.
    assert not cells[1].folder.exists()
    again = FakeLaunch()
    run(cells, again)
    assert again.started == [("A", 1)]
    assert cells[1].state() == "done"


def test_a_cell_killed_from_outside_keeps_its_folder(make_cells: MakeCells) -> None:
    (cell, _) = cells = make_cells("A")
    run(cells[:1], FakeLaunch({("A", 0): -9}))
    assert cell.reason() == "ended by SIGKILL, perhaps for want of memory"
    cell.folder.mkdir()
    cell.forget_failure()
    assert cell.state() == "interrupted"


def test_a_cell_that_was_told_to_stop_keeps_its_folder(make_cells: MakeCells) -> None:
    (cell, _) = cells = make_cells("A")

    class Stopped(FakeLaunch):
        def __call__(self, cell: Cell, lock: int) -> FakeRun:
            run = super().__call__(cell, lock)
            cell.log_file.write_text("epoch 3\nstopped; go on with: python run_recbole.py\n")
            return run

    run(cells[:1], Stopped({("A", 0): 1}))
    assert cell.state() == "failed"
    cell.folder.mkdir()
    cell.forget_failure()
    assert cell.state() == "interrupted"


def test_repeated_cells_run_once(make_cells: MakeCells) -> None:
    launch = FakeLaunch()
    run([*make_cells("A"), *make_cells("A")], launch)
    assert len(launch.started) == 2


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_so_many_workers_and_no_more(make_cells: MakeCells, workers: int) -> None:
    launch = FakeLaunch(polls=3)
    run(make_cells("A", "B", "C"), launch, workers)
    assert launch.most_at_work == workers
    assert len(launch.started) == 6


def test_ctrl_c_stops_what_runs_and_says_how_to_go_on(make_cells: MakeCells) -> None:
    cells = make_cells("A", "B")

    class Pressed(FakeLaunch):
        def __call__(self, cell: Cell, lock: int) -> object:  # type: ignore[override]
            if len(self.started) == 2:
                raise KeyboardInterrupt
            self.polls = 1 if not self.started else 10**9
            return super().__call__(cell, lock)

    launch = Pressed()
    with pytest.raises(InterruptedRunError, match="1 of 4 cells done; the same command goes on"):
        run(cells, launch, workers=2)
    assert launch.runs[1].stopped
    again = FakeLaunch()
    run(cells, again)
    assert len(again.started) == 3, "the first was done, all others are free again"


def test_a_cell_that_another_process_runs_is_waited_for(make_cells: MakeCells) -> None:
    cells = make_cells("A")
    cells[0].lock_file.parent.mkdir(parents=True)
    lock = os.open(cells[0].lock_file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, [lock]).start()
    launch = FakeLaunch()
    start = time.monotonic()
    lines = run(cells, launch)
    assert time.monotonic() - start > 0.25
    assert launch.started == [("A", 1), ("A", 0)]
    assert any("waiting for 1 cells" in line for line in lines)


STORAGES = ("grid.journal", "sqlite:///grid.db")


def _work(output: str, barrier: object) -> None:
    class Noted(FakeLaunch):
        def __call__(self, cell: Cell, lock: int) -> object:  # type: ignore[override]
            with open(cell.folder.parent.parent / "started", "a", encoding="utf-8") as stream:
                stream.write(f"{cell.model}{cell.seed} {os.getpid()}\n")
            return super().__call__(cell, lock)

    for number, storage in enumerate(STORAGES):
        cells = toy_cells(Path(output) / str(number), "A", "B", "C", "D")
        barrier.wait()  # type: ignore[attr-defined]
        run(cells, Noted(polls=2), 1, SharedClaims(storage, host=f"host{os.getpid()}"))


def test_two_machines_take_each_cell_exactly_once(tmp_path: Path) -> None:
    for storage in STORAGES:
        SharedClaims(storage)
    # A fork has everything imported; nothing here computes in threads.
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_work, args=(str(tmp_path), barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    for number, _ in enumerate(STORAGES):
        started = (tmp_path / str(number) / "started").read_text().splitlines()
        lines = [line.split() for line in started]
        assert sorted(name for name, _ in lines) == [f"{m}{s}" for m in "ABCD" for s in (0, 1)]
        assert len({process for _, process in lines}) == 2, "one machine did everything"


def test_without_a_common_lock_the_storage_alone_decides(tmp_path: Path) -> None:
    (cell,) = toy_cells(tmp_path / "here", "A", seeds=1)
    (same,) = toy_cells(tmp_path / "there", "A", seeds=1)
    near, far = SharedClaims("j", host="near"), SharedClaims("j", host="far")
    claim = near.take([cell])
    assert claim is not None
    assert far.take([same]) is None
    near.finish(claim, None)
    assert far.take([same]) is None
    assert far.elsewhere(same) == f"near:{cell.folder}"
    assert near.elsewhere(cell) is None


def test_a_cell_given_back_is_free_for_others(tmp_path: Path) -> None:
    (cell,) = toy_cells(tmp_path / "here", "A", seeds=1)
    (same,) = toy_cells(tmp_path / "there", "A", seeds=1)
    near, far = SharedClaims("j", host="near"), SharedClaims("j", host="far")
    claim = near.take([cell])
    assert claim is not None
    near.give_back(claim)
    assert far.take([same]) is not None


def test_a_dead_machine_loses_its_cell_and_a_living_one_does_not(tmp_path: Path) -> None:
    (cell,) = toy_cells(tmp_path / "here", "A", seeds=1)
    (same,) = toy_cells(tmp_path / "there", "A", seeds=1)
    near = SharedClaims("j", dead_after=0.2, host="near")
    far = SharedClaims("j", dead_after=0.2, host="far")
    assert near.take([cell]) is not None
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        near.beat()
        assert far.take([same]) is None, "its heart still beat"
        time.sleep(0.02)
    time.sleep(0.3)
    assert far.take([same]) is not None


def test_a_worker_that_died_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    (cell,) = toy_cells(tmp_path / "out", "A", seeds=1)
    first = SharedClaims("j", host="here")
    claim = first.take([cell])
    assert claim is not None
    second = SharedClaims("j", host="here")
    assert second.take([cell]) is None, "the lock is held"
    os.close(claim.lock)  # what the system does when a process dies
    assert second.take([cell]) is not None


def test_a_storage_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--storage"):
        SharedClaims(f"sqlite:///{tmp_path}/no/such/folder/x.db")
