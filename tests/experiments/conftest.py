"""A grid whose runs are real processes that end in no time."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from forks import SUBPROCESS
from grid_support import MakeRuns

from recbole_painvrl.experiments import launch
from recbole_painvrl.experiments.runs import GridRun, RunKey, run_folder


def quick_run(words: list[str]) -> int:
    """Stands for the command ``run``; writes down when it starts and ends."""
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    folder = Path(given["output_dir"], given["run_name"])
    model = given["model"]

    def write(event: str) -> None:
        with open(folder.parent / "events", "a") as stream:
            stream.write(f"{event} {folder.name}\n")

    write("start")
    end = time.monotonic() + 20
    while model.startswith("Meeting") and time.monotonic() < end:
        if (folder.parent / "events").read_text().count("start") >= 3:
            break
        time.sleep(0.01)
    if model == "Slow":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            print("stopped; go on with: x")
            return 1
    if model == "Stopped" and (folder.parent / "events").read_text().count(folder.name) < 3:
        print("stopped; go on with: x")
        return 1
    if model == "Broken":
        print("some warning")
        print(f"error: no luck with {model}", file=sys.stderr)
        return 1
    time.sleep(0.2)
    folder.mkdir(parents=True)
    if model == "Killed":
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "result.json").write_text("{}")
    write("end")
    return 0


@pytest.fixture
def quick_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of a grid are forks of this process, and end in no time."""
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    monkeypatch.setattr("recbole_painvrl.cli.__main__._changed", lambda run: [])
    monkeypatch.setattr("recbole_painvrl.cli.run.main", quick_run)


@pytest.fixture
def make_runs(tmp_path: Path) -> MakeRuns:
    """Cells below ``tmp_path/out`` on a dataset that nobody reads."""

    def make(*models: str, seeds: int = 2) -> list[GridRun]:
        runs = []
        for model in models:
            for seed in range(seeds):
                key = RunKey("data", f"{model}{seed}", "code")
                folder = run_folder(tmp_path / "out" / "cells", model, "toy", seed, key)
                runs.append(GridRun(model, seed, (f"--model={model}",), key, folder))
        return runs

    return make
