"""Runs every model once at the paper's sizes and prints its peak memory.

    python -m benchmarks.memory --pairs movielens_mmgcn_pairs.npz --output runs/memory

``movielens``: the interactions of ``--pairs`` (arrays of user and item numbers, all splits) with
planted features of the paper's widths, 2,048 + 128 + 100 columns. ``tiktok``: planted interactions,
36,656 users x 76,085 items, 3 x 128 columns. One epoch per stage with large batches: memory is
what is measured here, and larger batches need more of it, not less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cells import cell
from benchmarks.paper_data import PAIRS_HELP, paper_dataset

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
# A quarter of the steps that an epoch has with batches of 1,024 users.
_FURTHER = {(size, "MMSSL"): ("--train_batch_size=4096",) for size in ("movielens", "tiktok")}
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
    parser.add_argument("--pairs", type=Path, default=None, help=PAIRS_HELP)
    parser.add_argument("--output", type=Path, default=Path("runs/memory"))
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    print("| size | model | peak memory, GB | limit, GB | seconds |\n|---|---|---|---|---|")
    for size in arguments.sizes:
        models, limit = SIZES[size]
        data = arguments.output / "data"
        paper_dataset(size, arguments.pairs, data)
        for model in models:
            if model not in arguments.models:
                continue
            where = (f"--dataset={size}", f"--data_path={data}")
            own = (*MODELS[model], *_FURTHER.get((size, model), ()))
            settings = (f"--model={model}", *where, "--epochs=1", *own)
            result = cell(arguments.output / f"{size}-{model.lower()}", settings)
            peak = result["peak_memory_mb"] / 1024
            print(f"| {size} | {model} | {peak:.2f} | {limit:g} | {result['seconds']:.0f} |")


if __name__ == "__main__":
    main()
