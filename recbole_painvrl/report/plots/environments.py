"""Sizes, moves and make-up of the environments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from recbole_painvrl.report.environment_facts import EnvironmentFacts
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.plots.style import INK, Look, Panel, drawing, legend_above, wrap
from recbole_painvrl.report.read import RunData
from recbole_painvrl.run.folder import Array

Facts = Mapping[str, list[EnvironmentFacts]]
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Steps of one colour, from light to full, tell environments of a group apart.
_FADE = 0.75
# From this ratio of the ends of the whiskers on, the axis is logarithmic.
_LOG_FROM = 10


def rounds_of(run: RunData, name: str) -> list[Array]:
    """``moved`` or ``sizes`` of every outer round."""
    found = []
    for number in range(1, len(run.environments) + 1):
        values = run.environments.get(f"round {number}/{name}")
        if values is None:
            break
        found.append(values)
    return found


def environment_panels(
    block: Block, groups: list[Group], facts: Facts, looks: Mapping[str, Look]
) -> list[Panel]:
    """Moves per round, final sizes, item popularity and user degree."""
    panels = [
        _sizes(block, groups, facts, looks),
        _boxes(block, groups, facts, looks, "popularity"),
        _boxes(block, groups, facts, looks, "degree"),
    ]
    if any(rounds_of(group.first, "moved") for group in groups):
        panels.insert(0, _moves(block, groups, looks))
    return panels


def _moves(block: Block, groups: list[Group], looks: Mapping[str, Look]) -> Panel:
    words = []
    with drawing() as (figure, axes):
        for group in groups:
            look, place = looks[group.label], 0
            for number, moved in enumerate(rounds_of(group.first, "moved")):
                x = np.arange(place + 1, place + len(moved) + 1)
                axes.plot(
                    x, moved, look.line, marker=look.marker, markersize=3, color=look.colour,
                    label=wrap(group.label) if number == 0 else None, zorder=look.order,
                )  # fmt: skip
                place += len(moved)
                words.append(f"{group.label} {moved[0]:.1%} to {moved[-1]:.1%}")
        axes.set_xlabel("round")
        axes.set_ylabel("interactions that moved")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_above(figure, axes)
    return Panel(
        f"{block.key}-environment-moves", figure, f"Share that moved by round: {'; '.join(words)}."
    )


def _sizes(block: Block, groups: list[Group], facts: Facts, looks: Mapping[str, Look]) -> Panel:
    words = []
    with drawing(1.0 + 0.45 * len(groups)) as (figure, axes):
        for row, group in enumerate(groups):
            left = 0.0
            for fact in facts[group.label]:
                axes.barh(
                    row, fact.share, left=left, height=0.7, color=looks[group.label].colour,
                    alpha=_alpha(fact.number, len(facts[group.label])), edgecolor="white",
                )  # fmt: skip
                if fact.share > 0.12:
                    axes.text(left + fact.share / 2, row, f"{fact.number}: {fact.share:.0%}",
                              ha="center", va="center", fontsize=8)  # fmt: skip
                left += fact.share
            shares = ", ".join(f"{fact.share:.0%}" for fact in facts[group.label])
            words.append(f"{group.label} {shares}")
        axes.set_yticks(range(len(groups)), [wrap(group.label, 13) for group in groups])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.grid(visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("share of the training interactions")
    alt = f"Sizes of the environments: {'; '.join(words)}."
    return Panel(f"{block.key}-environment-sizes", figure, alt)


def _boxes(
    block: Block, groups: list[Group], facts: Facts, looks: Mapping[str, Look], name: str
) -> Panel:
    """Box per environment: quartiles, whiskers from 5 % to 95 %."""
    title = "popularity of the item" if name == "popularity" else "interactions of the user"
    words, ticks, labels, drawn, place = [], [], [], list[float](), 0.0
    with drawing() as (figure, axes):
        for group in groups:
            for fact in facts[group.label]:
                values = fact.popularity if name == "popularity" else fact.degree
                low, first, median, third, high = np.quantile(values, _QUANTILES)
                box = {"whislo": low, "q1": first, "med": median, "q3": third, "whishi": high}
                axes.bxp(
                    [box], positions=[place], widths=0.7, showfliers=False, patch_artist=True,
                    manage_ticks=False, medianprops={"color": INK, "linewidth": 1.6},
                    whiskerprops={"color": INK}, capprops={"color": INK},
                    boxprops={
                        "facecolor": looks[group.label].colour, "edgecolor": INK,
                        "alpha": _alpha(fact.number, len(facts[group.label])),
                    },
                )  # fmt: skip
                ticks.append(place)
                labels.append(str(fact.number))
                words.append(f"{group.label} environment {fact.number} median {median:.0f}")
                drawn += [low, high]
                place += 1
            axes.bar(0, 0, color=looks[group.label].colour, label=wrap(group.label))
            place += 0.7
        axes.set_xticks(ticks, labels)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("environment")
        axes.set_ylabel(title)
        if min(drawn) > 0 and max(drawn) / min(drawn) > _LOG_FROM:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        legend_above(figure, axes)
    alt = f"{title.capitalize()} per environment: {'; '.join(words)}."
    return Panel(f"{block.key}-environment-{name}", figure, alt)


def _alpha(number: int, size: int) -> float:
    return 1 - _FADE * number / max(1, size)
