"""Curves with their spread over seeds, as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from recbole_painvrl.atomic import write_with
from recbole_painvrl.report.tables import Number

FORMATS = ("png", "pdf", "svg")
# Without dates: the same figures give the same files.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
_MARKERS = "osD^vPX*"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        x: where it is.
        number: what is there, over seeds.
    """

    x: float
    number: Number


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def curves(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    x_label: str,
    y_labels: Mapping[str, str],
    note: str,
) -> Figure:
    """One panel per test set; a line through the means, a band of one deviation, every seed.

    Args:
        panels: title to label to the points of a curve.
        x_label: under every panel.
        y_labels: title to what its curves show.
        note: below the figure: what the band is, which edition of the data.
    """
    figure = blank(5 * max(1, len(panels)), 4.2)
    grid = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        for number, (label, points) in enumerate(lines.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            ordered = sorted(points, key=lambda point: point.x)
            x = [point.x for point in ordered]
            mean = [point.number.mean for point in ordered]
            spread = [point.number.sd or 0.0 for point in ordered]
            low = [m - s for m, s in zip(mean, spread, strict=True)]
            high = [m + s for m, s in zip(mean, spread, strict=True)]
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            marker = _MARKERS[number % len(_MARKERS)]
            axes.plot(x, mean, color=colour, marker=marker, markersize=5, label=label)
            for point in ordered:
                values = point.number.values
                axes.plot(
                    [point.x] * len(values), values, ".", color=colour, markersize=3, alpha=0.6
                )
        axes.set(title=title, xlabel=x_label, ylabel=y_labels[title])
        axes.set_xticks(sorted({p.x for points in lines.values() for p in points}))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.supxlabel(note, fontsize=8, color="#444444")
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure in every format; returns the paths."""
    paths = []
    for kind in FORMATS:
        path = folder / f"{name}.{kind}"

        def write(stream: BinaryIO, kind: str = kind) -> None:
            figure.savefig(stream, format=kind, dpi=160, metadata=_METADATA[kind])

        write_with(path, write)
        paths.append(path)
    return paths
