"""Searches by ``tune``: their trials, which are evaluated on validation splits only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from recbole_painvrl.evaluation.selection import dominates, selection_score
from recbole_painvrl.report.groups import unique
from recbole_painvrl.report.plots.style import INK, Figures
from recbole_painvrl.report.read import RunData, TrialRecord
from recbole_painvrl.report.render import Cell, Drawing, address, metric_name, split_name
from recbole_painvrl.report.same_tests import short
from recbole_painvrl.run.program import shell_command

_SPLITS = ("valid", "ood_valid")
# What `tune` gives every trial, whatever is searched.
_OF_A_TRIAL = frozenset(
    {"model", "dataset", "run_name", "output_dir", "show_progress", "data_path"}
)
_BEST = "#D55E00"


def is_trial(run: RunData) -> bool:
    """Whether a run is a trial that was evaluated; the best one may have been tested since."""
    return any(run.trial.metrics.get(split) for split in _SPLITS)


@dataclass(frozen=True)
class Search:
    """The trials of one folder of ``tune``.

    Attributes:
        trials: evaluated ones, the best first.
        others: number of trials that were pruned, failed or are not complete.
        metric: that is searched for.
        splits: validation splits, each an objective.
        names: settings in which the trials differ.
        given: settings that are given to all of them.
    """

    trials: list[RunData]
    others: int
    metric: str
    splits: list[str]
    names: list[str]
    given: list[str]

    @property
    def best(self) -> RunData:
        """The selected trial."""
        return self.trials[0]

    @property
    def about(self) -> TrialRecord:
        """A trial whose record says what the data were."""
        known = (run.trial for run in self.trials if run.trial.data)
        return next(known, self.best.trial)

    @property
    def title(self) -> str:
        """Model and dataset, with its variant."""
        name = self.about.data_name if self.about.data else self.best.value("dataset")
        return f"Search: {self.best.value('model') or '?'} on {name or '?'}"

    @property
    def head(self) -> list[str]:
        """Columns of the table of trials."""
        metrics = [f"{metric_name(self.metric)}, {split_name(split)}" for split in self.splits]
        return ["trial", *metrics, *self.names, "seconds"]

    def points(self, run: RunData) -> list[float]:
        """The objectives of a trial; 0 where it has none, as after a divergence."""
        return [run.trial.metrics.get(split, {}).get(self.metric) or 0.0 for split in self.splits]

    def row(self, run: RunData) -> list[str]:
        """A line of the table, without the name of the trial."""
        values = [run.value(name) for name in self.names]
        return [
            *(f"{value:.4f}" for value in self.points(run)),
            *(f"{value:.4g}" if isinstance(value, float) else short(value) for value in values),
            _figure([run.trial.seconds], sum, 1),
        ]

    def facts(self) -> list[tuple[str, str]]:
        """Data, settings, costs and versions."""
        trials = [run.trial for run in self.trials]
        versions: dict[str, list[str]] = defaultdict(list)
        for one in trials:
            for name, version in one.versions.items():
                versions[name].append(version)
        return [
            ("variant", self.about.edition),
            ("protocol", self.about.protocol),
            *((name.replace("_", " "), f"{size:,}") for name, size in self.about.data.items()),
            *((name, short(self.best.value(name), 60)) for name in self.given),
            ("seconds of the evaluated trials", _figure([one.seconds for one in trials], sum, 0)),
            ("peak memory, MiB", _figure([one.peak_memory_mb for one in trials], max, 0)),
            *((name, ", ".join(unique(found))) for name, found in versions.items()),
        ]


def _figure(
    values: Sequence[float | None], of: Callable[[Iterable[float]], float], digits: int
) -> str:
    """A figure of all values; a dash if one of them was not recorded."""
    known = [value for value in values if value is not None]
    return f"{of(known):,.{digits}f}" if len(known) == len(values) else "–"


def found_searches(runs: Sequence[RunData]) -> list[Search]:
    """A search per folder with evaluated trials.

    Args:
        runs: all runs; incomplete ones beside trials are those that were pruned or failed.
    """
    folders = dict.fromkeys(run.folder.parent for run in runs if is_trial(run))
    return [_search([run for run in runs if run.folder.parent == folder]) for folder in folders]


def _search(runs: list[RunData]) -> Search:
    trials = [run for run in runs if is_trial(run)]
    first = trials[0]
    known = unique(
        name for run in trials for split in _SPLITS for name in run.trial.metrics.get(split, {})
    )
    metric = str(first.value("valid_metric")).lower()
    metric = metric if metric in known else known[0]
    splits = [split for split in _SPLITS if any(run.trial.metrics.get(split) for run in trials)]
    set_by = unique(
        name
        for run in trials
        for name, one in run.config.items()
        if one["from"] == "tune" and name not in _OF_A_TRIAL
    )
    differ = {name for name in set_by if len({str(run.value(name)) for run in trials}) > 1}
    search = Search(
        trials,
        sum(run.result is None and not is_trial(run) for run in runs),
        metric,
        splits,
        [name for name in set_by if name in differ],
        [name for name in set_by if name not in differ],
    )
    rule = str(first.value("select_on"))
    points = {run.folder: search.points(run) for run in trials}

    def place(run: RunData) -> tuple[float, bool, int]:
        """As `tune` selects: by the rule, from the front, and of equal ones the earlier."""
        own = points[run.folder]
        is_behind = any(dominates(other, own) for other in points.values())
        return -selection_score(own, rule), is_behind, run.trial.trial

    trials.sort(key=place)
    return search


def searches(runs: Sequence[RunData], figures: Path, page: Path) -> list[dict[str, Any]]:
    """A section per search: its trials, the best first, a figure of them, data and costs.

    Args:
        runs: all runs.
        figures: folder of the figures.
        page: the page, from which links are relative.
    """
    return [
        _section(search, f"s{number}", figures, page)
        for number, search in enumerate(found_searches(runs), 1)
    ]


def _section(search: Search, key: str, figures: Path, page: Path) -> dict[str, Any]:
    best = search.best
    in_order = sorted(search.trials, key=lambda run: run.trial.trial)
    return {
        "key": key,
        "title": search.title,
        "head": search.head,
        "rows": [
            [
                Cell(run.folder.name, address(run.folder, page), mark="best" * (run is best)),
                *search.row(run),
            ]
            for run in search.trials
        ],
        "facts": search.facts(),
        "rule": str(best.value("select_on")) if len(search.splits) > 1 else "",
        "others": search.others,
        "best": best.folder.name,
        # Tests the trial; empty if that was done.
        "command": shell_command(resume=best.folder) if best.result is None else "",
        "drawing": _drawing(
            Figures(figures, key, []),
            [run.trial.trial for run in in_order],
            [search.points(run) for run in in_order],
            search.points(best),
            [split_name(s) for s in search.splits],
            search.metric,
        ),
    }


def _drawing(
    figures: Figures,
    numbers: Sequence[int],
    points: Sequence[Sequence[float]],
    best: Sequence[float],
    splits: Sequence[str],
    metric: str,
) -> Drawing:
    """Both validations of every trial, by its number, or with one of them the best so far."""
    sketch = figures.sketch()
    axes, name = sketch.axes, metric_name(metric)
    if len(splits) == 1:
        values = [point[0] for point in points]
        reached = [*accumulate(values, max)]
        # Trials that were pruned or failed leave gaps.
        axes.plot(numbers, values, "o", color=INK, label="trial")
        axes.step(numbers, reached, where="post", color=_BEST, label="best so far")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        sketch.words = [f"{len(values)} trials, the best {best[0]:.4f}"]
        return sketch.finish("trials", f"{name} by trial", "trial", f"{name}, {splits[0]}")
    axes.plot(*zip(*points, strict=True), "o", color=INK, label="trial")
    axes.plot(*best, "s", color=_BEST, markersize=7, label="best")
    sketch.words = [f"{len(points)} trials, the best {best[0]:.4f} and {best[1]:.4f}"]
    x, y = (f"{name}, {split}" for split in splits)
    return sketch.finish("trials", f"{name} on both validation splits", x, y)
