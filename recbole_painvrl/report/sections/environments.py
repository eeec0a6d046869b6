"""The environments: sizes, stability, and how their interactions differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from sklearn.metrics import adjusted_rand_score

from recbole_painvrl.reading import is_number
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.plots.style import INK, PAPER, Figures, wrap
from recbole_painvrl.report.read import RunData, Stage
from recbole_painvrl.report.render import Drawing, number_or_dash

ENVIRONMENT = "environment"
_POPULAR, _PURE = 0.1, 0.9
_QUANTILES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
# If the ends of the whiskers differ by this factor, the axis is logarithmic.
_LOG_FROM = 10
# How much lighter the last environment of a group is than the first.
_FADE = 0.75
Frames = dict[str, pd.DataFrame]


def environments(block: Block, figures: Figures) -> dict[str, Any] | None:
    """Figures and tables of the found environments; None if no run has any."""
    groups = [group for group in block.groups if group.first.environments]
    if not groups:
        return None
    frames = {group.label: interactions(group.first) for group in groups}
    drawn = [
        *([_moves(figures, groups)] if any(_moved(group.first) for group in groups) else []),
        _sizes(figures, frames),
        _boxes(figures, frames, "popularity", "popularity of the item"),
        _boxes(figures, frames, "degree", "interactions of the user"),
    ]
    return {
        "drawings": drawn,
        "found": [_found(group, run) for group in groups for run in group.runs],
        "differences": [row for label, frame in frames.items() for row in _rows(label, frame)],
    }


def interactions(run: RunData) -> pd.DataFrame:
    """The training interactions of a run with environments, ``[n, 6]``.

    Returns:
        Columns ``environment``, ``user_id`` and ``item_id``; ``popularity``, the number of
        interactions of the item; ``degree``, that of the user; ``popular``, whether the item is
        among the most popular 10 %.
    """
    names = (ENVIRONMENT, "user_id", "item_id")
    frame = pd.DataFrame({name: run.environments[name] for name in names})
    frame["popularity"] = frame.groupby("item_id")["item_id"].transform("size")
    frame["degree"] = frame.groupby("user_id")["user_id"].transform("size")
    ranked = frame.groupby("item_id").size().sort_values(ascending=False, kind="stable").index
    frame["popular"] = frame["item_id"].isin(ranked[: max(1, round(_POPULAR * len(ranked)))])
    return frame


def one_environment_users(frame: pd.DataFrame) -> float:
    """Fraction of the users with at least 90 % of their interactions in one environment."""
    counts = frame.groupby(["user_id", ENVIRONMENT]).size().groupby("user_id")
    return float((counts.max() >= _PURE * counts.sum()).mean())


def _found(group: Group, run: RunData) -> list[str]:
    """How the environments of a run were found, and their agreement with the truth."""
    name = f"{group.label}, seed {run.done.seed}"
    if not run.environments:
        return [name, *["–"] * 9]
    frame, truth = interactions(run), run.environments.get("truth")
    ari = run.done.planted.get("environment_ari")
    if truth is not None and len(truth) == len(frame):
        ari = adjusted_rand_score(truth, frame[ENVIRONMENT])
    stage = next(
        (one for one in reversed(run.done.stages) if one.name.startswith("environments")),
        Stage(name=""),
    )

    def numbers(name: str, form: str) -> str:
        return ", ".join(format(value, form) for value in stage.numbers(name)) or "–"

    return [
        name,
        str(frame[ENVIRONMENT].nunique()),
        numbers("rounds", ".0f"),
        numbers("moved", ".1%"),
        numbers("start_agreement", ".2f"),
        numbers("stability", ".2f"),
        f"{one_environment_users(frame):.0%}",
        f"{ari:.3f}" if is_number(ari) else "not known",
        # Controls of the agreement with the truth.
        *(
            number_or_dash(run.done.planted.get(f"environment_ari_{key}"), ".3f")
            for key in ("shuffled", "supervised")
        ),
    ]


def _rows(label: str, frame: pd.DataFrame) -> list[list[str]]:
    """A row per environment: its size and the means over its interactions."""
    return [
        [
            f"{label}, {index}",
            f"{len(inside):,} ({len(inside) / len(frame):.0%})",
            f"{inside['popularity'].mean():.1f}",
            f"{inside['degree'].mean():.1f}",
            f"{inside['popular'].mean():.1%}",
        ]
        for index, inside in frame.groupby(ENVIRONMENT)
    ]


def _moved(run: RunData) -> list[np.ndarray]:
    """Fraction of the interactions that changed their environment, by round, per outer round."""
    names = [f"round {number}/moved" for number in range(1, len(run.environments) + 1)]
    return [run.environments[name] for name in names if name in run.environments]


def _moves(figures: Figures, groups: Sequence[Group]) -> Drawing:
    sketch = figures.sketch()
    for group in groups:
        start = 1
        for number, moved in enumerate(_moved(group.first)):
            label = {} if number == 0 else {"label": None}
            marker = {"marker": sketch.looks[group.label].marker, "markersize": 3}
            sketch.line(group.label, start + np.arange(len(moved)), moved, **label, **marker)
            sketch.words.append(f"{group.label} {moved[0]:.1%} to {moved[-1]:.1%}")
            start += len(moved)
    sketch.axes.set_ylim(bottom=0)
    sketch.axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    sketch.axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    what = "Fraction of the interactions that changed their environment, by round"
    return sketch.finish("environment-moves", what, "round", "interactions that moved")


def _sizes(figures: Figures, frames: Frames) -> Drawing:
    sketch = figures.sketch(1.0 + 0.45 * len(frames))
    axes = sketch.axes
    for row, (label, frame) in enumerate(frames.items()):
        fractions = frame[ENVIRONMENT].value_counts(normalize=True).sort_index()
        left = 0.0
        for index, fraction in fractions.items():
            look = {"color": sketch.looks[label].colour, "alpha": _alpha(index, len(fractions))}
            axes.barh(row, fraction, left=left, height=0.7, edgecolor=PAPER, **look)
            if fraction > 0.12:
                centred = {"ha": "center", "va": "center", "fontsize": 8}
                axes.text(left + fraction / 2, row, f"{index}: {fraction:.0%}", **centred)
            left += fraction
        sketch.words.append(f"{label} {', '.join(f'{one:.0%}' for one in fractions)}")
    axes.set_yticks(range(len(frames)), [wrap(label, 13) for label in frames])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    x = "fraction of the training interactions"
    return sketch.finish("environment-sizes", "Sizes of the environments", x)


def _boxes(figures: Figures, frames: Frames, name: str, title: str) -> Drawing:
    """Box per environment: quartiles, whiskers from 5 % to 95 %."""
    sketch, ticks, ends, x = figures.sketch(), dict[float, str](), list[float](), 0.0
    axes = sketch.axes
    for label, frame in frames.items():
        values = frame.groupby(ENVIRONMENT)[name].quantile(_QUANTILES).unstack()
        colour = sketch.looks[label].colour
        for index, box in zip(values.index, values.to_numpy(), strict=True):
            face = {"facecolor": colour, "edgecolor": INK, "alpha": _alpha(index, len(values))}
            axes.bxp(
                [dict(zip(("whislo", "q1", "med", "q3", "whishi"), box, strict=True))],
                positions=[x],
                widths=0.7,
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
                medianprops={"color": INK, "linewidth": 1.6},
                whiskerprops={"color": INK},
                capprops={"color": INK},
                boxprops=face,
            )
            ticks[x] = str(index)
            sketch.words.append(f"{label} environment {index} median {box[2]:.0f}")
            ends += [box[0], box[-1]]
            x += 1
        axes.bar(0, 0, color=colour, label=wrap(label))
        x += 0.7
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.grid(visible=False, axis="x")
    if min(ends) > 0 and max(ends) / min(ends) > _LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    what = f"{title.capitalize()} per environment"
    return sketch.finish(f"environment-{name}", what, "environment", title)


def _alpha(index: Any, size: int) -> float:
    return float(1 - _FADE * index / max(1, size))
