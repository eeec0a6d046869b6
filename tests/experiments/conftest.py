"""A grid whose runs are real processes that end in no time."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forks import SUBPROCESS

from recbole_painvrl.experiments import launch
from recbole_painvrl.experiments.runs import GridRun, RunKey, run_folder

MakeRuns = Callable[..., list[GridRun]]


def quick_run(words: list[str]) -> int:
    """Stands for the command ``run``; writes down when it starts and ends."""
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    folder = Path(given["output_dir"], given["run_name"])
    model = given["model"]

    def write(event: str) -> None:
        with open(folder.parent / "events", "a") as stream:
            stream.write(f"{event} {folder.name}\n")

    write("start")
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


def write_run(run: GridRun, ndcg: float | None = None, valid: float | None = None) -> None:
    """What a finished run leaves, with metrics that differ between runs."""
    rng = np.random.default_rng([len(run.model), run.seed])
    per_user = {"iid": rng.random(20), "ood": rng.random(25)}
    if ndcg is not None:
        per_user = {name: ndcg + 0.05 * (v - v.mean()) for name, v in per_user.items()}
    frames = [
        pd.DataFrame({"test_set": name, "user_id": [f"u{n}" for n in range(len(v))], "ndcg@10": v})
        for name, v in per_user.items()
    ]
    metrics = {name: {"ndcg@10": float(v.mean())} for name, v in per_user.items()}
    metrics["valid"] = {"ndcg@10": 0.5 if valid is None else valid}
    result = {
        "model": run.model,
        "dataset": "toy",
        "edition": "planted",
        "protocol": "files",
        "valid_metric": "NDCG@10",
        "split": {"shift": "planted"},
        "metrics": metrics,
    }
    run.folder.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_parquet(run.folder / "per_user.parquet", index=False)
    (run.folder / "result.json").write_text(json.dumps(result))


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
