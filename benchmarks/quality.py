"""Quality of the fast paths beside the exact ones, over seeds, and how long each takes.

    python -m benchmarks.quality --data dataset --output runs/quality --seeds 3
    python -m benchmarks.quality --data dataset --paths "pool of negatives" --datasets tiktok

A path is a pair of commands that differ in one thing. ``--data`` holds ``ml-trailers`` (films of
MovieLens-1M) and ``tiktok``, made by dataset_prep (docs/reproduction.md says how); the embedded
edition is made here. Every run is a command of its own; what is complete is not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.cells import Result, cell, spread
from recbole_painvrl.data.embedded import generate_embedded
from recbole_painvrl.data.folder import write_dataset

EMBEDDED, TRAILERS, TIKTOK = "embedded", "ml-trailers", "tiktok"
# Share of the best validation score at which a run has practically arrived.
_NEARLY = 0.99


@dataclass(frozen=True)
class FastPath:
    """Two ways to run the same model.

    Attributes:
        name: what makes the difference.
        model: settings of both.
        exact: settings of the plain way alone.
        fast: settings of the fast way alone; nothing where it is the default.
        datasets: where it is compared.
    """

    name: str
    model: tuple[str, ...]
    exact: tuple[str, ...]
    fast: tuple[str, ...] = ()
    datasets: tuple[str, ...] = (EMBEDDED, TRAILERS, TIKTOK)


_PER_POSITIVE = ("--negative_sampling=per_positive", "--n_negatives=50")
_ULTRAGCN = ("--model=UltraGCN", "--stopping_step=5")
_PAINVRL = ("--model=PaInvRL", "--oracle=False")
PATHS = (
    FastPath("pool of negatives", _ULTRAGCN, _PER_POSITIVE),
    FastPath("large batches", _ULTRAGCN, (), ("--preset=large", "--stopping_step=5")),
    FastPath(
        "pool of negatives, all stages",
        _PAINVRL,
        (*_PER_POSITIVE, "--mask_negatives=50"),
        datasets=(EMBEDDED,),
    ),
    FastPath("large batches, all stages", _PAINVRL, (), ("--preset=large",), datasets=(EMBEDDED,)),
    FastPath(
        "fast loader",
        ("--model=BPR", "--modalities=[]", "--stopping_step=5", "--learning_rate=3e-3"),
        ("--fast_loader=False",),
    ),
)
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
    names = [path.name for path in PATHS]
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/quality"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--paths", nargs="+", choices=names, default=names)
    parser.add_argument("--datasets", nargs="+", choices=list(_DATA), default=list(_DATA))
    arguments = parser.parse_args()
    embedded = arguments.output / "data"
    if EMBEDDED in arguments.datasets and not (embedded / "ml-trailers").is_dir():
        write_dataset(generate_embedded(), embedded / "ml-trailers")
    print("| path | data | way | valid NDCG@10 | test NDCG@10 | OOD NDCG@10 | seconds | to 99 % |")
    print("|---|---|---|---|---|---|---|---|")
    for path in PATHS:
        for dataset in path.datasets:
            if path.name not in arguments.paths or dataset not in arguments.datasets:
                continue
            root = embedded if dataset == EMBEDDED else arguments.data
            ways = {"exact": path.exact, "fast": path.fast}
            for way, settings in ways.items():
                runs = [
                    cell(
                        arguments.output / _slug(f"{path.name} {dataset} {way} {seed}"),
                        _settings(path, dataset, settings, root, seed),
                    )
                    for seed in range(arguments.seeds)
                ]
                print(line(f"{path.name} | {dataset} | {way}", runs), flush=True)


def _settings(
    path: FastPath, dataset: str, own: tuple[str, ...], root: Path, seed: int
) -> tuple[str, ...]:
    data = list(_DATA[dataset])
    if "--modalities=[]" in path.model:
        data = [word for word in data if not word.startswith("--modalities")]
    return (*path.model, *own, *data, f"--data_path={root}", f"--seed={seed}")


def line(name: str, runs: list[Result]) -> str:
    """A row: scores of every part over the seeds, seconds of a run and to nearly its best."""
    cells = [name]
    for parts in (("valid",), ("test", "iid"), ("ood",)):
        found = [run["metrics"][part]["ndcg@10"] for run in runs for part in parts
                 if part in run["metrics"]]  # fmt: skip
        cells.append(spread(found) if found else "")
    cells.append(f"{np.mean([run['seconds'] for run in runs]):.0f}")
    cells.append(f"{np.mean([seconds_to_nearly_best(run) for run in runs]):.0f}")
    return f"| {' | '.join(cells)} |"


def seconds_to_nearly_best(run: Result) -> float:
    """Seconds until the last stage reached 99 % of its best validation score.

    Stages before it count whole; within it every epoch counts alike.
    """
    *before, last = run["stages"]
    name = run["valid_metric"].lower()
    scores = [entry["valid"][name] for entry in last["history"]]
    epoch = 1 + next(n for n, score in enumerate(scores) if score >= _NEARLY * max(scores))
    total = sum(float(stage["seconds"]) for stage in before)
    return total + float(last["seconds"]) * epoch / len(scores)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-")


if __name__ == "__main__":
    main()
