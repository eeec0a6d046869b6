"""Plans of a grid, and what its runs would leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.experiments.planning import Plan
from recbole_painvrl.experiments.runs import GridRun

MakeRuns = Callable[..., list[GridRun]]


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
        "seed": run.seed,
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


def plan(data: Path, output: str = "out", **more: str) -> Plan:
    """The plan of some models on the tiny dataset."""
    common = {"data_path": str(data), "use_gpu": "False", "epochs": "2", **more}
    models = {name: name for name in ("BPR", "PaInvRL", "InvRL", "UltraGCN")}
    return Plan("tiny", [0, 1], Path(output), models, common)
