"""The figures of a page: one style, a look per group, PNG and PDF in files, SVG in the page."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from recbole_painvrl.atomic import write_with
from recbole_painvrl.report.plots import COLOURS, MARKERS, METADATA
from recbole_painvrl.report.render import Drawing
from recbole_painvrl.specs import specs

# The page replaces these by colours of its light or dark theme.
INK, LINE, PAPER = "#1f2329", "#c9d1d8", "#ffffff"
# Inches of one column of a paper, which are as wide as a phone.
WIDTH, HEIGHT = 3.5, 2.6
# For colour-blind readers; the first also in grey.
MASK_COLOURS = "cividis"
# Neither end is as light or as dark as a page.
WEIGHT_COLOURS = LinearSegmentedColormap.from_list("weights", ["#0072B2", "#8f8f8f", "#D55E00"])
# Indices into the palette of RecBole's models; ours have one in their ModelSpec.
_OF_RECBOLE = {"LightGCN": 3, "BPR": 7}
_LEGEND_LINE = 0.165
_LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Look:
    """Colour, marker, line style and drawing order of a group in all figures."""

    colour: str
    marker: str
    line: str
    order: float


class Figures:
    """Starts the figures of one block, writes them and returns them for the page.

    Args:
        folder: for the PNG and PDF files.
        key: prefix of their names, different for every block.
        groups: ``(label, model)`` of every group.
    """

    def __init__(self, folder: Path, key: str, groups: Sequence[tuple[str, str]]) -> None:
        self.folder, self.key, self.looks = folder, key, looks_of(groups)
        self._names: set[str] = set()

    def sketch(self, height: float = HEIGHT) -> Sketch:
        """An empty figure; height in inches."""
        return Sketch(self, height)

    def write(self, name: str, figure: Figure, alt: str) -> Drawing:
        """Write a figure as PNG and PDF.

        Args:
            name: of its files, without the key; characters that file names lack are replaced.
            figure: the figure.
            alt: description for readers who cannot see it.
        """
        name = slug(f"{self.key}-{name}")
        while name in self._names:
            name += "-x"
        self._names.add(name)
        # Compute the layout once, not for every format.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for kind in ("png", "pdf"):
            save = partial(figure.savefig, format=kind, facecolor="white", metadata=METADATA[kind])
            write_with(self.folder / f"{name}.{kind}", save)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata=METADATA["svg"])
        return _inline(svg.getvalue(), name, alt)


class Sketch:
    """A figure with one pair of axes, and the words that describe what is drawn.

    Args:
        figures: the figures of its block.
        height: in inches.
    """

    def __init__(self, figures: Figures, height: float) -> None:
        self.figures, self.looks = figures, figures.looks
        self.canvas = Figure(figsize=(WIDTH, height), layout="constrained")
        self.axes: Any = self.canvas.subplots()
        self.words: list[str] = []

    def line(self, label: str, x: Any, y: Any, **style: Any) -> None:
        """Draw a curve of a group."""
        look = self.looks[label]
        style = {"label": wrap(label), **style}
        self.axes.plot(x, y, look.line, color=look.colour, zorder=look.order, **style)

    def finish(self, name: str, what: str, x: str, y: str = "", title: str = "") -> Drawing:
        """Write the figure.

        Args:
            name: of its files.
            what: beginning of its description.
            x: label of the x axis.
            y: label of the y axis.
            title: above the axes.
        """
        self.axes.set_xlabel(x)
        self.axes.set_ylabel(y)
        self.axes.set_title(title)
        self._legend_above()
        return self.figures.write(name, self.canvas, f"{what}: {'; '.join(self.words)}.")

    def colour_bar(self, mappable: Any, label: str = "") -> None:
        """Add a bar that explains colours from 0 to 1."""
        bar: Any = self.canvas.colorbar(
            mappable, ax=self.axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1]
        )
        bar.set_label(label)
        bar.outline.set_visible(False)

    def _legend_above(self) -> None:
        handles, labels = self.axes.get_legend_handles_labels()
        # The only method of a page needs no name.
        if not handles or (len(self.looks) == len(labels) == 1):
            return
        longest = max(len(line) for label in labels for line in label.split("\n"))
        columns = max(1, min(3, len(labels), 42 // (longest + 5)))
        self.canvas.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=columns,
            handlelength=1.8,
            columnspacing=1.2,
        )
        # The legend adds to the height of the figure, so that the axes stay as large.
        rows = [labels[first : first + columns] for first in range(0, len(labels), columns)]
        lines = sum(max(label.count("\n") + 1 for label in row) for row in rows)
        self.canvas.set_figheight(self.canvas.get_figheight() + _LEGEND_LINE * lines)


def house_style() -> Any:
    """Context manager with matplotlib's settings for the figures of a page."""
    return matplotlib.rc_context(fname=Path(__file__).with_name("page.mplstyle"))


def _inline(svg: str, name: str, alt: str) -> Drawing:
    """Matplotlib's SVG as part of a page: unique ids, no addresses, colours of the theme."""
    head, _, body = svg[svg.index("<svg") :].partition(">")
    body = body.rpartition("</svg>")[0]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = body.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    body = (
        body.replace(INK, "currentColor")
        .replace(LINE, "var(--line)")
        .replace(PAPER, "var(--paper)")
    )
    return Drawing(alt, head.partition('viewBox="')[2].partition('"')[0], body)


def looks_of(groups: Sequence[tuple[str, str]]) -> Mapping[str, Look]:
    """A look per label; a model has the same colour in every report.

    Args:
        groups: ``(label, model)`` of every group.
    """
    found: dict[str, Look] = {}
    taken: set[int] = set()
    fixed = _OF_RECBOLE | {
        name: spec.colour for name, spec in specs().items() if spec.colour is not None
    }
    free = [n for n in range(len(COLOURS)) if n not in {fixed.get(model) for _, model in groups}]
    for number, (label, model) in enumerate(groups):
        index = fixed.get(model, -1)
        if index in taken or index < 0:
            index = free.pop(0) if free else number
        taken.add(index)
        found[label] = Look(
            COLOURS[index % len(COLOURS)],
            MARKERS[index % len(MARKERS)],
            # Later lines are broken and on top, so that lines below them remain visible.
            _LINES[number % len(_LINES)],
            2.0 + number / len(groups),
        )
    return found


def wrap(label: str, width: int = 18) -> str:
    """A label on several lines; a dollar sign in it starts no formula."""
    return ("\n".join(textwrap.wrap(label, width)) or label).replace("$", r"\$")


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "x"


def smooth(values: npt.NDArray[np.float64], windows: int = 30) -> npt.NDArray[np.float64]:
    """Moving average over a 30th of the steps, of the same length, ``[n]``."""
    kernel = np.ones(max(1, len(values) // windows))
    # At both ends the average is over fewer values.
    counts = np.convolve(np.ones(len(values)), kernel, "same")
    averaged: npt.NDArray[np.float64] = np.convolve(values, kernel, "same") / counts
    return averaged
