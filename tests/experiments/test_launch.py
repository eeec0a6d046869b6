"""What a process that an executor starts gets, and how its end is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from recbole_painvrl.experiments import launch
from recbole_painvrl.experiments.engines import threads_per_run

Launch = Callable[..., tuple[int, str]]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Execute Python code in the place of the command line."""
    start = subprocess.Popen

    def call(
        code: str,
        environment: Mapping[str, str] | None = None,
        stops: Callable[[], int] = lambda: 0,
    ) -> tuple[int, str]:
        def popen(command: list[str], **how: object) -> object:
            # Without this process the other one ends.
            assert command == [sys.executable, "-m", "recbole_painvrl.cli", str(os.getpid())]
            return start([sys.executable, "-c", code], **how)  # type: ignore[call-overload]

        shown = SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL)
        monkeypatch.setattr(launch, "subprocess", shown)
        return launch.launch([], os.getcwd(), environment or {}, stops)

    return call


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a warning'); print('error: no luck'); exit(2)", (2, "no luck")),
        ("print('stopped; go on with: x'); exit(1)", (launch.STOPPED, "stopped; go on with: x")),
        ("print('it was stopped'); exit(1)", (1, "it was stopped")),
        ("print('stopped'); exit(2)", (2, "stopped")),
        ("import os; os.kill(os.getpid(), 15)", (launch.STOPPED, "")),
        ("import os; os.kill(os.getpid(), 9)", (-9, "")),
        ("print('done'); print(); print('  ')", (0, "done")),
        ("import sys; print('error: no luck', file=sys.stderr); exit(2)", (2, "no luck")),
        ("import os; print('own', os.getsid(0) == os.getpid())", (0, "own True")),
    ],
)
def test_the_end_is_told_by_code_and_last_line(
    code: str, expected: tuple[int, str], launched: Launch
) -> None:
    assert launched(code) == expected


def test_given_variables_win_and_paths_are_joined(
    launched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("OMP_NUM_THREADS", "7"), ("PYTHONPATH", "/a"), ("KEPT", "yes")):
        monkeypatch.setenv(name, value)
    names = "OMP_NUM_THREADS", "PYTHONPATH", "KEPT"
    code = f"import os; print(*(os.environ[name] for name in {names}))"
    _, line = launched(code, {"OMP_NUM_THREADS": "3", "PYTHONPATH": "/b"})
    assert line == f"3 /b{os.pathsep}/a yes"


@pytest.mark.parametrize("asked", [1, 2])
def test_a_process_that_does_not_stop_is_killed_when_asked_twice(
    asked: int, launched: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or when it has had its time; left alone it would end with code 0."""
    monkeypatch.setattr(launch, "_GRACE", 30.0 if asked == 2 else 0.5)
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, time; signal.signal(15, signal.SIG_IGN); print('x', flush=True); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(20)"
    )
    assert launched(code, stops=lambda: asked if ready.exists() else 0) == (-9, "x")


@pytest.mark.parametrize(
    ("ended", "place", "expected"),
    [
        ((0, "done"), "running", (0, "done")),
        # It was complete before it was told to stop.
        ((0, "done"), "cancelled", (0, "done")),
        ((launch.FAILED, "no luck"), "running", (launch.FAILED, "no luck")),
        ((launch.BUSY, "busy"), "running", (launch.BUSY, "busy")),
        ((2, "no luck"), "running", (2, "worker tcp://x: no luck")),
        ((launch.REFUSED, "other data"), "running", (launch.REFUSED, "worker tcp://x: other data")),
        ((launch.STOPPED, "stopped"), "running", (launch.STOPPED, "stopped")),
        *(((launch.STOPPED, "stopped"), place, None) for place in ("cancelled", "gone", "closing")),
    ],
)
def test_a_task_of_dask_that_was_stopped_is_done_again(
    ended: tuple[int, str],
    place: str,
    expected: tuple[int, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, str]] = []
    tasks = {} if place == "gone" else {"key": SimpleNamespace(state=place)}
    worker = SimpleNamespace(
        get_current_task=lambda: "key",
        log_event=lambda *words: told.append(words),
        state=SimpleNamespace(tasks=tasks),
        status=SimpleNamespace(name="closing" if place == "closing" else "running"),
        address="tcp://x",
    )
    dask = SimpleNamespace(Reschedule=InterruptedError, get_worker=lambda: worker)
    monkeypatch.setitem(sys.modules, "distributed", dask)

    def run(
        words: object, folder: object, environment: object, stops: Callable[[], int]
    ) -> tuple[int, str]:
        assert (words, folder, environment) == (["a"], "/f", {"A": "1"})
        assert stops() == (place != "running")
        return ended

    monkeypatch.setattr(launch, "launch", run)
    found = None
    with suppress(InterruptedError):
        found = launch.launch_on_worker(["a"], "name", "/f", {"A": "1"}, "topic")
    assert found == expected
    assert told == [("topic", "name")]


@pytest.mark.parametrize(
    ("workers", "allowed", "threads"),
    [(1, None, 8), (2, None, 4), (3, None, 2), (9, None, 1), (2, "3", 3), (2, "16", 4),
     (2, "0", 4), (2, "4,2", 4)],
)  # fmt: skip
def test_all_processes_together_have_no_more_threads_than_cores(
    workers: int, allowed: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if allowed is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert threads_per_run(workers) == threads
