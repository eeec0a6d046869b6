"""The commands of docs/cluster.md, while workers are killed and the command is interrupted."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from forks import SUBPROCESS
from support import planted_data

from docs.make_notebook import blocks
from recbole_painvrl.__main__ import main
from recbole_painvrl.data.planted import PlantedDesign
from recbole_painvrl.experiments import launch

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in blocks(PAGE) if block.kind == "bash" for line in block.text.splitlines()
]
# BPR is long enough to be killed and interrupted, VBPR is not.
LENGTHS = ["--epochs=40", "--stopping_step=99", "--set=VBPR.epochs=1", "--set=VBPR.learning_rate=1"]


class Terminals:
    """Starts commands of the page, on a free port; ends them all."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.folder, self._opened = folder, opened
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        self.address = f"dask:tcp://127.0.0.1:{self._port}"

    def start(self, command: str, *more: str) -> subprocess.Popen[str]:
        first, *words = shlex.split(command.replace("8786", self._port))
        program = {"dask": [sys.executable, "-m", "dask"], "python": [sys.executable]}[first]
        path = {"PYTHONPATH": str(ROOT)} if first == "python" else {}
        process = subprocess.Popen(
            [*program, *words, *more], cwd=self.folder, env={**os.environ, **path}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if path else subprocess.DEVNULL,
        )  # fmt: skip
        self._opened.callback(end, process)
        return process

    @property
    def cells(self) -> Path:
        return self.folder / "runs" / "benchmark" / "cells"

    def run_of(self, model: str) -> Path:
        found = [path for path in self.cells.glob(f"{model}-*") if path.is_dir()]
        return found[0] if found else self.cells / "none"

    def epochs(self) -> list[str]:
        """Those that the log of BPR names."""
        log = self.run_of("BPR") / "train.log"
        text = log.read_text() if log.is_file() else ""
        return re.findall(r"train epoch (\d+):", text)


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        family = [*psutil.Process(process.pid).children(recursive=True), process]
        for one in family:
            one.kill()
    process.communicate()


def until(true: Callable[[], object]) -> None:
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < 180
        time.sleep(0.02)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    design = PlantedDesign(n_users=60, n_items=50, min_interactions=10, max_interactions=12,
                           modalities={"visual": 4})  # fmt: skip
    planted_data(design, tmp_path / "dataset", "planted")
    with ExitStack() as opened:
        yield Terminals(tmp_path, opened)


def test_a_killed_worker_and_an_interrupted_command(
    terminals: Terminals, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, *workers, grid = COMMANDS
    for command in (scheduler, *workers):
        terminals.start(command)
    cells, run_of, epochs = terminals.cells, terminals.run_of, terminals.epochs
    command = terminals.start(grid, *LENGTHS)
    until(lambda: len(epochs()) > 3)
    # The run's process, its worker, and the process that would start the worker again.
    (lock,) = cells.glob(".BPR-*.lock")
    run = psutil.Process(int(lock.read_text().split()[0]))
    worker = run.parent()
    for process in (worker.parent(), worker):
        process.kill()
    until(lambda: not run.is_running() or run.status() == psutil.STATUS_ZOMBIE)
    killed = len(epochs())
    until(lambda: len(epochs()) > killed + 3)
    command.send_signal(signal.SIGINT)
    said = command.communicate(timeout=90)[1]
    assert command.returncode == 1
    assert "stopped with 1 of 2 runs done; re-running the command resumes" in said
    assert "Traceback" not in said
    once = (run_of("VBPR") / "result.json").stat().st_mtime_ns
    again = terminals.start(grid, *LENGTHS)
    said = again.communicate(timeout=180)[1]
    assert again.returncode == 0, said
    assert "VBPR" not in said.split("2 runs: 1 done")[1]
    assert (run_of("VBPR") / "result.json").stat().st_mtime_ns == once
    # Every epoch once, in three processes, but for the two that were in progress.
    assert list(dict.fromkeys(epochs())) == [str(epoch) for epoch in range(1, 41)]
    assert len(epochs()) <= 40 + 2
    assert (run_of("BPR") / "train.log").read_text().count("run folder:") == 3
    assert not [*cells.parent.glob(".shared-*"), *cells.glob(".*.lock")]
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    other = terminals.folder / "whole"
    words = ["--dataset=planted", "--models=BPR", "--seeds=1", *LENGTHS[:2], f"--output={other}"]
    assert main(["benchmark", *words]) == 0
    (whole,) = other.glob("cells/BPR-*/result.json")
    results = [json.loads(path.read_text()) for path in (whole, run_of("BPR") / "result.json")]
    assert results[0]["hashes"] == results[1]["hashes"]
    assert results[0]["metrics"] == results[1]["metrics"]
