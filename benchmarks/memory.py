"""Runs every model once at the paper's sizes and prints its peak memory.

    python -m benchmarks.memory --pairs movielens_mmgcn_pairs.npz --output runs/memory

``movielens``: the interactions of ``--pairs`` (arrays of user and item numbers, all splits) with
random features of the paper's widths, 2,048 + 128 + 100 columns. ``tiktok``: planted interactions,
36,656 users x 76,085 items, 3 x 128 columns. One epoch per stage with large batches: memory is
what is measured here, and larger batches need more of it, not less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cells import cell
from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted

_STAGES = (
    "--backbone_epochs=1",
    "--environment_rounds=2",
    "--environment_restarts=1",
    "--mask_epochs=1",
    "--mask_batch_size=4096",
)
_GRAPH = ("--train_batch_size=200000",)
_TABLE = ("--train_batch_size=8192",)
MODELS: dict[str, tuple[str, ...]] = {
    "PaInvRL": (*_TABLE, *_STAGES),
    "InvRL": (*_TABLE, *_STAGES),
    "UltraGCN": _TABLE,
    "VBPR": _TABLE,
    # 200,000 triples at once need 6.2 GB; more steps would only take longer.
    "MMGCN": ("--train_batch_size=20000",),
    "MMSSL": (),
    "NGCF": _GRAPH,
    "LightGCN": _GRAPH,
    "BPR": _TABLE,
    "Pop": (),
}
# Size -> models whose memory there is promised, with the limit in GB.
SIZES = {
    "movielens": (tuple(MODELS), 6.0),
    "tiktok": (("UltraGCN", "InvRL", "PaInvRL", "MMSSL"), 8.0),
}


def main() -> None:
    """Make the data, run what is missing, print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/memory"))
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    print("| size | model | peak memory, GB | limit, GB | seconds |\n|---|---|---|---|---|")
    for size in arguments.sizes:
        models, limit = SIZES[size]
        data = arguments.output / "data"
        if not (data / size).is_dir():
            content = movielens(arguments.pairs) if size == "movielens" else tiktok()
            write_dataset(content, data / size)
        for model in models:
            if model not in arguments.models:
                continue
            where = (f"--dataset={size}", f"--data_path={data}")
            settings = (f"--model={model}", *where, "--epochs=1", *MODELS[model])
            result = cell(arguments.output / f"{size}-{model.lower()}", settings)
            peak = result["peak_memory_mb"] / 1024
            print(f"| {size} | {model} | {peak:.2f} | {limit:g} | {result['seconds']:.0f} |")


def movielens(pairs: Path) -> DatasetContent:
    """Real interactions of the paper's size with random features of its widths."""
    with np.load(pairs, allow_pickle=False) as arrays:
        table = np.concatenate([arrays[name] for name in arrays.files])
    frame = pd.DataFrame(np.unique(table, axis=0).astype(str), columns=["user_id", "item_id"])
    items = sorted(frame["item_id"].unique())
    rng = np.random.default_rng(0)
    widths = {"visual": 2048, "acoustic": 128, "textual": 100}
    features = {
        name: (rng.normal(size=(len(items), width)).astype(np.float32), items)
        for name, width in widths.items()
    }
    return DatasetContent(
        "movielens", "random features", str(pairs.name), "none", frame, features=features
    )


def tiktok() -> DatasetContent:
    """Planted interactions and features of the paper's Tiktok size."""
    design = PlantedDesign(
        n_users=36_656,
        n_items=76_085,
        min_interactions=15,
        max_interactions=25,
        modalities={"visual": 128, "acoustic": 128, "textual": 128},
    )
    return generate_planted(design, "tiktok")


if __name__ == "__main__":
    main()
