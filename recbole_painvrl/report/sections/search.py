"""Searches by ``tune``: their trials, which are evaluated on validation splits only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from recbole_painvrl.evaluation.selection import selection_score
from recbole_painvrl.report.groups import short, unique
from recbole_painvrl.report.plots.style import INK, Figures
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.render import Cell, Drawing, address, metric_name, split_name
from recbole_painvrl.run.program import shell_command

_SPLITS = ("valid", "ood_valid")
_BEST = "#D55E00"


def is_trial(run: RunData) -> bool:
    """Whether a run is a trial that was evaluated; the best one may have been tested since."""
    return any(run.trial.get(split) for split in _SPLITS)


def searches(runs: Sequence[RunData], figures: Path, page: Path) -> list[dict[str, Any]]:
    """A section per folder of ``tune``: its trials, the best first, and a figure of them.

    Args:
        runs: all runs; incomplete ones beside trials are those that were pruned or failed.
        figures: folder of the figures.
        page: the page, from which links are relative.
    """
    folders = dict.fromkeys(run.folder.parent for run in runs if is_trial(run))
    return [
        _search([run for run in runs if run.folder.parent == folder], f"s{number}", figures, page)
        for number, folder in enumerate(folders, 1)
    ]


def _search(runs: list[RunData], key: str, figures: Path, page: Path) -> dict[str, Any]:
    trials = [run for run in runs if is_trial(run)]
    first = trials[0]
    known = unique(name for run in trials for split in _SPLITS
                   for name in run.trial.get(split, {}))  # fmt: skip
    metric = str(first.value("valid_metric")).lower()
    metric = metric if metric in known else known[0]
    splits = [split for split in _SPLITS if any(run.trial.get(split) for run in trials)]
    points = {run.folder: [_value(run, split, metric) for split in splits] for run in trials}
    rule = str(first.value("select_on"))
    order = sorted(trials, key=lambda run: selection_score(points[run.folder], rule), reverse=True)
    names = unique(name for run in trials for name, one in run.config.items()
                   if one["from"] == "tune" and name != "run_name")  # fmt: skip
    names = [name for name in names if len({str(run.value(name)) for run in trials}) > 1]
    return {
        "key": key,
        "title": f"Search: {first.value('model') or '?'} on {first.value('dataset') or '?'}",
        "head": ["trial", *(f"{metric_name(metric)}, {split_name(s)}" for s in splits), *names],
        "rows": [
            [
                Cell(run.folder.name, address(run.folder, page), mark="best" * (run is order[0])),
                *(f"{value:.4f}" for value in points[run.folder]),
                *(_setting(run.value(name)) for name in names),
            ]
            for run in order
        ],
        "rule": rule if len(splits) > 1 else "",
        "others": sum(run.result is None and not is_trial(run) for run in runs),
        "best": order[0].folder.name,
        "command": _test_command(order[0]),
        "drawing": _drawing(Figures(figures, key, []), list(points.values()),
                            points[order[0].folder], [split_name(s) for s in splits], metric),
    }  # fmt: skip


def _value(run: RunData, split: str, metric: str) -> float:
    """A metric of a trial; 0 where it has none, as after a divergence."""
    return run.trial.get(split, {}).get(metric) or 0.0


def _test_command(run: RunData) -> str:
    """The command that tests a trial; empty if that was done."""
    if run.result is not None:
        return ""
    return shell_command(resume=run.folder)


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else short(value)


def _drawing(
    figures: Figures,
    points: Sequence[Sequence[float]],
    best: Sequence[float],
    splits: Sequence[str],
    metric: str,
) -> Drawing:
    """Both validations of every trial, or with one of them its best value so far."""
    sketch = figures.sketch()
    axes, name = sketch.axes, metric_name(metric)
    if len(splits) == 1:
        values = [point[0] for point in points]
        numbers = range(len(values))
        axes.plot(numbers, values, "o", color=INK, label="trial")
        axes.step(
            numbers, [*accumulate(values, max)], where="post", color=_BEST, label="best so far"
        )
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        sketch.words = [f"{len(values)} trials, the best {best[0]:.4f}"]
        return sketch.finish("trials", f"{name} by trial", "trial", f"{name}, {splits[0]}")
    axes.plot(*zip(*points, strict=True), "o", color=INK, label="trial")
    axes.plot(*best, "s", color=_BEST, markersize=7, label="best")
    sketch.words = [f"{len(points)} trials, the best {best[0]:.4f} and {best[1]:.4f}"]
    x, y = (f"{name}, {split}" for split in splits)
    return sketch.finish("trials", f"{name} on both validation splits", x, y)
