"""Quality over seeds: of the fast paths beside the exact ones, and of the methods by default.

    python -m benchmarks.quality paths --data dataset --models BPR --datasets tiktok
    python -m benchmarks.quality methods --datasets planted --seeds 5

``paths`` needs ``ml-trailers`` (films of MovieLens-1M) and ``tiktok`` below ``--data``, made by
dataset_prep (docs/reproduction.md says how). ``methods`` prints the tables of docs/defaults.md, on
data drawn anew for every seed. Every run is a command of its own; what is complete is not run
again.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Result, command_line, finished_run, head, row, slug, spread
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.planted.embedded import generate_embedded

EMBEDDED, PLANTED, TRAILERS, TIKTOK = "embedded", "planted", "ml-trailers", "tiktok"
_DATA = {
    EMBEDDED: "--dataset=ml-trailers",
    PLANTED: "--dataset=planted",
    TRAILERS: "--dataset=ml-trailers --modalities=[visual,acoustic,textual]",
    TIKTOK: "--dataset=tiktok",
}
# Fraction of the plain variant's best validation score that counts as reached.
_NEARLY = 0.99

_PER_POSITIVE = "--negative_sampling=per_positive --n_negatives=50"
_BPR = "--model=BPR --modalities=[] --stopping_step=5 --learning_rate=3e-3"
_LIGHTGCN = (
    "--model=LightGCN --modalities=[] --n_layers=2 --stopping_step=5 --train_batch_size=8192 "
    "--learning_rate=4e-3"
)
_ULTRAGCN = "--model=UltraGCN --stopping_step=5"
_PAINVRL = "--model=PaInvRL --oracle=False"
# Model -> variant -> settings; the first variant is the plain one.
WAYS = {
    "UltraGCN": {
        "50 draws per positive": f"{_ULTRAGCN} {_PER_POSITIVE}",
        "shared negatives (default)": _ULTRAGCN,
        "shared negatives, large batches": f"{_ULTRAGCN} --preset=large",
    },
    "PaInvRL": {
        "50 draws per positive": f"{_PAINVRL} {_PER_POSITIVE} --mask_negatives=50",
        "shared negatives (default)": _PAINVRL,
        "shared negatives, large batches": f"{_PAINVRL} --preset=large",
        "shared negatives, full environment models": f"{_PAINVRL} --environment_model=full",
    },
    "BPR": {"RecBole's loader": f"{_BPR} --fast_loader=False", "fast loader (default)": _BPR},
    "LightGCN": {
        "RecBole's loader": f"{_LIGHTGCN} --fast_loader=False",
        "fast loader (default)": _LIGHTGCN,
    },
}
# Backbone, environments and final training are the same in all methods; only the mask differs.
METHODS = {
    "UltraGCN, ID-only": "--model=UltraGCN --modalities=[]",
    "UltraGCN with features": "--model=UltraGCN",
    "InvRL": "--model=InvRL --oracle=False",
    "Eq. 11, 17, 19 as printed": (
        f"{_PAINVRL} --gradient_normalization=none --mask_optimizer=sgd --mask_step_size=1e-3 "
        "--mask_decay=1.0 --mask_center=0.0 --mask_epochs=40 --projection_objective=weighted "
        "--projection_learning_rate=1e-3"
    ),
    "PaInvRL": "--model=PaInvRL",
    "PaInvRL, true environments": f"{_PAINVRL} --known_environments=True",
}


def main() -> None:
    """Run what is missing, then print the tables as Markdown."""
    parser = command_line(__doc__)
    parser.add_argument("what", choices=["paths", "methods"])
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/quality"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--datasets", nargs="+", choices=list(_DATA))
    given = parser.parse_args()
    if given.what == "paths":
        paths(given, given.datasets or [EMBEDDED, TRAILERS, TIKTOK])
    else:
        for dataset in given.datasets or [PLANTED]:
            print(methods(given, dataset), flush=True)


def paths(given: argparse.Namespace, datasets: list[str]) -> None:
    """Print a row for each model, dataset and variant, as soon as its runs are complete."""
    columns = ("valid NDCG@10", "test NDCG@10", "OOD NDCG@10", "mask AUC", "seconds", "to 99 %")
    print(head("model", "data", "way", *columns))
    for model, dataset in product(given.models, datasets):
        plain: list[Result] = []
        for way, settings in WAYS[model].items():
            runs = []
            for seed in range(given.seeds):
                data = _drawn(dataset, 0, given.output) if dataset == EMBEDDED else given.data
                words = (*_unless_given(_DATA[dataset].split(), settings.split()),)
                folder = given.output / slug(f"{model} {dataset} {way} {seed}")
                run = finished_run(folder, (*words, f"--data_path={data}", f"--seed={seed}"))
                if dataset == TRAILERS and "embedded" in run["edition"]:
                    raise SystemExit(
                        f"error: {given.data / dataset} is the embedded variant; give --data "
                        "with the real one (docs/reproduction.md)"
                    )
                runs.append(run)
            plain = plain or runs
            print(path_row((model, dataset, way), runs, plain), flush=True)


def _drawn(dataset: str, seed: int, output: Path) -> Path:
    """Folder of dataset folders with generated data of a seed, written if it is absent."""
    name = "planted" if dataset == PLANTED else "ml-trailers"
    folder = output / f"data-{seed}"
    if not (folder / name).is_dir():
        planted = dataset == PLANTED
        content = generate_planted(PlantedDesign(seed=seed)) if planted else generate_embedded(seed)
        write_dataset(content, folder / name)
    return folder


def _unless_given(data: list[str], settings: list[str]) -> list[str]:
    """All settings; those of a way replace the data's."""
    given = {word.partition("=")[0] for word in settings}
    return [*(word for word in data if word.partition("=")[0] not in given), *settings]


def path_row(names: tuple[str, ...], runs: list[Result], plain: list[Result]) -> str:
    """Scores of every split over the seeds, seconds of a run and to nearly the plain best."""
    masks = [run["planted"]["mask"]["overall"]["auc"] for run in runs
             if "mask" in run.get("planted", {})]  # fmt: skip
    goals = [_NEARLY * max(valid_scores(run)) for run in plain]
    arrivals = [seconds_to(goal, run) for goal, run in zip(goals, runs, strict=True)]
    arrived = [seconds for seconds in arrivals if seconds is not None]
    missing = f" ({len(arrived)} of {len(runs)})" if len(arrived) < len(runs) else ""
    arrival = f"{np.mean(arrived):.0f}{missing}" if arrived else "not reached"
    return row(*names, *_scores(runs), spread(masks), _seconds(runs), arrival)


def _scores(runs: list[Result]) -> list[str]:
    """NDCG@10 in distribution and out of it."""
    splits = (("valid",), ("test", "iid"), ("ood",))
    return [
        spread([run["metrics"][name]["ndcg@10"] for run in runs for name in names
                if name in run["metrics"]])
        for names in splits
    ]  # fmt: skip


def _seconds(runs: list[Result]) -> str:
    return f"{np.mean([run['seconds'] for run in runs]):.0f}"


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


def methods(given: argparse.Namespace, dataset: str) -> str:
    """Both tables of a dataset: scores, and what is known of masks and environments."""
    runs: dict[str, list[Result]] = {name: [] for name in given.methods}
    for seed, name in product(range(given.seeds), given.methods):
        where = (_DATA[dataset], f"--data_path={_drawn(dataset, seed, given.output)}")
        settings = (*METHODS[name].split(), *where, f"--seed={seed}")
        folder = given.output / slug(f"{dataset} {seed} {name}")
        runs[name].append(finished_run(folder, settings))
    lines = [head("method", "valid NDCG@10", "IID NDCG@10", "OOD NDCG@10", "seconds")]
    lines += [row(name, *_scores(found), _seconds(found)) for name, found in runs.items()]
    oracle = [{"metrics": run["planted"]["oracle"]} for run in runs.get("PaInvRL", [])]
    if oracle:
        lines.append(row("oracle mask", *_scores(oracle), ""))
    columns = ("mask AUC (shuffled)", "mean mask, invariant", "spurious")
    lines += ["", head("method", *columns, "ARI (shuffled)", "supervised ARI")]
    for name, found in runs.items():
        planted = [run["planted"] for run in found if "mask" in run.get("planted", {})]
        if planted:
            lines.append(row(name, *_truth(planted)))
    return "\n".join(lines)


def _truth(planted: list[dict[str, Any]]) -> list[str]:
    """Masks and environments against the planted ones."""

    def control(values: list[Any], shuffled: list[Any]) -> str:
        return f"{spread(values)} ({np.mean(shuffled):.2f})"

    masks = [truth["mask"]["overall"] for truth in planted]
    cells = [control([mask["auc"] for mask in masks], [mask["auc_shuffled"] for mask in masks])]
    cells += [
        spread([mask[f"mean_{kind}"] for mask in masks]) for kind in ("invariant", "spurious")
    ]
    if "environment_ari" not in planted[0]:
        return [*cells, "-", "-"]
    ari, shuffled, supervised = (
        [truth[f"environment_ari{suffix}"] for truth in planted]
        for suffix in ("", "_shuffled", "_supervised")
    )
    return [*cells, control(ari, shuffled), spread(supervised)]


if __name__ == "__main__":
    main()
