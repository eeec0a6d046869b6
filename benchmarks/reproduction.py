"""Runs what others published, over seeds, and prints the tables of docs/reproduction.md.

    python -m benchmarks.reproduction --data dataset --output runs/reproduction --seeds 3
    python -m benchmarks.reproduction --data dataset --only "UltraGCN electronics"

``--data`` holds the dataset folders made by dataset_prep (docs/reproduction.md says how). Every
run is a command of its own in a folder of its own; what is complete is not run again, what was
interrupted goes on. ``--report`` runs nothing and lists what is not complete.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.common import (
    NotRunError,
    Result,
    command_line,
    finished_run,
    head,
    row,
    spread,
)
from benchmarks.published import EXPERIMENTS, Experiment

_TEST = "test"
Take = Callable[[Path, tuple[str, ...]], Result]


@dataclass
class Outcome:
    """What an experiment's runs gave.

    Attributes:
        runs: final results, one per seed.
        choices: results of the runs that chose the epoch, one per seed; without refit the same.
        epochs: chosen epochs, one per seed.
        chosen: settings that the grid chose.
        tried: settings of the grid with their validation score.
        at_epoch: results at the published epoch.
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
        "--report", action="store_true", help="run nothing; tables of what is complete"
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
    print(table(outcomes))
    print(f"\n{choices(outcomes)}")
    print(f"\n{sources([one for one in EXPERIMENTS if one.name in arguments.only])}")
    if missing:
        print(f"\nNot (completely) run: {', '.join(missing)}.")


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
        own = (*base, f"--seed={seed}")
        folder = output / f"{prefix}-choose-{seed}"
        if seed == 0 and outcome.chosen:
            folder = folders[outcome.chosen]
        result = take(folder, own)
        outcome.epochs.append(_best_epoch(result))
        outcome.choices.append(result)
        if experiment.refit:
            settings = full_training(own, epochs_of_as_many_steps(result))
            result = take(output / f"{prefix}-refit-{seed}", settings)
        outcome.runs.append(result)
        if experiment.at_epoch is not None:
            settings = full_training(own, experiment.at_epoch)
            outcome.at_epoch.append(take(output / f"{prefix}-published-epoch-{seed}", settings))
    return outcome


def grid(experiment: Experiment) -> Iterator[tuple[str, ...]]:
    """Every combination of the experiment's grid as settings; nothing without a grid."""
    if experiment.grid:
        for values in itertools.product(*experiment.grid.values()):
            pairs = zip(experiment.grid, values, strict=True)
            yield tuple(f"--{name}={value}" for name, value in pairs)


def full_training(settings: tuple[str, ...], epochs: int) -> tuple[str, ...]:
    """The same run on all training data, for a number of epochs known beforehand."""
    kept = tuple(word for word in settings if not word.startswith("--epochs="))
    return (*kept, "--validation_share=0", f"--epochs={epochs}")


def epochs_of_as_many_steps(result: Result) -> int:
    """Epochs on all training data that take as many steps as the chosen epochs took on a part."""
    sizes: dict[str, int] = result["split"]["sizes"]
    size = int(result["train_batch_size"])
    part, whole = (math.ceil(n / size) for n in (sizes["train"], sizes["train"] + sizes["valid"]))
    return max(1, round(_best_epoch(result) * part / whole))


def _best_epoch(result: Result) -> int:
    """Epoch that validation chose, of the last stage."""
    return int(result["stages"][-1]["best_epoch"])


def score(result: Result) -> float:
    """Best validation score of a run, in the metric that chose its epoch."""
    stage = result["stages"][-1]
    return float(stage["best_valid"][result["valid_metric"].lower()])


def table(outcomes: dict[str, Outcome]) -> str:
    """One line per experiment and metric."""
    columns = ("published", "here, mean ± sd", "epochs", "verdict", "seconds")
    lines = [head("experiment", "metric", *columns)]
    for experiment, metric in ((e, m) for e in EXPERIMENTS for m in e.metrics):
        outcome = outcomes.get(experiment.name)
        if outcome is None:
            continue
        low, high = experiment.published.get(metric, (None, None))
        published = "-" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
        here, words = _judged(experiment, metric, outcome.runs, outcomes)
        epochs = ", ".join(map(str, outcome.epochs))
        seconds = f"{np.mean([run['seconds'] for run in outcome.runs]):.0f}"
        lines.append(row(experiment.name, metric, published, here, epochs, words, seconds))
        if outcome.at_epoch:
            here, words = _judged(experiment, metric, outcome.at_epoch, outcomes)
            name = f"... at epoch {experiment.at_epoch}"
            lines.append(row(name, metric, published, here, "", words, ""))
    return "\n".join(lines)


def _judged(
    experiment: Experiment, metric: str, runs: list[Result], outcomes: dict[str, Outcome]
) -> tuple[str, str]:
    """Mean and standard deviation of the runs, and the verdict."""
    values = [figure(experiment, run, metric) for run in runs]
    return spread(values), verdict(experiment, metric, float(np.mean(values)), outcomes)


def verdict(experiment: Experiment, metric: str, mean: float, outcomes: dict[str, Outcome]) -> str:
    """Where the mean stands against the published range and the ID-only forms."""
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
    """How far the mean is above another experiment's, of as much data and the same seeds."""
    runs = other.runs if experiment.refit else other.choices
    same = [run for run in runs if run["seed"] in (experiment.seeds or (run["seed"],))]
    difference = mean - float(np.mean([figure(experiment, run, metric) for run in same]))
    form = "" if runs == other.runs else " without refit"
    return f"{difference:+.4f} against {name}{form}"


def figure(experiment: Experiment, run: Result, metric: str) -> float:
    """A test metric as the published ones count."""
    value = float(run["metrics"][_TEST][metric])
    if not experiment.all_pairs:
        return value
    kept, dropped = (int(run["split"][part][_TEST]) for part in ("sizes", "cold_dropped"))
    return value * kept / (kept + dropped)


def sources(experiments: Iterable[Experiment]) -> str:
    """Who published what a row stands beside, and the command of its runs."""
    lines = [head("experiment", "published by", "`python run_recbole.py`")]
    for one in experiments:
        refit = "; then all training pairs" if one.refit else ""
        command = f"`{one.settings} --dataset={one.dataset}`{refit}"
        lines.append(row(one.name, one.source or "-", command))
    return "\n".join(lines)


def choices(outcomes: dict[str, Outcome]) -> str:
    """What the grids tried, by validation score."""
    lines = [head("experiment", "tried (validation score)", "chosen")]
    for name, outcome in outcomes.items():
        if outcome.tried:
            tried = ", ".join(f"`{' '.join(s)}` {value:.4f}" for s, value in outcome.tried)
            lines.append(row(name, tried, f"`{' '.join(outcome.chosen)}`"))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
