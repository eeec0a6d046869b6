"""A grid whose cells are real processes of a shell script that ends in no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_painvrl.experiments.cells import Cell, CellKey, cell_folder

MakeCells = Callable[..., list[Cell]]
# Stands for `python -m recbole_painvrl run ...`; notes when it starts and ends.
SCRIPT = """#!/bin/bash
for word in "$@"; do
    case $word in
        --model=*) model=${word#*=} ;;
        --output_dir=*) output=${word#*=} ;;
        --run_name=*) name=${word#*=} ;;
        --resume=*) output=${word#*=}; name=${output##*/}; output=${output%/*} ;;
    esac
done
echo "start $name" >> "$output/events"
case $model in
    Slow)
        trap 'echo "stopped; go on with: x"; exit 1' TERM
        for _ in {1..600}; do sleep 0.05; done ;;
    Broken) echo "some warning"; echo "error: no luck with $model" >&2; exit 1 ;;
    Killed) mkdir "$output/$name"; kill -KILL $$ ;;
    *) sleep 0.1 ;;
esac
mkdir -p "$output/$name"
echo "{}" > "$output/$name/result.json"
echo "end $name" >> "$output/events"
"""


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


@pytest.fixture
def make_cells(tmp_path: Path) -> MakeCells:
    """Cells below ``tmp_path/out`` on a dataset that nobody reads."""

    def make(*models: str, seeds: int = 2) -> list[Cell]:
        cells = []
        for model in models:
            for seed in range(seeds):
                key = CellKey("data", f"{model}{seed}", "code")
                folder = cell_folder(tmp_path / "out" / "cells", model, "toy", seed, key)
                cells.append(Cell(model, seed, (f"--model={model}",), key, folder))
        return cells

    return make
