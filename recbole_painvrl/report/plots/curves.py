"""Curves with their standard deviation over seeds, as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recbole_painvrl.atomic import write_with
from recbole_painvrl.report.plots import COLOURS, MARKERS, METADATA
from recbole_painvrl.report.tables import Number


@dataclass(frozen=True)
class Point:
    """One point of a curve: its position, and the values over seeds there."""

    x: float
    number: Number


def blank(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def curves(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    x_label: str,
    y_labels: Mapping[str, str],
    note: str,
) -> Figure:
    """One panel per test set; a line through the means, a band of one deviation, every seed.

    Args:
        panels: title -> label -> points of a curve.
        x_label: label of every x axis.
        y_labels: title -> label of the y axis.
        note: text below the figure.
    """
    figure = blank(5 * max(1, len(panels)), 4.2)
    grid = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        for index, (label, points) in enumerate(lines.items()):
            _curve(axes, label, points, COLOURS[index % len(COLOURS)], MARKERS[index % 8])
        axes.set(title=title, xlabel=x_label, ylabel=y_labels[title])
        axes.set_xticks(sorted({p.x for points in lines.values() for p in points}))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    # The names of data may have a dollar sign, which would begin a formula.
    figure.supxlabel(note.replace("$", r"\$"), fontsize=8, color="#444444")
    return figure


def _curve(axes: Any, label: str, points: Sequence[Point], colour: str, marker: str) -> None:
    ordered = sorted(points, key=lambda point: point.x)
    x = [point.x for point in ordered]
    mean = np.asarray([point.number.mean for point in ordered])
    deviation = np.asarray([point.number.sd or 0.0 for point in ordered])
    axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=colour, marker=marker, markersize=5, label=label)
    for point in ordered:
        values = point.number.values
        axes.plot([point.x] * len(values), values, ".", color=colour, markersize=3, alpha=0.6)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG, PDF and SVG; returns the paths."""
    paths = []
    for kind, metadata in METADATA.items():
        paths.append(folder / f"{name}.{kind}")
        write_with(paths[-1], partial(figure.savefig, format=kind, dpi=160, metadata=metadata))
    return paths
