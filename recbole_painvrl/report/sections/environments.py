"""The environments: sizes, stability, and what distinguishes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)
from sklearn.metrics import adjusted_rand_score

from recbole_painvrl.report.data_facts import (
    ENVIRONMENT,
    SideInformation,
    interactions,
    one_environment_users,
    side_information,
    word_fractions,
)
from recbole_painvrl.report.groups import Block, Group, unique
from recbole_painvrl.report.plots.style import INK, Looks, Panel, Panels, Sketch, wrap
from recbole_painvrl.report.read import RunData, Stage, is_number

_QUANTILES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
# From this ratio of the ends of the whiskers on, the axis is logarithmic.
_LOG_FROM = 10
# Shades of one colour, from full to light, tell environments of a group apart.
_FADE = 0.75


def environments(block: Block, looks: Looks, panels: Panels) -> dict[str, Any] | None:
    """Figures and tables of the found environments; None where no run has any."""
    groups = [group for group in block.groups if group.first.environments]
    if not groups:
        return None
    frames = {group.label: interactions(group.first) for group in groups}
    known = {group.label: side_information(group.first) for group in groups}
    drawn = [
        _sizes(block.key, frames, looks),
        _boxes(block.key, frames, looks, "popularity", "popularity of the item"),
        _boxes(block.key, frames, looks, "degree", "interactions of the user"),
    ]
    if any(_moved(group.first) for group in groups):
        drawn.insert(0, _moves(block.key, groups, looks))
    numbers = unique(name for found in known.values() for name in found.numbers)
    return {
        "drawings": panels.draw(drawn),
        "found": [_found(group, run) for group in groups for run in group.runs],
        "columns": numbers,
        "distinguished": [
            row
            for label, frame in frames.items()
            for row in _distinguished(label, frame, known[label], numbers)
        ],
        "words": [
            (label, name, list(found.columns), _percent(found))
            for label, frame in frames.items()
            for name, texts in known[label].words.items()
            for found in [word_fractions(frame[ENVIRONMENT], texts)]
        ],
        "missing": unique(f"{text}." for found in known.values() for text in found.missing),
    }


def _found(group: Group, run: RunData) -> list[str]:
    name = f"{group.label}, seed {run.done.seed}"
    if not run.environments:
        return [name, *["–"] * 7]
    frame, truth = interactions(run), run.environments.get("truth")
    ari = run.done.planted.get("environment_ari")
    if truth is not None and len(truth) == len(frame):
        ari = adjusted_rand_score(truth, frame[ENVIRONMENT])
    stage = next((one for one in reversed(run.done.stages)
                  if one.name.startswith("environments")), Stage(name=""))  # fmt: skip

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
    ]


def _distinguished(
    label: str, frame: pd.DataFrame, known: SideInformation, names: Sequence[str]
) -> list[list[str]]:
    rows, none = [], pd.Series(dtype=float)
    for number, inside in frame.groupby(ENVIRONMENT):
        rows.append([
            f"{label}, {number}",
            f"{len(inside):,} ({len(inside) / len(frame):.0%})",
            f"{inside['popularity'].mean():.1f}",
            f"{inside['degree'].mean():.1f}",
            f"{inside['popular'].mean():.1%}",
            *(_mean(name, known.numbers.get(name, none).reindex(inside.index)) for name in names),
        ])  # fmt: skip
    return rows


def _mean(name: str, values: pd.Series) -> str:
    if values.isna().all():
        return "–"
    median = float(values.median())
    if name == "timestamp" and 0 < median < 1e11:
        return f"median {datetime.fromtimestamp(median, UTC):%Y-%m-%d}"
    return f"mean {values.mean():.4g}"


def _percent(fractions: pd.DataFrame) -> list[list[str]]:
    """A row per word with its fraction in every environment."""
    return [
        [str(word), *(f"{value:.1%}" for value in values)]
        for word, values in zip(fractions.index, fractions.to_numpy(), strict=True)
    ]


def _moved(run: RunData) -> list[np.ndarray]:
    """Fraction of the interactions that moved, by round, of every outer round."""
    names = [f"round {number}/moved" for number in range(1, len(run.environments) + 1)]
    return [run.environments[name] for name in names if name in run.environments]


def _moves(key: str, groups: Sequence[Group], looks: Looks) -> Panel:
    sketch = Sketch(looks)
    for group in groups:
        start = 1
        for number, moved in enumerate(_moved(group.first)):
            label = {} if number == 0 else {"label": None}
            marker = {"marker": looks[group.label].marker, "markersize": 3}
            sketch.line(group.label, start + np.arange(len(moved)), moved, **label, **marker)
            sketch.words.append(f"{group.label} {moved[0]:.1%} to {moved[-1]:.1%}")
            start += len(moved)
    sketch.axes.set_ylim(bottom=0)
    sketch.axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    sketch.axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    name, what = f"{key}-environment-moves", "Share that moved by round"
    return sketch.panel(name, what, "round", "interactions that moved")


def _sizes(key: str, frames: dict[str, pd.DataFrame], looks: Looks) -> Panel:
    sketch = Sketch(looks, 1.0 + 0.45 * len(frames))
    axes = sketch.axes
    for row, (label, frame) in enumerate(frames.items()):
        fractions = frame[ENVIRONMENT].value_counts(normalize=True).sort_index()
        left = 0.0
        for number, fraction in fractions.items():
            axes.barh(row, fraction, left=left, height=0.7, color=looks[label].colour,
                      alpha=_alpha(number, len(fractions)), edgecolor="white")  # fmt: skip
            if fraction > 0.12:
                axes.text(left + fraction / 2, row, f"{number}: {fraction:.0%}",
                          ha="center", va="center", fontsize=8)  # fmt: skip
            left += fraction
        sketch.words.append(f"{label} {', '.join(f'{one:.0%}' for one in fractions)}")
    axes.set_yticks(range(len(frames)), [wrap(label, 13) for label in frames])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    name, what = f"{key}-environment-sizes", "Sizes of the environments"
    return sketch.panel(name, what, "share of the training interactions")


def _boxes(key: str, frames: dict[str, pd.DataFrame], looks: Looks, name: str, title: str) -> Panel:
    """Box per environment: quartiles, whiskers from 5 % to 95 %."""
    sketch, ticks, ends, x = Sketch(looks), dict[float, str](), list[float](), 0.0
    axes = sketch.axes
    for label, frame in frames.items():
        values = frame.groupby(ENVIRONMENT)[name].quantile(_QUANTILES).unstack()
        for number, (low, first, median, third, high) in zip(
            values.index, values.to_numpy(), strict=True
        ):
            box = {"whislo": low, "q1": first, "med": median, "q3": third, "whishi": high}
            face = {"facecolor": looks[label].colour, "edgecolor": INK,
                    "alpha": _alpha(number, len(values))}  # fmt: skip
            axes.bxp(
                [box], positions=[x], widths=0.7, showfliers=False, patch_artist=True,
                manage_ticks=False, medianprops={"color": INK, "linewidth": 1.6},
                whiskerprops={"color": INK}, capprops={"color": INK}, boxprops=face,
            )  # fmt: skip
            ticks[x] = str(number)
            sketch.words.append(f"{label} environment {number} median {median:.0f}")
            ends += [low, high]
            x += 1
        axes.bar(0, 0, color=looks[label].colour, label=wrap(label))
        x += 0.7
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.grid(visible=False, axis="x")
    if min(ends) > 0 and max(ends) / min(ends) > _LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    what = f"{title.capitalize()} per environment"
    return sketch.panel(f"{key}-environment-{name}", what, "environment", title)


def _alpha(number: Any, size: int) -> float:
    return float(1 - _FADE * number / max(1, size))
