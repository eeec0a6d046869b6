"""A grid executes each run once, whatever fails, and resumes where it stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from forks import fresh
from grid_support import MakeRuns, write_run

from recbole_painvrl.cli.__main__ import main as child_main
from recbole_painvrl.experiments import launch
from recbole_painvrl.experiments import runs as runs_module
from recbole_painvrl.experiments.engines import Engine, open_engine
from recbole_painvrl.experiments.grid import run
from recbole_painvrl.experiments.progress import LiveLine
from recbole_painvrl.experiments.runs import GridRun, distinct, run_folder
from recbole_painvrl.locks import LOCK, file_lock

pytestmark = pytest.mark.usefixtures("quick_runs")


def execute(
    runs: list[GridRun], workers: int = 1, started: Callable[[str], Any] = lambda name: None
) -> list[str]:
    """Lines about the outcomes of the runs."""
    lines: list[str] = []
    with open_engine("local", workers, Path("out"), started) as engine:
        run(runs, engine, lambda one, line: lines.append(line), LiveLine(runs, 1), pause=0.05)
    return lines


def events(runs: list[GridRun], kind: str = "start") -> list[str]:
    """Runs that were started, in order."""
    words = (line.split() for line in (runs[0].folder.parent / "events").read_text().splitlines())
    return [word[1] for word in words if word[0] == kind]


def names(runs: list[GridRun]) -> list[str]:
    return sorted(one.folder.name for one in runs)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "out" / "cells").mkdir(parents=True)


def test_a_failing_run_does_not_stop_the_rest_and_nothing_runs_twice(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "Broken", "C")
    lines = execute(runs)
    states = [(one.model, one.state()) for one in runs]
    expected = {"A": "done", "Broken": "failed", "C": "done"}
    assert states == [(one.model, expected[one.model]) for one in runs]
    assert runs[2].reason() == "no luck with Broken (exit code 1)"
    assert sum(line.startswith("failed: no luck with Broken") for line in lines) == 2
    assert execute(runs) == []
    assert sorted(events(runs)) == names(runs)


def test_a_failed_run_starts_again_when_its_failure_is_forgotten(make_runs: MakeRuns) -> None:
    broken, _ = make_runs("Broken")
    killed, _ = make_runs("Killed")
    execute([broken, killed])
    assert killed.reason() == "ended by SIGKILL, possibly out of memory"
    broken.folder.mkdir()
    for one in (broken, killed):
        one.forget_failure()
    # What failed by itself begins anew: to go on would fail again.
    assert not broken.folder.exists() and broken.state() == "open"
    # What was ended from outside goes on.
    assert killed.state() == "interrupted"


def test_a_failed_run_that_another_process_has_taken_up_is_kept(make_runs: MakeRuns) -> None:
    """By `--resume` of its folder, or by the same command with `--retry-failed`."""
    broken, _ = make_runs("Broken")
    execute([broken])
    broken.folder.mkdir()
    for lock in (broken.lock_file, broken.folder / LOCK):
        with file_lock(lock):
            broken.forget_failure()
            assert broken.folder.is_dir() and broken.state() == "failed"
    broken.failure_file.unlink()
    broken.forget_failure()
    assert broken.state() == "interrupted"


def test_a_folder_that_is_taken_up_by_hand_at_the_last_moment_is_kept(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a checkpoint yet, it was removed while that process wrote it."""
    (one,) = make_runs("A", seeds=1)
    one.folder.mkdir()
    (one.folder / "config.yaml").touch()
    seen, held = one.folder.parent / "seen", ExitStack()

    def resume_by_hand(run: GridRun) -> list[str]:
        if seen.is_file():
            seen.write_text(str((run.folder / "config.yaml").is_file()))
        else:
            seen.touch()
            held.enter_context(file_lock(run.folder / LOCK))
        return []

    monkeypatch.setattr("recbole_painvrl.cli.__main__._changed", resume_by_hand)
    assert [line[:4] for line in execute([one])] == ["done"]
    assert seen.read_text() == "True"


def test_a_failed_run_that_is_taken_up_at_the_last_moment_is_kept(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    (broken,) = make_runs("Broken", seeds=1)
    execute([broken])
    broken.folder.mkdir()
    monkeypatch.setattr(GridRun, "is_started_by_hand", lambda run: False)
    with file_lock(broken.folder / LOCK):
        broken.forget_failure()
        assert broken.folder.is_dir() and broken.state() == "failed"


def test_a_killed_run_that_another_command_has_taken_up_is_not_failed(
    make_runs: MakeRuns,
) -> None:
    """It was listed as failed, and its command ended while the other trained it."""
    (one,) = make_runs("A", seeds=1)
    lines: list[str] = []

    def taken_up(words: Any, name: str) -> tuple[int, str]:
        lock = held.enter_context(ExitStack())
        lock.enter_context(file_lock(one.lock_file))
        threading.Timer(0.5, end, (lock,)).start()
        return -signal.SIGKILL, ""

    def end(lock: ExitStack) -> None:
        states.append(one.state())
        write_run(one)
        lock.close()

    states: list[str] = []
    with ExitStack() as held, ThreadPoolExecutor(1) as executor:
        engine = Engine(executor, taken_up)
        run([one], engine, lambda one, line: lines.append(line), LiveLine([one], 1), pause=0.05)
    assert (states, one.state(), lines) == (["open"], "done", [])
    assert not one.failure_file.exists()


def test_a_run_whose_process_ends_itself_without_a_result_is_failed(make_runs: MakeRuns) -> None:
    """A model of another package that called `sys.exit()` was run again without end."""
    (one,) = make_runs("A", seeds=1)
    calls: list[str] = []

    def ends_itself(words: Any, name: str) -> tuple[int, str]:
        calls.append(name)
        if len(calls) > 5:
            write_run(one)
        return 0, ""

    with ThreadPoolExecutor(1) as executor:
        run([one], Engine(executor, ends_itself), lambda *_: None, LiveLine([one], 1), pause=0.05)
    assert (len(calls), one.state()) == (3, "failed")
    assert one.reason() == "ended 3 times without a result"


def test_a_failure_that_is_forgotten_while_it_is_read_is_not_damaged(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = make_runs("A", seeds=1)
    one.fail("no luck", resumable=True)

    def forget(path: Path, key: str) -> dict[str, Any]:
        path.unlink(missing_ok=True)
        return read_object(path, key)

    read_object = runs_module._read_object
    monkeypatch.setattr(runs_module, "_read_object", forget)
    assert one.reason() == "just taken up again by another process"


def test_a_run_that_is_stopped_from_outside_is_resumed(make_runs: MakeRuns) -> None:
    runs = make_runs("Stopped", seeds=1)
    assert [line[:4] for line in execute(runs)] == ["done"]
    assert len(events(runs)) == 3


def test_the_folder_of_a_model_of_another_package_is_portable(make_runs: MakeRuns) -> None:
    (one, _) = make_runs("A")
    folder = run_folder(Path("cells"), "package.module:Tiny", "toy", 3, one.key)
    assert folder.name == f"Tiny-toy-seed3-{one.key.digest[:12]}"
    assert distinct([one, one]) == [one]


@pytest.mark.parametrize(
    ("workers", "models"), [(1, ("A", "B", "C")), (3, ("Meeting1", "Meeting2", "Meeting3"))]
)
def test_so_many_workers_and_no_more(
    make_runs: MakeRuns, workers: int, models: tuple[str, ...]
) -> None:
    """The runs of the second grid wait for one another."""
    runs = make_runs(*models)
    execute(runs, workers)
    active, most = 0, 0
    for line in (runs[0].folder.parent / "events").read_text().splitlines():
        active += 1 if line.startswith("start") else -1
        most = max(most, active)
    assert most == workers


def test_ctrl_c_stops_what_runs(make_runs: MakeRuns) -> None:
    runs = [make_runs("A")[0], *make_runs("Slow")]

    def press(name: str) -> None:
        if name.startswith("Slow"):
            threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        execute(runs, 1, press)
    assert [one.state() for one in runs] == ["done", "open", "open"]
    assert len(events(runs)) == 2
    assert "stopped; go on with" in runs[1].log_file.read_text()
    assert list(runs[0].folder.parent.glob(".*.lock")) == []


@pytest.mark.parametrize("lock", ["of a grid", "of a run"])
def test_a_run_of_another_process_is_waited_for(
    lock: str,
    make_runs: MakeRuns,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = make_runs("A")
    path = runs[0].lock_file
    if lock == "of a run":
        runs[0].folder.mkdir(parents=True)
        path = runs[0].folder / ".lock"
    held = threading.Event()

    def hold() -> None:
        with file_lock(path):
            held.set()
            time.sleep(1.2)
        if lock == "of a run":
            runs[0].folder.rmdir()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    task = json.dumps({"shared": None, "run": runs[0].to_json()})
    with monkeypatch.context() as patch:
        patch.setattr("recbole_painvrl.cli.__main__._end_with", lambda parent: None)
        assert child_main(["1", task]) == launch.BUSY
    execute(runs)
    assert events(runs) == [runs[1].folder.name, runs[0].folder.name]
    assert "waiting for 1 runs" in capsys.readouterr().err
    thread.join()


def _work(runs: list[GridRun], barrier: Any) -> None:
    barrier.wait()
    execute(runs, 2)


def test_two_processes_take_each_run_exactly_once(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "B", "C", "D")
    # A fork has everything imported; nothing here computes in threads.
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_work, args=(runs, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert sorted(events(runs)) == names(runs)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the lock guards the folder")
def test_a_run_ends_with_the_process_that_started_it(make_runs: MakeRuns) -> None:
    (slow, _) = make_runs("Slow")
    context = multiprocessing.get_context("fork")
    grid = context.Process(target=execute, args=([slow],))
    grid.start()
    while not (slow.folder.parent / "events").is_file():
        time.sleep(0.02)
    grid.kill()
    grid.join()
    end = time.monotonic() + 60
    while slow.is_held() and time.monotonic() < end:
        time.sleep(0.02)
    assert "stopped; go on with" in slow.log_file.read_text()


def test_the_second_sigterm_is_ignored(tmp_path: Path) -> None:
    """A process that saves when it is stopped is stopped again amid saving."""
    code = """
import os, signal, sys, time
from recbole_painvrl.cli.base import guarded
def action():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        print("saved", flush=True)
sys.exit(guarded(action))
"""
    # As a command of the package, which imports neither PyTorch nor RecBole.
    program = (
        f"import sys; sys.argv = ['-m']; sys.orig_argv = ['', '-m', 'recbole_painvrl']\n{code}"
    )
    done = fresh(["-c", program], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "saved\n", "stopped\n")
