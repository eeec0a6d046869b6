"""Runs the methods behind docs/defaults.md over data seeds and prints its tables.

    python -m benchmarks.defaults --dataset planted --seeds 5 --output runs/defaults
    python -m benchmarks.defaults --dataset ml-trailers --seeds 5 --output runs/defaults

Every cell is one command of its own; a cell whose result.json exists is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import cell, spread
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.planted.embedded import generate_embedded

LITERAL = [
    "--gradient_normalization=none",
    "--mask_optimizer=sgd",
    "--mask_step_size=1e-3",
    "--mask_decay=1.0",
    "--mask_center=0.0",
    "--mask_epochs=40",
    "--projection_objective=weighted",
    "--projection_learning_rate=1e-3",
]
# Name in the table -> model and settings on top of the shipped defaults. Backbone, environments
# and final training are the same everywhere, or the mask would not be what differs.
METHODS: dict[str, list[str]] = {
    "UltraGCN, ids only": ["--model=UltraGCN", "--modalities=[]"],
    "UltraGCN with features": ["--model=UltraGCN"],
    "InvRL": ["--model=InvRL", "--oracle=False"],
    "Eq. 11, 17, 19 to the letter": ["--model=PaInvRL", "--oracle=False", *LITERAL],
    "PaInvRL": ["--model=PaInvRL"],
    "PaInvRL, true environments": [
        "--model=PaInvRL",
        "--oracle=False",
        "--known_environments=True",
    ],
}


def main() -> None:
    """Run what is missing, then print both tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", choices=["planted", "ml-trailers"], default="planted")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--output", type=Path, default=Path("runs/defaults"))
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.methods}
    for seed in range(arguments.seeds):
        data = arguments.output / f"data-{seed}"
        _data(arguments.dataset, seed, data / arguments.dataset)
        for name in arguments.methods:
            folder = arguments.output / f"{arguments.dataset}-{seed}-{_slug(name)}"
            settings = (f"--dataset={arguments.dataset}", f"--data_path={data}", f"--seed={seed}")
            results[name].append(cell(folder, (*METHODS[name], *settings)))
    print(_quality(results))
    print()
    print(_truth(results))


def _data(dataset: str, seed: int, folder: Path) -> None:
    if folder.is_dir():
        return
    planted = dataset == "planted"
    content = generate_planted(PlantedDesign(seed=seed)) if planted else generate_embedded(seed)
    write_dataset(content, folder)


def _quality(results: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        "| method | valid NDCG@10 | IID NDCG@10 | OOD NDCG@10 | seconds |",
        "|---|---|---|---|---|",
    ]
    rows = dict(results)
    for name, runs in rows.items():
        cells = [
            spread([run["metrics"][part]["ndcg@10"] for run in runs])
            for part in ("valid", "iid", "ood")
        ]
        seconds = f"{np.mean([run['seconds'] for run in runs]):.0f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds} |")
    oracle = [run["planted"]["oracle"] for run in rows.get("PaInvRL", [])]
    if oracle:
        cells = [spread([run[part]["ndcg@10"] for run in oracle]) for part in ("iid", "ood")]
        lines.append(f"| oracle mask | | {' | '.join(cells)} | |")
    return "\n".join(lines)


def _truth(results: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        "| method | mask AUC (shuffled) | mean mask, invariant | spurious "
        "| ARI (shuffled) | supervised ARI |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        planted = [run["planted"] for run in runs if "mask" in run.get("planted", {})]
        if not planted:
            continue
        overall = [part["mask"]["overall"] for part in planted]
        control = np.mean([mask["auc_shuffled"] for mask in overall])
        cells = [
            f"{spread([mask['auc'] for mask in overall])} ({control:.2f})",
            spread([m["mean_invariant"] for m in overall]),
            spread([m["mean_spurious"] for m in overall]),
        ]
        if "environment_ari" in planted[0]:
            found = [part["environment_ari"] for part in planted]
            shuffled = np.mean([part["environment_ari_shuffled"] for part in planted])
            cells.append(f"{spread(found)} ({shuffled:.2f})")
            cells.append(spread([part["environment_ari_supervised"] for part in planted]))
        else:
            cells += ["-", "-"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


if __name__ == "__main__":
    main()
