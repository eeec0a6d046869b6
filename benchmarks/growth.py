"""Draws how time and memory grow with interactions, items, columns and environments.

    python -m benchmarks.growth --output runs/growth            up to the sizes of Movielens
    python -m benchmarks.growth --quick --output runs/growth    small sizes, a minute

One size at a time is doubled up to the paper's, the others stay at theirs; for environments the
largest number is the paper's 10. What is measured, each in a process of its own: an epoch of the
final model, an epoch of the environment models, an epoch of the mask stage (all from some of their
steps), the evaluation of 2,000 users, and the peak memory of them all. Writes growth.csv and
growth.png; the printed table has the exponent of each curve between its two largest sizes, where
1 is linear and 0 is "does not grow".
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model

from benchmarks.shapes import SHAPES, RandomData, Shape, settings
from benchmarks.stages import environment_steps, mask_steps, recommender_steps
from benchmarks.timing import alternately
from recbole_painvrl.evaluation.collector import top_hits

SIZES: dict[str, Callable[[Shape, float], Shape]] = {
    "interactions": lambda shape, share: replace(
        shape, n_interactions=max(2, round(share * shape.n_interactions))
    ),
    "items": lambda shape, share: replace(shape, n_items=max(20, round(share * shape.n_items))),
    "columns": lambda shape, share: replace(
        shape, columns=tuple(max(1, round(share * width)) for width in shape.columns)
    ),
    "environments": lambda shape, share: replace(
        shape, n_environments=max(1, round(share * shape.n_environments))
    ),
}
MEASURED = ("final epoch", "environment epoch", "mask epoch", "evaluation", "peak memory")
_EVALUATED = 2_000
_BATCH = 4_096


def main(argv: list[str] | None = None) -> None:
    """Measure every size of every curve, write the files, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/growth"))
    parser.add_argument("--shape", choices=list(SHAPES), default="movielens")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the sizes")
    parser.add_argument("--doublings", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    sys.argv = sys.argv[:1]
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(measure(_shape(json.loads(arguments.one)), arguments.repeats)))
        return
    shape = SHAPES[arguments.shape].quick() if arguments.quick else SHAPES[arguments.shape]
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = []
    for name, resized in SIZES.items():
        for doubling in range(arguments.doublings + 1):
            share = 0.5 ** (arguments.doublings - doubling)
            values = _elsewhere(resized(shape, share), arguments.repeats)
            found.append({"size": name, "share": share, **values})
            print(found[-1], file=sys.stderr, flush=True)
    frame = pd.DataFrame(found)
    frame.to_csv(arguments.output / "growth.csv", index=False)
    draw(frame, arguments.output / "growth.png")
    print(exponents(frame))


def measure(shape: Shape, repeats: int) -> dict[str, float]:
    """Seconds of an epoch of each stage and of an evaluation, and peak memory in MB."""
    data = RandomData(shape)
    n = len(data.users)
    batch = min(_BATCH, n)
    step = recommender_steps(data, {"ours": batch})["ours"][0]
    environments, n_rows = environment_steps(data)["content"]
    # One joint step takes a batch from every environment; an epoch is over with the largest.
    joint = mask_steps(data, True)["shared pool"]
    joint_rows = shape.batch * shape.n_environments
    steps = {"final": step, "environments": environments, "mask": joint}
    steps["evaluation"] = _evaluation(data)
    seconds = alternately(steps, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "final epoch": seconds["final"] * n / batch,
        "environment epoch": seconds["environments"] * n / n_rows,
        "mask epoch": seconds["mask"] * n / joint_rows,
        "evaluation": seconds["evaluation"],
        "peak memory": peak / (2**20 if sys.platform == "darwin" else 2**10),
    }


def _evaluation(data: RandomData) -> Callable[[], object]:
    """Scores, the best ten and their hits, in blocks of the default number of scores."""
    own = settings("PaInvRL")
    model: Any = get_model("PaInvRL")(own, data)
    model.eval()
    users = torch.arange(1, min(_EVALUATED, data.shape.n_users) + 1)
    size = max(1, int(own["eval_batch_size"]) // data.num("item_id"))

    @torch.no_grad()
    def step() -> None:
        for block in users.split(size):
            scores = model.full_sort_predict(Interaction({"user_id": block})).view(len(block), -1)
            top = scores.topk(10).indices
            rows = torch.arange(len(block))
            top_hits(top, rows, torch.ones_like(rows), scores.shape[1])

    return step


def _elsewhere(shape: Shape, repeats: int) -> dict[str, float]:
    """:func:`measure` in a process of its own, whose peak memory is then this shape's."""
    command = [sys.executable, "-m", "benchmarks.growth", "--repeats", str(repeats), "--one"]
    done = subprocess.run(
        [*command, json.dumps(asdict(shape))], check=True, stdout=subprocess.PIPE, text=True
    )
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def _shape(values: dict[str, Any]) -> Shape:
    return Shape(**{**values, "columns": tuple(values["columns"])})


def exponents(frame: pd.DataFrame) -> str:
    """Markdown: the exponent of every curve between its two largest sizes.

    Args:
        frame: columns ``size``, ``share`` and those in ``MEASURED``.
    """
    lines = ["| doubled | " + " | ".join(MEASURED) + " |", "|---" * (len(MEASURED) + 1) + "|"]
    for name, curve in frame.groupby("size", sort=False):
        last, largest = curve.sort_values("share").tail(2).to_dict("records")
        steps = math.log(largest["share"] / last["share"])
        cells = [f"{math.log(largest[key] / last[key]) / steps:.2f}" for key in MEASURED]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """One panel per measure, one curve per size, both axes logarithmic."""
    from recbole_painvrl.report.plots.curves import blank

    figure = blank(3.2 * len(MEASURED), 3.2)
    axes = figure.subplots(1, len(MEASURED))
    for panel, key in zip(axes, MEASURED, strict=True):
        for name, curve in frame.groupby("size", sort=False):
            panel.plot(curve["share"], curve[key], marker="o", label=str(name))
        smallest = frame["share"].min()
        top = frame[key].max()
        panel.plot([smallest, 1], [top * smallest, top], "k:", linewidth=1, label="linear")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_title(f"{key}, {'MB' if key == 'peak memory' else 's'}", fontsize=9)
        panel.set_xlabel("share of the full size", fontsize=8)
        panel.tick_params(labelsize=7)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
