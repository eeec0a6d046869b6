"""Metrics over seeds: the fast variants beside the exact ones, and the methods with defaults.

    python -m benchmarks.quality paths --data dataset --models BPR --datasets tiktok
    python -m benchmarks.quality methods --datasets planted --seeds 5

``paths`` needs ``ml-trailers`` (films of MovieLens-1M) and ``tiktok`` in ``--data``, made by
dataset_prep (see docs/reproduction.md). ``methods`` prints the tables of docs/defaults.md; every
seed has its own generated data. Complete runs are not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    Result,
    command_line,
    finished_run,
    print_table,
    replaced,
    slug,
    spread,
)
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
# Two datasets have the same name; the tables say which variant is meant.
_SHOWN = {EMBEDDED: "ml-trailers, embedded variant", TRAILERS: "ml-trailers, real features"}
# Fraction of the best validation score of the first variant that the last column waits for.
_NEARLY = 0.99

_PER_POSITIVE = "--negative_sampling=per_positive --n_negatives=50"
_BPR = "--model=BPR --modalities=[] --stopping_step=5 --learning_rate=3e-3"
_LIGHTGCN = (
    "--model=LightGCN --modalities=[] --n_layers=2 --stopping_step=5 --train_batch_size=8192 "
    "--learning_rate=4e-3"
)
_ULTRAGCN = "--model=UltraGCN --stopping_step=5"
_PAINVRL = "--model=PaInvRL --oracle=False --mask_form=soft"
# Model -> variant -> settings; the first variant is the exact one.
VARIANTS = {
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
# The runs of this method also train the final model with the planted mask.
_SOFT = "PaInvRL, soft mask (the paper)"
# Backbone, environments and final training are the same in all methods; the mask differs. Without
# `mask_form` PaInvRL trains the final model with three masks and keeps one.
METHODS = {
    "UltraGCN, ID-only": "--model=UltraGCN --modalities=[]",
    "UltraGCN with features": "--model=UltraGCN",
    "InvRL": "--model=InvRL --oracle=False",
    "Eq. 11, 17, 19 as printed": (
        f"{_PAINVRL} --gradient_normalization=none --mask_optimizer=sgd --mask_step_size=1e-3 "
        "--mask_decay=1.0 --mask_center=0.0 --mask_epochs=40 --projection_objective=weighted "
        "--projection_learning_rate=1e-3"
    ),
    _SOFT: "--model=PaInvRL --mask_form=soft",
    "PaInvRL": "--model=PaInvRL --oracle=False",
    "PaInvRL, true environments": "--model=PaInvRL --oracle=False --known_environments=True",
}


def main() -> None:
    """Run what is missing, then print the tables as Markdown."""
    parser = command_line(__doc__)
    parser.add_argument("what", choices=["paths", "methods"])
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/quality"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--datasets", nargs="+", choices=list(_DATA))
    given = parser.parse_args()
    if given.what == "paths":
        scores = ("valid NDCG@10", "test NDCG@10", "OOD NDCG@10")
        columns = ("model", "data", "variant", *scores, "mask AUC", "seconds", "to 99 %")
        print_table(columns, variants(given, given.datasets or [EMBEDDED, TRAILERS, TIKTOK]))
        return
    for dataset in given.datasets or [PLANTED]:
        found = {name: _method_runs(given, dataset, name) for name in given.methods}
        scores = ("valid NDCG@10", "IID NDCG@10", "OOD NDCG@10")
        print_table(("method", *scores, "seconds"), method_rows(found))
        print()
        truth = ("mask AUC (shuffled)", "mean mask, invariant", "spurious", "ARI (shuffled)")
        print_table(("method", *truth, "supervised ARI"), truth_rows(found))


def variants(given: argparse.Namespace, datasets: list[str]) -> Iterator[tuple[str, ...]]:
    """A row for each model, dataset and variant."""
    for model, dataset in product(given.models, datasets):
        exact: list[Result] = []
        data = generated(dataset, 0, given.output) if dataset == EMBEDDED else given.data
        for variant, settings in VARIANTS[model].items():
            runs = []
            for seed in range(given.seeds):
                words = replaced(_DATA[dataset].split(), settings.split())
                folder = given.output / slug(f"{model} {dataset} {variant} {seed}")
                run = finished_run(folder, [*words, f"--data_path={data}", f"--seed={seed}"])
                if dataset == TRAILERS and "embedded" in run["edition"]:
                    raise SystemExit(
                        f"error: {given.data / dataset} has planted features; give --data with "
                        "the real ones (docs/reproduction.md)"
                    )
                runs.append(run)
            exact = exact or runs
            yield (model, _SHOWN.get(dataset, dataset), variant, *variant_cells(runs, exact))


def generated(dataset: str, seed: int, output: Path) -> Path:
    """Folder with the generated data of a seed, written if it is missing."""
    name = "planted" if dataset == PLANTED else "ml-trailers"
    folder = output / f"data-{seed}"
    if not (folder / name).is_dir():
        planted = dataset == PLANTED
        content = generate_planted(PlantedDesign(seed=seed)) if planted else generate_embedded(seed)
        write_dataset(content, folder / name)
    return folder


def variant_cells(runs: list[Result], exact: list[Result]) -> tuple[str, ...]:
    """Metrics over the seeds, seconds, and seconds to 99 % of the exact variant's best score."""
    masks = [truth["mask"]["overall"]["auc"] for truth in _planted_masks(runs)]
    goals = [_NEARLY * max(valid_scores(run)) for run in exact]
    times = [seconds_to(goal, run) for goal, run in zip(goals, runs, strict=True)]
    reached = [seconds for seconds in times if seconds is not None]
    missing = f" ({len(reached)} of {len(runs)})" if len(reached) < len(runs) else ""
    last = f"{np.mean(reached):.0f}{missing}" if reached else "not reached"
    return (*_scores([run["metrics"] for run in runs]), spread(masks), _seconds(runs), last)


def _scores(metrics: list[dict[str, Any]]) -> list[str]:
    """NDCG@10 over the seeds on the validation, the test and the OOD split."""
    return [
        spread([one[name]["ndcg@10"] for one in metrics for name in names if name in one])
        for names in (("valid",), ("test", "iid"), ("ood",))
    ]


def _seconds(runs: list[Result]) -> str:
    return f"{np.mean([run['seconds'] for run in runs]):.0f}"


def _planted_masks(runs: list[Result]) -> list[dict[str, Any]]:
    """Scores against the planted truth of the runs with a mask."""
    return [run["planted"] for run in runs if "mask" in run.get("planted", {})]


def valid_scores(run: Result) -> list[float]:
    """Validation score of every epoch of the last stage."""
    name = run["valid_metric"].lower()
    return [entry["valid"][name] for entry in run["stages"][-1]["history"]]


def seconds_to(goal: float, run: Result) -> float | None:
    """Seconds until the last stage reached a validation score, or None.

    Earlier stages count in full; within the last one every epoch takes the same time.
    """
    *before, last = run["stages"]
    scores = valid_scores(run)
    epoch = next((n for n, score in enumerate(scores, 1) if score >= goal), None)
    if epoch is None:
        return None
    total = sum(float(stage["seconds"]) for stage in before)
    return total + float(last["seconds"]) * epoch / len(scores)


def _method_runs(given: argparse.Namespace, dataset: str, name: str) -> list[Result]:
    """Results of a method, one per seed."""
    found = []
    for seed in range(given.seeds):
        data = generated(dataset, seed, given.output)
        words = (_DATA[dataset], f"--data_path={data}", f"--seed={seed}")
        folder = given.output / slug(f"{dataset} {seed} {name}")
        found.append(finished_run(folder, (*METHODS[name].split(), *words)))
    return found


def method_rows(found: dict[str, list[Result]]) -> Iterator[Sequence[str]]:
    """Metrics and seconds of every method, and of the planted mask itself."""
    for name, runs in found.items():
        yield name, *_scores([run["metrics"] for run in runs]), _seconds(runs)
    oracle = [run["planted"]["oracle"] for run in found.get(_SOFT, [])]
    if oracle:
        yield "oracle mask", *_scores(oracle), ""


def truth_rows(found: dict[str, list[Result]]) -> Iterator[Sequence[str]]:
    """Masks and environments of every method against the planted ones."""

    def pair(values: list[Any], shuffled: list[Any]) -> str:
        return f"{spread(values)} ({np.mean(shuffled):.2f})"

    for name, runs in found.items():
        planted = _planted_masks(runs)
        if not planted:
            continue
        masks = [truth["mask"]["overall"] for truth in planted]
        columns = ("auc", "auc_shuffled", "mean_invariant", "mean_spurious")
        auc, *means = ([mask[column] for mask in masks] for column in columns)
        cells = [pair(auc, means[0]), *map(spread, means[1:])]
        if "environment_ari" in planted[0]:
            ari, shuffled, supervised = (
                [truth[f"environment_ari{suffix}"] for truth in planted]
                for suffix in ("", "_shuffled", "_supervised")
            )
            cells += [pair(ari, shuffled), spread(supervised)]
        yield name, *cells, *["-"] * (5 - len(cells))


if __name__ == "__main__":
    main()
