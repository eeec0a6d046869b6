"""Forest plots: the difference of the method to every other column, with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from recbole_painvrl.evaluation.comparison import Comparison, part_name
from recbole_painvrl.report.plots.style import INK, PAPER, Figures, wrap
from recbole_painvrl.report.render import Drawing

_ROW = 0.26


def forest(
    figures: Figures, method: str, found: Sequence[Comparison], metric: str, name: str
) -> list[Drawing]:
    """One figure per test, a row per other column; filled marks are significant differences.

    Args:
        figures: of the block.
        method: label of the method.
        found: its comparisons.
        metric: as in the results.
        name: as it is shown.
    """
    drawn = []
    for part in dict.fromkeys(one.part for one in found):
        rows = [one for one in found if (one.part, one.metric) == (part, metric) and one.paired]
        if rows:
            drawn.append(_forest(figures, method, rows, f"{name}, {part_name(part)}"))
    return drawn


def _forest(figures: Figures, method: str, rows: Sequence[Comparison], title: str) -> Drawing:
    lines = [wrap(one.other, 20) for one in rows]
    sketch = figures.sketch(0.9 + _ROW * sum(line.count("\n") + 1 for line in lines))
    axes = sketch.axes
    axes.axvline(0, color=INK, linewidth=0.9)
    for height, one in enumerate(rows):
        p = one.paired
        assert p is not None
        colour = sketch.looks[one.other].colour
        significant = one.outcome in ("better", "worse")
        axes.plot([p.low, p.high], [height, height], color=colour, linewidth=1.6)
        axes.plot(
            p.difference,
            height,
            "o",
            color=colour,
            markersize=5.5,
            markerfacecolor=colour if significant else PAPER,
        )
        sketch.words.append(
            f"{one.other} {p.difference:+.4f}, {p.low:+.4f} to {p.high:+.4f}, {one.outcome}"
        )
    axes.set_yticks(range(len(rows)), lines)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    what = f"Difference of {method} to the other columns in {title}, with 95 % intervals"
    x = "difference, 95 % interval"
    return sketch.finish(f"forest-{title}", what, x, title=title)
