"""A grid whose cells are made by a fake runner in no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_painvrl.experiments.cells import Cell, CellKey, cell_folder

MakeCells = Callable[..., list[Cell]]


class FakeRun:
    """A cell that writes its result when it ends, after so many polls."""

    def __init__(self, cell: Cell, code: int, polls: int, lock: int) -> None:
        self.cell, self.code, self.polls, self.lock = cell, code, polls, lock
        self.stopped = self.killed = False

    def poll(self) -> int | None:
        self.polls -= 1
        if self.polls > 0 and not self.killed:
            return None
        if self.code == 0 and not self.killed:
            write_run(self.cell)
        return -9 if self.killed else self.code

    def stop(self) -> None:
        self.stopped = True
        self.killed = True

    def kill(self) -> None:
        self.killed = True


class FakeLaunch:
    """Starts fake runs and notes which; ``codes`` says how a seed of a model ends."""

    def __init__(self, codes: dict[tuple[str, int], int] | None = None, polls: int = 1) -> None:
        self.codes, self.polls = codes or {}, polls
        self.started: list[tuple[str, int]] = []
        self.at_work = self.most_at_work = 0
        self.runs: list[FakeRun] = []

    def __call__(self, cell: Cell, lock: int) -> FakeRun:
        self.started.append((cell.model, cell.seed))
        code = self.codes.get((cell.model, cell.seed), 0)
        if code:
            cell.log_file.write_text(f"some warning\nerror: no luck with {cell.model}\n")
        run = FakeRun(cell, code, self.polls, lock)
        self.runs.append(run)
        self.most_at_work = max(self.most_at_work, sum(r.polls > 0 for r in self.runs))
        return run


def write_run(cell: Cell, ndcg: float | None = None, valid: float | None = None) -> None:
    """What a finished run leaves, with metrics that differ between cells."""
    rng = np.random.default_rng([len(cell.model), cell.seed])
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
        "model": cell.model,
        "dataset": "toy",
        "edition": "planted",
        "protocol": "files",
        "valid_metric": "NDCG@10",
        "split": {"shift": "planted"},
        "metrics": metrics,
    }
    cell.folder.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_parquet(cell.folder / "per_user.parquet", index=False)
    (cell.folder / "result.json").write_text(json.dumps(result))


def toy_cells(output: Path, *models: str, seeds: int = 2) -> list[Cell]:
    """Cells of some models on a dataset that nobody reads."""
    cells = []
    for model in models:
        for seed in range(seeds):
            key = CellKey("data", f"{model}{seed}", "code")
            folder = cell_folder(output / "cells", model, "toy", seed, key)
            cells.append(Cell(model, seed, (f"--model={model}",), key, folder))
    return cells


@pytest.fixture
def make_cells(tmp_path: Path) -> MakeCells:
    """Cells below ``tmp_path/out``."""

    def make(*models: str, seeds: int = 2) -> list[Cell]:
        return toy_cells(tmp_path / "out", *models, seeds=seeds)

    return make
