"""What an engine refuses or loses ends the command with one line."""

from __future__ import annotations

import json
import os
import socket
import sys
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from grid_support import MakeRuns, plan
from support import killing

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli import __main__ as child
from recbole_painvrl.cli.run import main as run_main
from recbole_painvrl.errors import InterruptedRunError, UserError, WriteError
from recbole_painvrl.experiments import engines, launch
from recbole_painvrl.experiments.engines import Engine
from recbole_painvrl.experiments.grid import run
from recbole_painvrl.experiments.progress import LiveLine


def execute(runs: Any, task: Any) -> None:
    with ThreadPoolExecutor(1) as executor:
        run(runs, Engine(executor, task), lambda one, line: None, LiveLine(runs, 1), pause=0.01)


def refuse(words: Any, name: str) -> tuple[int, str]:
    return launch.REFUSED, "worker tcp://x: other data"


def lose(words: Any, name: str) -> tuple[int, str]:
    raise CancelledError


def test_a_refusal_and_a_lost_scheduler_end_the_command(make_runs: MakeRuns) -> None:
    with pytest.raises(UserError, match=r"A-toy-seed0-.*: worker tcp://x: other data"):
        execute(make_runs("A"), refuse)
    with pytest.raises(InterruptedRunError, match="the connection to the Dask scheduler is lost"):
        execute(make_runs("A"), lose)


def test_an_error_of_the_engine_is_a_failure_that_can_be_repeated(make_runs: MakeRuns) -> None:
    """Such as Dask's KilledWorker: several workers died while they executed a run."""
    calls = []

    def die(words: Any, name: str) -> tuple[int, str]:
        calls.append(name)
        raise RuntimeError("workers died")

    (one, _) = make_runs("A")
    one.folder.parent.mkdir(parents=True)
    execute([one], die)
    assert one.reason() == "RuntimeError: workers died" and len(calls) == 3
    one.forget_failure()
    assert one.state() == "open"


def test_other_data_or_code_is_refused_on_the_worker(
    own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plan(own_data).run("BPR", 0, {})
    assert child._changed(one) == []
    with open(own_data / "tiny" / "truth" / "environments.tsv", "a") as stream:
        stream.write("u\ti\t0\n")
    monkeypatch.setattr(child, "code_hash", lambda: "other")
    assert child._changed(one) == ["data", "code"]


def test_a_folder_that_is_not_shared_is_refused(
    tmp_path: Path, make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(child, "_end_with", lambda parent: None)
    (one, _) = make_runs("A")
    task = {"shared": str(tmp_path / "out" / ".shared-1"), "run": one.to_json()}
    assert child.main(["1", json.dumps(task)]) == launch.REFUSED
    assert "share it" in capfd.readouterr().out
    code, text = launch.launch([], str(tmp_path / "nowhere"), {})
    assert (code, "no such folder" in text) == (launch.REFUSED, True)


def test_a_lock_that_cannot_be_written_is_one_line(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    (one, _) = make_runs("A")

    def refuse(path: Path) -> None:
        raise WriteError(f"{path}: cannot be written")

    monkeypatch.setattr(child, "_end_with", lambda parent: None)
    monkeypatch.setattr(child, "file_lock", refuse)
    assert child.main(["1", json.dumps({"shared": None, "run": one.to_json()})]) == launch.REFUSED
    assert capfd.readouterr().out == f"{one.lock_file}: cannot be written\n"


def address() -> str:
    """One at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"dask:tcp://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["address", "package", "engine"])
def test_an_engine_that_cannot_be_used_is_one_line(
    fault: str,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if fault == "address":
        pytest.importorskip("distributed")
    if fault == "package":
        monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr(engines, "_CONNECT_SECONDS", 0.2)
    engine = "dusk:x" if fault == "engine" else address()
    words = ["benchmark", "--dataset=tiny", "--models=Pop", f"--data_path={tiny_data}"]
    assert main([*words, "--seeds=1", f"--engine={engine}"]) == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if "runs: " not in one)
    said = {
        "address": "no Dask scheduler answers at tcp://127.0.0.1",
        "package": "type `pip install distributed`",
        "engine": "`--engine`: found 'dusk:x', expected local or",
    }
    assert line.startswith("error: ") and said[fault] in line


def test_a_run_goes_on_in_another_working_directory(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed: it looked for its data where they were, seen from the first directory."""
    monkeypatch.chdir(tiny_data)
    here = plan(Path(), output=str(tmp_path)).run("BPR", 0, {})
    with killing(2):
        run_main(child._arguments(here))
    monkeypatch.chdir(tmp_path)
    there = plan(Path(os.path.relpath(tiny_data)), output=str(tmp_path)).run("BPR", 0, {})
    assert there.folder == here.folder
    words = child._arguments(there)
    assert f"--resume={there.folder}" in words
    assert run_main(words) == 0
    assert there.state() == "done"
