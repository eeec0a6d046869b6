"""Quality of the fast paths beside the exact ones, over seeds, and how long each takes.

    python -m benchmarks.quality --data dataset --output runs/quality --seeds 3
    python -m benchmarks.quality --data dataset --models BPR --datasets tiktok

``--data`` holds ``ml-trailers`` (films of MovieLens-1M) and ``tiktok``, made by dataset_prep
(docs/reproduction.md says how); the embedded edition is made here. Every run is a command of its
own; what is complete is not run again.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.cells import Result, cell, spread
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted.embedded import generate_embedded

EMBEDDED, TRAILERS, TIKTOK = "embedded", "ml-trailers", "tiktok"
# Share of the best validation score of the plain way at which a run has practically arrived.
_NEARLY = 0.99

_PER_POSITIVE = ("--negative_sampling=per_positive", "--n_negatives=50")
_BPR = ("--model=BPR", "--modalities=[]", "--stopping_step=5", "--learning_rate=3e-3")
_LIGHTGCN = (
    "--model=LightGCN",
    "--modalities=[]",
    "--n_layers=2",
    "--stopping_step=5",
    "--train_batch_size=8192",
    "--learning_rate=4e-3",
)
_ULTRAGCN = ("--model=UltraGCN", "--stopping_step=5")
_PAINVRL = ("--model=PaInvRL", "--oracle=False")
# Model -> way to train it -> settings; the first way is the plain one.
WAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "UltraGCN": {
        "50 draws per positive": (*_ULTRAGCN, *_PER_POSITIVE),
        "pool (default)": _ULTRAGCN,
        "pool, large batches": (*_ULTRAGCN, "--preset=large"),
    },
    "PaInvRL": {
        "50 draws per positive": (*_PAINVRL, *_PER_POSITIVE, "--mask_negatives=50"),
        "pool (default)": _PAINVRL,
        "pool, large batches": (*_PAINVRL, "--preset=large"),
        "pool, whole environment models": (*_PAINVRL, "--environment_model=full"),
    },
    "BPR": {
        "RecBole's loader": (*_BPR, "--fast_loader=False"),
        "fast loader (default)": _BPR,
    },
    "LightGCN": {
        "RecBole's loader": (*_LIGHTGCN, "--fast_loader=False"),
        "fast loader (default)": _LIGHTGCN,
    },
}
_DATA = {
    EMBEDDED: ("--dataset=ml-trailers",),
    TRAILERS: ("--dataset=ml-trailers", "--modalities=[visual,acoustic,textual]"),
    TIKTOK: ("--dataset=tiktok",),
}


def main() -> None:
    """Run what is missing, then print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/quality"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--datasets", nargs="+", choices=list(_DATA), default=list(_DATA))
    arguments = parser.parse_args()
    embedded = arguments.output / "data"
    if EMBEDDED in arguments.datasets and not (embedded / "ml-trailers").is_dir():
        write_dataset(generate_embedded(), embedded / "ml-trailers")
    columns = ["model", "data", "way", "valid NDCG@10", "test NDCG@10", "OOD NDCG@10", "mask AUC"]
    print(f"| {' | '.join([*columns, 'seconds', 'to 99 %'])} |")
    print("|---" * (len(columns) + 2) + "|")
    for model, dataset in product(arguments.models, arguments.datasets):
        data = (
            *_DATA[dataset],
            f"--data_path={embedded if dataset == EMBEDDED else arguments.data}",
        )
        plain: list[Result] = []
        for way, settings in WAYS[model].items():
            runs = []
            for seed in range(arguments.seeds):
                folder = arguments.output / _slug(f"{model} {dataset} {way} {seed}")
                run = cell(folder, (*_unless_given(data, settings), f"--seed={seed}"))
                if dataset == TRAILERS and "embedded" in run["edition"]:
                    raise SystemExit(
                        f"error: {arguments.data / dataset} is the embedded edition; give --data "
                        "with the real one (docs/reproduction.md)"
                    )
                runs.append(run)
            plain = plain or runs
            print(line(f"{model} | {dataset} | {way}", runs, plain), flush=True)


def _unless_given(data: tuple[str, ...], settings: tuple[str, ...]) -> tuple[str, ...]:
    """All settings; those of a way stand in place of the data's."""
    given = {word.partition("=")[0] for word in settings}
    return (*(word for word in data if word.partition("=")[0] not in given), *settings)


def line(name: str, runs: list[Result], plain: list[Result]) -> str:
    """A row: scores of every part over the seeds, seconds of a run and to nearly the plain best."""
    cells = [name]
    for parts in (("valid",), ("test", "iid"), ("ood",)):
        found = [run["metrics"][part]["ndcg@10"] for run in runs for part in parts
                 if part in run["metrics"]]  # fmt: skip
        cells.append(spread(found) if found else "")
    planted = [run.get("planted", {}) for run in runs]
    masks = [truth["mask"]["overall"]["auc"] for truth in planted if "mask" in truth]
    cells.append(spread(masks) if masks else "")
    cells.append(f"{np.mean([run['seconds'] for run in runs]):.0f}")
    goals = [_NEARLY * max(valid_scores(run)) for run in plain]
    arrivals = [seconds_to(goal, run) for goal, run in zip(goals, runs, strict=True)]
    arrived = [seconds for seconds in arrivals if seconds is not None]
    missing = f" ({len(arrived)} of {len(runs)})" if len(arrived) < len(runs) else ""
    cells.append(f"{np.mean(arrived):.0f}{missing}" if arrived else "not reached")
    return f"| {' | '.join(cells)} |"


def valid_scores(run: Result) -> list[float]:
    """Validation scores of the last stage, epoch by epoch."""
    name = run["valid_metric"].lower()
    return [entry["valid"][name] for entry in run["stages"][-1]["history"]]


def seconds_to(goal: float, run: Result) -> float | None:
    """Seconds until the last stage reached a validation score, or None.

    Stages before it count whole; within it every epoch counts alike.
    """
    *before, last = run["stages"]
    scores = valid_scores(run)
    epoch = next((n for n, score in enumerate(scores, 1) if score >= goal), None)
    if epoch is None:
        return None
    total = sum(float(stage["seconds"]) for stage in before)
    return total + float(last["seconds"]) * epoch / len(scores)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-")


if __name__ == "__main__":
    main()
