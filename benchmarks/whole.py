"""Runs all of PaInvRL at the paper's sizes, every stage to its own end, and prints time and memory.

    python -m benchmarks.whole --pairs movielens_mmgcn_pairs.npz --output runs/whole
    python -m benchmarks.whole --sizes tiktok

``movielens``: the interactions of ``--pairs`` with planted features, 55,485 x 5,986 and 2,276
columns. ``tiktok``: planted, 36,656 x 76,085 and 384 columns. The commands are those of a user,
with ``--preset=large``. What is complete is not run again, what was interrupted goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cells import Result, cell
from benchmarks.paper_data import PAIRS_HELP, paper_dataset

# Size -> most hours and GB that a whole run may take.
TARGETS = {"movielens": (3.0, 6.0), "tiktok": (4.0, 8.0)}
_SETTINGS = ("--model=PaInvRL", "--preset=large", "--oracle=False", "--profile=True")


def main() -> None:
    """Make the data, run what is missing, print a table per size as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, default=None, help=PAIRS_HELP)
    parser.add_argument("--output", type=Path, default=Path("runs/whole"))
    parser.add_argument("--sizes", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    data = arguments.output / "data"
    for size in arguments.sizes:
        paper_dataset(size, arguments.pairs, data)
        where = (f"--dataset={size}", f"--data_path={data}", f"--n_threads={arguments.threads}")
        print(table(size, cell(arguments.output / f"{size}-painvrl", (*_SETTINGS, *where))))


def table(size: str, result: Result) -> str:
    """Epochs, seconds and peak memory of every stage, and the whole run against its target."""
    lines = [
        f"| {size} | epochs or rounds | best epoch | minutes | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for stage in result["stages"]:
        epochs = stage.get("epochs", stage.get("rounds"))
        cells = [stage["name"], str(epochs), str(stage.get("best_epoch", ""))]
        cells += [f"{stage['seconds'] / 60:.1f}", f"{stage['peak_memory_mb'] / 1024:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    hours, memory = TARGETS[size]
    seconds, peak = result["seconds"], result["peak_memory_mb"] / 1024
    lines.append(
        f"| whole run (target: {hours * 60:g} minutes, {memory:g} GB) | | "
        f"| {seconds / 60:.1f} | {peak:.2f} |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
