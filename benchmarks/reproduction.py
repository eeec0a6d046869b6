"""Runs what others published, over seeds, and prints the tables of docs/reproduction.md.

    python -m benchmarks.reproduction --data dataset --output runs/reproduction --seeds 3
    python -m benchmarks.reproduction --data dataset --only "UltraGCN electronics"

``--data`` holds the dataset folders made by dataset_prep (see docs/reproduction.md). Complete runs
are not run again, interrupted ones are resumed. ``--report`` runs nothing and lists what is
missing.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from benchmarks.common import (
    NotRunError,
    Result,
    command_line,
    finished_run,
    replaced,
    spread,
    table,
)

_TEST = "test"
_REAL = "ml-trailers, real features"  # the plugin also generates an embedded variant of that name
Take = Callable[[Path, tuple[str, ...]], Result]


class Experiment(BaseModel):
    """One published result and the runs that are compared with it.

    Attributes:
        name: of the row, and of its run folders.
        dataset: folder in ``--data``.
        settings: arguments of the run, without data and seed.
        metrics: of the table.
        published: metric -> lowest and highest published figure; empty if nobody published.
        source: who published it.
        tolerance: distance from the published range that still counts as equal.
        grid: settings tried with seed 0; the best by validation are run with the other seeds.
        refit: whether to train again on all training data once validation has chosen the epoch.
        at_epoch: published best epoch, reported beside the chosen one.
        compare: names of ID-only experiments that this one must not be worse than.
        all_pairs: the published metrics count test pairs whose user or item is not in training as
            misses; here these are dropped, and the metrics are scaled accordingly. Exact if every
            user has one test pair.
        seeds: used instead of ``--seeds`` if the published run has certain ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    dataset: str
    settings: str
    metrics: tuple[str, ...]
    published: dict[str, tuple[float, float]] = {}
    source: str = ""
    tolerance: float = 0.0
    grid: dict[str, tuple[int | float, ...]] = {}
    refit: bool = False
    at_epoch: int | None = None
    compare: tuple[str, ...] = ()
    all_pairs: bool = False
    seeds: tuple[int, ...] | None = None


_FILE = Path(__file__).with_name("published.yaml")
EXPERIMENTS = tuple(Experiment(**one) for one in yaml.safe_load(_FILE.read_text(encoding="utf-8")))


@dataclass
class Outcome:
    """Results of an experiment's runs.

    ``runs``, ``choices`` and ``epochs`` have one entry per seed. ``choices`` are the runs that
    chose the epoch, the same as ``runs`` without refit; ``chosen`` are the best settings of the
    grid, ``tried`` all of them with their validation score.
    """

    runs: list[Result] = field(default_factory=list)
    choices: list[Result] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    chosen: tuple[str, ...] = ()
    tried: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    at_epoch: list[Result] = field(default_factory=list)


def main() -> None:
    """Run what is missing, then print the tables as Markdown."""
    parser = command_line(__doc__)
    names = [experiment.name for experiment in EXPERIMENTS]
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/reproduction"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--report", action="store_true", help="run nothing, print tables of the complete runs"
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    outcomes, missing = {}, []
    for experiment in EXPERIMENTS:
        if experiment.name not in arguments.only:
            continue
        take = functools.partial(finished_run, may_run=not arguments.report)
        try:
            outcome = run(experiment, arguments.data, arguments.output, arguments.seeds, take)
        except NotRunError:
            missing.append(experiment.name)
        else:
            outcomes[experiment.name] = outcome
    figures = ("published", "here, mean ± sd", "epochs", "verdict", "seconds")
    print(table(("experiment", "metric", *figures), figure_rows(outcomes)))
    print()
    print(table(("experiment", "tried (validation score)", "chosen"), grid_rows(outcomes)))
    print()
    chosen = [one for one in EXPERIMENTS if one.name in arguments.only]
    columns = ("experiment", "published by", "`python run_recbole.py`")
    print(table(columns, map(source_row, chosen)))
    if missing:
        print(f"\nNot or not completely run: {', '.join(missing)}.")


def run(
    experiment: Experiment, data: Path, output: Path, seeds: int, take: Take = finished_run
) -> Outcome:
    """All runs of an experiment: grid, choice of the epoch, refit, published epoch."""
    outcome = Outcome()
    prefix = re.sub(r"\W+", "-", experiment.name.lower())
    base = (*experiment.settings.split(), f"--dataset={experiment.dataset}")
    if experiment.dataset != "ml-100k":
        base = (*base, f"--data_path={data}")
    folders: dict[tuple[str, ...], Path] = {}
    for settings in grid(experiment):
        label = "-".join(s.lstrip("-").replace("=", "-") for s in settings)
        folders[settings] = output / f"{prefix}-grid-{label}"
        result = take(folders[settings], (*base, *settings, "--seed=0"))
        outcome.tried.append((settings, score(result)))
    if outcome.tried:
        outcome.chosen = max(outcome.tried, key=lambda one: one[1])[0]
    base = (*base, *outcome.chosen)
    for seed in experiment.seeds or range(seeds):
        words = (*base, f"--seed={seed}")
        folder = output / f"{prefix}-choose-{seed}"
        if seed == 0 and outcome.chosen:
            folder = folders[outcome.chosen]
        result = take(folder, words)
        outcome.epochs.append(_best_epoch(result))
        outcome.choices.append(result)
        if experiment.refit:
            settings = full_training(words, epochs_of_as_many_steps(result))
            result = take(output / f"{prefix}-refit-{seed}", settings)
        outcome.runs.append(result)
        if experiment.at_epoch is not None:
            settings = full_training(words, experiment.at_epoch)
            outcome.at_epoch.append(take(output / f"{prefix}-published-epoch-{seed}", settings))
    return outcome


def grid(experiment: Experiment) -> Iterator[tuple[str, ...]]:
    """Settings of every combination of the grid; nothing without a grid."""
    if experiment.grid:
        for values in itertools.product(*experiment.grid.values()):
            pairs = zip(experiment.grid, values, strict=True)
            yield tuple(f"--{name}={value}" for name, value in pairs)


def full_training(settings: tuple[str, ...], epochs: int) -> tuple[str, ...]:
    """Settings of the same run on all training data, for a given number of epochs."""
    return tuple(replaced(settings, ["--validation_share=0", f"--epochs={epochs}"]))


def epochs_of_as_many_steps(result: Result) -> int:
    """Epochs on all training data with as many steps as the chosen epochs without validation."""
    sizes: dict[str, int] = result["split"]["sizes"]
    size = int(result["train_batch_size"])
    train, full = (math.ceil(n / size) for n in (sizes["train"], sizes["train"] + sizes["valid"]))
    return max(1, round(_best_epoch(result) * train / full))


def _best_epoch(result: Result) -> int:
    """Best epoch of the last stage by validation."""
    return int(result["stages"][-1]["best_epoch"])


def score(result: Result) -> float:
    """Best validation score of the last stage."""
    stage = result["stages"][-1]
    return float(stage["best_valid"][result["valid_metric"].lower()])


def shown(name: str) -> str:
    """The name of an experiment in the tables, with the variant of its data."""
    return name.replace("ml-trailers", _REAL)


def figure_rows(outcomes: dict[str, Outcome]) -> Iterator[tuple[str, ...]]:
    """A row per experiment and metric."""
    for experiment, metric in ((e, m) for e in EXPERIMENTS for m in e.metrics):
        outcome = outcomes.get(experiment.name)
        if outcome is None:
            continue
        low, high = experiment.published.get(metric, (None, None))
        published = "-" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
        here, words = _judged(experiment, metric, outcome.runs, outcomes)
        epochs = ", ".join(map(str, outcome.epochs))
        seconds = f"{np.mean([run['seconds'] for run in outcome.runs]):.0f}"
        yield shown(experiment.name), metric, published, here, epochs, words, seconds
        if outcome.at_epoch:
            here, words = _judged(experiment, metric, outcome.at_epoch, outcomes)
            yield f"... at epoch {experiment.at_epoch}", metric, published, here, "", words, ""


def _judged(
    experiment: Experiment, metric: str, runs: list[Result], outcomes: dict[str, Outcome]
) -> tuple[str, str]:
    """Mean and standard deviation of the runs, and the verdict."""
    values = [figure(experiment, run, metric) for run in runs]
    return spread(values), verdict(experiment, metric, float(np.mean(values)), outcomes)


def verdict(experiment: Experiment, metric: str, mean: float, outcomes: dict[str, Outcome]) -> str:
    """The mean compared with the published range and with the ID-only experiments."""
    words = []
    if metric in experiment.published:
        low, high = experiment.published[metric]
        if mean < low - experiment.tolerance:
            words.append(f"below by {low - mean:.4f}")
        elif mean > high + experiment.tolerance:
            words.append(f"above by {mean - high:.4f}")
        else:
            words.append("agrees")
    for name in experiment.compare:
        if name in outcomes:
            words.append(gain(experiment, metric, mean, name, outcomes[name]))
    return "; ".join(words) or "-"


def gain(experiment: Experiment, metric: str, mean: float, name: str, other: Outcome) -> str:
    """Distance from another experiment's mean on as much training data with the same seeds."""
    runs = other.runs if experiment.refit else other.choices
    same = [run for run in runs if run["seed"] in (experiment.seeds or (run["seed"],))]
    difference = mean - float(np.mean([figure(experiment, run, metric) for run in same]))
    form = "" if runs == other.runs else " without refit"
    return f"{difference:+.4f} against {name}{form}"


def figure(experiment: Experiment, run: Result, metric: str) -> float:
    """A test metric, scaled as the published ones."""
    value = float(run["metrics"][_TEST][metric])
    if not experiment.all_pairs:
        return value
    kept, dropped = (int(run["split"][key][_TEST]) for key in ("sizes", "cold_dropped"))
    return value * kept / (kept + dropped)


def source_row(experiment: Experiment) -> tuple[str, str, str]:
    """Who published the figures, and the command of the runs."""
    refit = "; then all training pairs" if experiment.refit else ""
    command = f"`{experiment.settings} --dataset={experiment.dataset}`{refit}"
    return shown(experiment.name), experiment.source or "-", command


def grid_rows(outcomes: dict[str, Outcome]) -> Iterator[tuple[str, str, str]]:
    """What the grids tried, by validation score."""
    for name, outcome in outcomes.items():
        if outcome.tried:
            tried = ", ".join(f"`{' '.join(s)}` {value:.4f}" for s, value in outcome.tried)
            yield shown(name), tried, f"`{' '.join(outcome.chosen)}`"


if __name__ == "__main__":
    main()
