"""One look for every figure of a page: fonts, colours per model, and how a figure enters it."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.report.render import Drawing
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


@dataclass(frozen=True)
class Look:
    """How one group is drawn in every figure."""

    colour: str
    marker: str
    line: str
    order: float


Looks = Mapping[str, Look]


@dataclass(frozen=True)
class Panel:
    """One figure with what a reader who cannot see it needs.

    Attributes:
        name: file name without extension; what a file name cannot hold is replaced.
        canvas: the drawing.
        alt: what it shows, in words.
    """

    name: str
    canvas: Canvas
    alt: str


class Sketch:
    """The axes of a panel, with the words that tell what is drawn.

    Args:
        looks: look per label.
        height: in inches.
    """

    def __init__(self, looks: Looks, height: float = HEIGHT) -> None:
        self.looks = looks
        self.canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        self.axes: Any = self.canvas.subplots()
        self.words: list[str] = []

    def line(self, label: str, x: Any, y: Any, **style: Any) -> None:
        """Draw a curve of a group."""
        look = self.looks[label]
        style = {"label": wrap(label), **style}
        self.axes.plot(x, y, look.line, color=look.colour, zorder=look.order, **style)

    def panel(self, name: str, what: str, x: str, y: str = "", title: str = "") -> Panel:
        """The finished panel.

        Args:
            name: of its file.
            what: beginning of the words about it.
            x: label of the axis.
            y: label of the axis.
            title: above it.
        """
        self.axes.set_xlabel(x)
        self.axes.set_ylabel(y)
        self.axes.set_title(title)
        self._legend_above()
        return Panel(name, self.canvas, f"{what}: {'; '.join(self.words)}.")

    def _legend_above(self) -> None:
        """The legend above the axes, where it hides nothing."""
        handles, labels = self.axes.get_legend_handles_labels()
        if not handles:
            return
        longest = max(len(line) for label in labels for line in label.split("\n"))
        columns = max(1, min(3, len(labels), 42 // (longest + 5)))
        self.canvas.legend(
            handles, labels, loc="outside upper center", ncols=columns,
            handlelength=1.8, columnspacing=1.2,
        )  # fmt: skip
        # Room for the legend comes on top of the figure's height, not out of its axes.
        rows = [labels[first : first + columns] for first in range(0, len(labels), columns)]
        lines = sum(max(label.count("\n") + 1 for label in row) for row in rows)
        self.canvas.set_figheight(self.canvas.get_figheight() + _LEGEND_LINE * lines)


class Panels:
    """Writes every panel as PNG and PDF, and gives it to the page as SVG.

    Args:
        folder: where PNG and PDF go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: set[str] = set()

    def draw(self, panels: Sequence[Panel]) -> list[Drawing]:
        """Write some panels."""
        return [self._draw(panel) for panel in panels]

    def _draw(self, panel: Panel) -> Drawing:
        # Metrics, modalities and stages have names of the user's.
        name = slug(panel.name)
        while name in self._names:
            name += "-x"
        self._names.add(name)
        # The layout once, not once per format.
        panel.canvas.draw_without_rendering()
        panel.canvas.set_layout_engine("none")
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            buffer = io.BytesIO()
            panel.canvas.savefig(buffer, format=kind, facecolor="white", metadata=metadata)
            write_bytes(self.folder / f"{name}.{kind}", buffer.getvalue())
        plain = io.StringIO()
        panel.canvas.savefig(plain, format="svg", transparent=True, metadata={"Date": None})
        return _inline(plain.getvalue(), name, panel.alt)


def house_style() -> Any:
    """The context in which the figures of a page are drawn and written."""
    return matplotlib.rc_context(fname=Path(__file__).with_name("page.mplstyle"))


def _inline(svg: str, name: str, alt: str) -> Drawing:
    """Matplotlib's SVG as part of a page: ids of its own, no addresses, colours of the theme."""
    head, _, body = svg[svg.index("<svg") :].partition(">")
    body = body.rpartition("</svg>")[0]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = body.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    body = body.replace(INK, "currentColor").replace(LINE, "var(--line)")
    return Drawing(alt, head.partition('viewBox="')[2].partition('"')[0], body)


def looks_of(names: Sequence[tuple[str, str]]) -> dict[str, Look]:
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
        index = fixed.get(model, -1)
        if index in taken or index < 0:
            index = free.pop(0) if free else number
        taken.add(index)
        found[label] = Look(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            # Later lines are broken and on top, so that what they cover shows through.
            _LINES[number % len(_LINES)],
            2.0 + number / len(names),
        )
    return found


def wrap(label: str, width: int = 18) -> str:
    """A label on several lines; a dollar sign in it starts no formula."""
    return ("\n".join(textwrap.wrap(label, width)) or label).replace("$", r"\$")


def slug(name: str) -> str:
    """Part of a file name, whatever the name of a modality or a model holds."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "x"


def smooth(values: npt.NDArray[np.float64], windows: int = 30) -> npt.NDArray[np.float64]:
    """Moving average over a 30th of the steps, of the same length, ``[n]``."""
    size = max(1, len(values) // windows)
    kernel = np.ones(size)
    # At the ends the mean is over what is there.
    counts = np.convolve(np.ones(len(values)), kernel, "same")
    averaged: npt.NDArray[np.float64] = np.convolve(values, kernel, "same") / counts
    return averaged
