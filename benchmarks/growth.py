"""Plots how time and memory grow with interactions, items, columns and environments.

    python -m benchmarks.growth --output runs/growth            up to the sizes of Movielens
    python -m benchmarks.growth --quick --output runs/growth    small sizes, a minute

One size at a time is doubled up to the paper's, while the others are fixed at the paper's; the
number of environments ends at 10. Each combination is measured in its own process: an epoch of the
final model, of the environment models and of the mask stage (extrapolated from a few steps), the
evaluation of 2,000 users, and the peak memory. Writes growth.csv and growth.png and prints the
exponent of each curve between its two largest sizes (1 is linear, 0 is constant).
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model

from benchmarks.common import alternately, command_line, table
from benchmarks.steps import (
    SHAPES,
    RandomData,
    Shape,
    environment_steps,
    mask_steps,
    recommender_steps,
    settings,
)
from recbole_painvrl.evaluation.collector import top_hits
from recbole_painvrl.training.stage_log import peak_memory_mb

SIZES = ("interactions", "items", "columns", "environments")
MEASURED = ("final epoch", "environment epoch", "mask epoch", "evaluation", "peak memory")
_EVALUATED = 2_000
_BATCH = 4_096


def main(argv: list[str] | None = None) -> None:
    """Measure every size of every curve, write the files, print the table."""
    parser = command_line(__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/growth"))
    parser.add_argument("--shape", choices=list(SHAPES), default="movielens")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the sizes")
    parser.add_argument("--doublings", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args(argv)
    sys.argv = sys.argv[:1]
    shape = SHAPES[arguments.shape].quick() if arguments.quick else SHAPES[arguments.shape]
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = []
    # A new process for every measurement, whose peak memory is then its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in SIZES:
            for halvings in reversed(range(arguments.doublings + 1)):
                fraction = 0.5**halvings
                values = pool.apply(measure, (resized(shape, name, fraction), arguments.repeats))
                found.append({"size": name, "fraction": fraction, **values})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    frame = pd.DataFrame(found)
    frame.to_csv(arguments.output / "growth.csv", index=False)
    draw(frame, arguments.output / "growth.png")
    print(exponents(frame))


def resized(shape: Shape, name: str, fraction: float) -> Shape:
    """The shape with one of its sizes reduced to a fraction."""
    if name == "columns":
        return replace(shape, columns=tuple(max(1, round(fraction * n)) for n in shape.columns))
    # The smallest interactions and items that still make a dataset.
    least = {"interactions": 2, "items": 20, "environments": 1}[name]
    size = max(least, round(fraction * getattr(shape, f"n_{name}")))
    return replace(shape, **{f"n_{name}": size})


def measure(shape: Shape, repeats: int) -> dict[str, float]:
    """Seconds of an epoch of each stage and of an evaluation, and peak memory in MB."""
    torch.set_num_threads(1)
    data = RandomData(shape)
    n = len(data.users)
    batch = min(_BATCH, n)
    epochs = {
        "final epoch": recommender_steps(data, {"ours": batch})["ours"],
        "environment epoch": environment_steps(data)["content"],
        "mask epoch": mask_steps(data, True)["shared negatives"],
    }
    steps = {name: step for name, (step, _) in epochs.items()}
    seconds = alternately({**steps, "evaluation": _evaluation(data)}, repeats)
    return {
        **{name: seconds[name] * n / n_rows for name, (_, n_rows) in epochs.items()},
        "evaluation": seconds["evaluation"],
        "peak memory": peak_memory_mb(),
    }


def _evaluation(data: RandomData) -> Callable[[], object]:
    """Scores, top ten items and hits, in blocks of the default number of scores."""
    config = settings("PaInvRL", data.device)
    model: Any = get_model("PaInvRL")(config, data)
    model.eval()
    users = torch.arange(1, min(_EVALUATED, data.shape.n_users) + 1)
    size = max(1, int(config["eval_batch_size"]) // data.num("item_id"))

    @torch.no_grad()
    def step() -> None:
        for block in users.split(size):
            scores = model.full_sort_predict(Interaction({"user_id": block})).view(len(block), -1)
            top = scores.topk(10).indices
            rows = torch.arange(len(block))
            top_hits(top, rows, torch.ones_like(rows), scores.shape[1])

    return step


def exponents(frame: pd.DataFrame) -> str:
    """Markdown table of the exponent of every curve between its two largest sizes."""
    rows = []
    for name, curve in frame.groupby("size", sort=False):
        last, largest = curve.sort_values("fraction").tail(2).to_dict("records")
        steps = math.log(largest["fraction"] / last["fraction"])
        ratios = (math.log(largest[key] / last[key]) / steps for key in MEASURED)
        rows.append((name, *(f"{ratio:.2f}" for ratio in ratios)))
    return table(("doubled", *MEASURED), rows)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """One panel per measure, one curve per size, both axes logarithmic."""
    from recbole_painvrl.report.plots.curves import blank

    figure = blank(3.2 * len(MEASURED), 3.2)
    axes = figure.subplots(1, len(MEASURED))
    for panel, key in zip(axes, MEASURED, strict=True):
        for name, curve in frame.groupby("size", sort=False):
            panel.plot(curve["fraction"], curve[key], marker="o", label=str(name))
        smallest, top = frame["fraction"].min(), frame[key].max()
        panel.plot([smallest, 1], [top * smallest, top], "k:", linewidth=1, label="linear")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_title(f"{key}, {'MB' if key == 'peak memory' else 's'}", fontsize=9)
        panel.set_xlabel("fraction of the full size", fontsize=8)
        panel.tick_params(labelsize=7)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
