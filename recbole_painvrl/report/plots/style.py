"""One look for every figure: fonts, colours per model, and how a figure enters the page."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.report.html import Markup, tag, text
from recbole_painvrl.specs import specs

# In the page these two follow the reader's light or dark theme.
INK, LINE = "#1f2329", "#c9d1d8"
# One column of a paper, and the width of a phone at the same size of letters.
WIDTH, HEIGHT = 3.5, 2.6
# Both can be read in grey and by colour-blind readers.
MASK_COLOURS, WEIGHT_COLOURS = "cividis", "viridis"

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS = (
    "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6D00", "#7F7F7F",
)  # fmt: skip
_OF_RECBOLE = {"LightGCN": 3, "BPR": 7}
_LEGEND_LINE = 0.165
_MARKERS = "osD^vPX*"
_LINES = ("-", "--", "-.", ":")

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.hashsalt": "recbole_painvrl",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "savefig.dpi": 180,
}


@dataclass(frozen=True)
class Look:
    """How one group is drawn in every figure."""

    colour: str
    marker: str
    line: str
    order: float = 2.0


@dataclass(frozen=True)
class Panel:
    """One figure with what a reader who cannot see it needs.

    Attributes:
        name: file name without extension; what a file name cannot hold is replaced.
        figure: the drawing.
        alt: what it shows, in words.
    """

    name: str
    figure: Figure
    alt: str


class Panels:
    """Writes every panel as PNG and PDF, and gives it back as inline SVG.

    Args:
        folder: where PNG and PDF go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def show(self, panels: Sequence[Panel], caption: object) -> Markup:
        """A row of panels with one caption; nothing without panels."""
        if not panels:
            return Markup("")
        drawn = "".join(self._inline(panel) for panel in panels)
        inside = Markup(f'<div class="panels">{drawn}</div>') + tag("figcaption", caption)
        return tag("figure", Markup(inside))

    def _inline(self, panel: Panel) -> str:
        # Metrics, modalities and stages have names of the user's.
        name = slug(panel.name)
        while name in self.names:
            name += "-x"
        self.names.append(name)
        with matplotlib.rc_context(_RC):
            # The layout once, not once per format.
            panel.figure.draw_without_rendering()
            panel.figure.set_layout_engine("none")
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            buffer = io.BytesIO()
            with matplotlib.rc_context(_RC):
                panel.figure.savefig(buffer, format=kind, facecolor="white", metadata=metadata)
            write_bytes(self.folder / f"{name}.{kind}", buffer.getvalue())
        plain = io.StringIO()
        with matplotlib.rc_context(_RC):
            panel.figure.savefig(plain, format="svg", transparent=True, metadata={"Date": None})
        return inline_svg(plain.getvalue(), name, panel.alt)


def inline_svg(svg: str, name: str, alt: str) -> str:
    """Matplotlib's SVG as part of a page: own ids, no addresses, colours of the theme.

    Args:
        svg: the file.
        name: prefix that keeps ids of several figures apart.
        alt: text for readers who do not see it.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = svg.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    svg = svg.replace(INK, "currentColor").replace(LINE, "var(--line)")
    head = f'<svg role="img" aria-label="{text(alt)}"'
    svg = re.sub(r"^<svg", lambda _: head, svg)
    return re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2)


@contextmanager
def drawing(height: float = HEIGHT, **subplots: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of one column with its axes, in the house style."""
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(**subplots)


def looks(names: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """A look per label; a model keeps its colour from report to report.

    Args:
        names: ``(label, model)`` of every group.
    """
    found: dict[str, Look] = {}
    taken: set[int] = set()
    fixed = _OF_RECBOLE | {
        name: spec.colour for name, spec in specs().items() if spec.colour is not None
    }
    free = [n for n in range(len(_COLOURS)) if n not in {fixed.get(m) for _, m in names}]
    for number, (label, model) in enumerate(names):
        place = fixed.get(model, -1)
        if place in taken or place < 0:
            place = free.pop(0) if free else number
        taken.add(place)
        found[label] = Look(
            _COLOURS[place % len(_COLOURS)],
            _MARKERS[place % len(_MARKERS)],
            # Later lines are broken and on top, so that what they cover shows through.
            _LINES[number % len(_LINES)],
            2.0 + number / len(names),
        )
    return found


def legend_above(figure: Figure, axes: Any, most: int = 3) -> None:
    """The legend of the axes above them, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        longest = max(len(line) for label in labels for line in label.split("\n"))
        columns = max(1, min(most, len(labels), 42 // (longest + 5)))
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns,
            handlelength=1.8, columnspacing=1.2,
        )  # fmt: skip
        # Room for the legend comes on top of the figure's height, not out of its axes.
        rows = [labels[first : first + columns] for first in range(0, len(labels), columns)]
        lines = sum(max(label.count("\n") + 1 for label in row) for row in rows)
        figure.set_figheight(figure.get_figheight() + _LEGEND_LINE * lines)


def wrap(label: str, width: int = 18) -> str:
    """A label on several lines; a dollar sign in it starts no formula."""
    return ("\n".join(textwrap.wrap(label, width)) or label).replace("$", r"\$")


def slug(name: str) -> str:
    """Part of a file name, whatever the name of a modality or a model holds."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "x"


def smooth(values: npt.NDArray[np.float64], windows: int = 30) -> npt.NDArray[np.float64]:
    """Moving average over a 30th of the steps, of the same length, ``[n]``."""
    size = max(1, len(values) // windows)
    if size == 1:
        return values
    kernel = np.ones(size)
    # At the ends the mean is over what is there.
    counts = np.convolve(np.ones(len(values)), kernel, "same")
    averaged: npt.NDArray[np.float64] = np.convolve(values, kernel, "same") / counts
    return averaged
