"""The path in the (L_ERM, L_IRM) plane, the Pareto weights and the stationarity residual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.plots.style import (
    LINE,
    WEIGHT_COLOURS,
    Look,
    Panel,
    drawing,
    legend_above,
    slug,
    smooth,
    wrap,
)
from recbole_painvrl.report.read import RunData

FloatArray = npt.NDArray[np.float64]
_LOG_FROM = 5
_NEEDED = ("l_erm", "l_irm", "w_erm", "stationarity")


def trajectory(run: RunData) -> dict[str, FloatArray]:
    """Figures of every joint step of all outer rounds, one after the other; empty without."""
    found: dict[str, list[FloatArray]] = {}
    for number in range(1, run.rounds() + 1):
        for name in (*_NEEDED, "cosine"):
            steps = run.mask.get(f"round {number}/trajectory/{name}")
            if steps is not None:
                found.setdefault(name, []).append(steps.astype(np.float64))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    lengths = {len(joined[name]) for name in _NEEDED if name in joined}
    complete = all(name in joined for name in _NEEDED) and len(lengths) == 1 and lengths != {0}
    return joined if complete else {}


def stepped(block: Block) -> list[Group]:
    """Groups whose runs have a trajectory."""
    return [group for group in block.groups if trajectory(group.first)]


def pareto_panels(block: Block, looks: Mapping[str, Look]) -> list[Panel]:
    """One path per group, then weight and residual of all groups."""
    groups = stepped(block)
    if not groups:
        return []
    paths = [_path(block, group) for group in groups]
    return [
        *paths,
        _over_steps(block, looks, "w_erm", "weight of L_ERM"),
        _over_steps(block, looks, "stationarity", "stationarity residual"),
    ]


def _path(block: Block, group: Group) -> Panel:
    steps = trajectory(group.first)
    x, y, weight = (smooth(steps[name]) for name in ("l_erm", "l_irm", "w_erm"))
    with drawing(2.9) as (figure, axes):
        axes.plot(steps["l_erm"], steps["l_irm"], ".", color=LINE, markersize=1.5, zorder=0)
        points = np.stack([x, y], axis=1)
        pieces = LineCollection(
            list(np.stack([points[:-1], points[1:]], axis=1)), cmap=WEIGHT_COLOURS, linewidths=2.2
        )
        pieces.set_array(weight[:-1] if len(weight) > 1 else weight)
        pieces.set_clim(0, 1)
        axes.add_collection(pieces)
        for place, marker, label in ((0, "o", "start"), (-1, "s", "end")):
            axes.plot(
                x[place], y[place], marker, color="#D55E00", markersize=6, label=label,
                markerfacecolor="white" if place == 0 else "#D55E00", linestyle="none",
            )  # fmt: skip
        _frame(axes, steps["l_erm"], steps["l_irm"])
        axes.set_xlabel("L_ERM")
        axes.set_ylabel("L_IRM")
        axes.set_title(wrap(group.label, 40))
        bar = figure.colorbar(pieces, ax=axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
        bar.set_label("weight of L_ERM")
        bar.outline.set_visible(False)
        legend_above(figure, axes)
    alt = (
        f"Path of {group.label}: L_ERM from {x[0]:.4g} to {x[-1]:.4g}, L_IRM from {y[0]:.4g} to "
        f"{y[-1]:.4g}, weight of L_ERM from {weight[0]:.2f} to {weight[-1]:.2f}."
    )
    return Panel(f"{block.key}-path-{slug(group.label)}", figure, alt)


def _frame(axes: Any, x: FloatArray, y: FloatArray) -> None:
    """Limits that hold all but stray steps, and few ticks that do not touch each other."""
    for axis, values in (("x", x), ("y", y)):
        low, high = np.quantile(values, [0.005, 0.995])
        # The path begins where the losses are largest, however few those steps are.
        low, high = min(low, values[0], values[-1]), max(high, values[0], values[-1])
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        getattr(axes, f"set_{axis}lim")(low - margin, high + margin)
        getattr(axes, f"{axis}axis").set_major_locator(MaxNLocator(5))


def _over_steps(block: Block, looks: Mapping[str, Look], name: str, title: str) -> Panel:
    words = []
    with drawing(2.9) as (figure, axes):
        for group in stepped(block):
            values, look = trajectory(group.first)[name], looks[group.label]
            place = np.arange(1, len(values) + 1)
            averaged = smooth(values)
            axes.plot(place, values, color=look.colour, alpha=0.18, linewidth=0.6)
            axes.plot(
                place, averaged, look.line, color=look.colour, label=wrap(group.label),
                zorder=look.order,
            )  # fmt: skip
            words.append(f"{group.label} from {averaged[0]:.3g} to {averaged[-1]:.3g}")
        axes.set_xlabel("joint step")
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if name == "w_erm":
            axes.set_ylim(-0.03, 1.03)
        else:
            _residual_axis(axes, [trajectory(group.first)[name] for group in stepped(block)])
        legend_above(figure, axes)
    alt = f"{title.capitalize()} over the joint steps: {'; '.join(words)}."
    return Panel(f"{block.key}-{name.replace('_', '-')}", figure, alt)


def _residual_axis(axes: Any, residuals: list[FloatArray]) -> None:
    """From 0, or logarithmic where the scales of the groups are far apart."""
    middles = [float(np.median(values)) for values in residuals]
    if min(middles) > 0 and max(middles) / min(middles) > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(middles) / 5)
    else:
        axes.set_ylim(bottom=0)
