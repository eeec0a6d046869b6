"""The Pareto front, or with one objective the best value so far, as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from optuna.trial import FrozenTrial

from recbole_painvrl.report.plots.curves import blank, save
from recbole_painvrl.tuning.plan import Plan
from recbole_painvrl.tuning.study import DEFAULTS


def write_plots(
    plan: Plan, complete: Sequence[FrozenTrial], front: Sequence[FrozenTrial], chosen: FrozenTrial
) -> None:
    """Write ``front.png``, ``front.pdf`` and ``front.svg``."""
    figure = blank(5, 4)
    axes = figure.subplots()
    if len(plan.parts) > 1:
        _draw_front(axes, plan, complete, front, chosen)
    else:
        _draw_progress(axes, plan, complete)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, plan.output, "front")


def _draw_front(
    axes: Any,
    plan: Plan,
    complete: Sequence[FrozenTrial],
    front: Sequence[FrozenTrial],
    chosen: FrozenTrial,
) -> None:
    axes.scatter(*_columns(complete), color="0.7", label="complete trials")
    axes.plot(*_columns(front), color="C0", marker="o", label="Pareto front")
    axes.scatter(*_columns([chosen]), color="C3", marker="*", s=160, zorder=3, label="chosen")
    own = [trial for trial in complete if trial.user_attrs.get(DEFAULTS)]
    if own:
        axes.scatter(
            *_columns(own), facecolors="none", edgecolors="k", s=90, zorder=4, label="defaults"
        )
    axes.set(xlabel=plan.label(plan.parts[0]), ylabel=plan.label(plan.parts[1]))


def _draw_progress(axes: Any, plan: Plan, complete: Sequence[FrozenTrial]) -> None:
    numbers = [trial.number for trial in complete]
    values = [trial.values[0] for trial in complete]
    axes.scatter(numbers, values, color="0.7", label="complete trials")
    axes.step(numbers, list(accumulate(values, max)), where="post", label="best so far")
    axes.set(xlabel="trial", ylabel=plan.label(plan.parts[0]))


def _columns(trials: Sequence[FrozenTrial]) -> tuple[list[float], list[float]]:
    return [trial.values[0] for trial in trials], [trial.values[1] for trial in trials]
