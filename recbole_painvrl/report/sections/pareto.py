"""The two losses of the mask stage, their weights, and the Pareto-stationarity residual."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.plots.style import (
    LINE,
    WEIGHT_COLOURS,
    Looks,
    Panel,
    Panels,
    Sketch,
    slug,
    smooth,
    wrap,
)
from recbole_painvrl.report.read import RunData

# Figures of every joint step, by name.
Steps = dict[str, npt.NDArray[np.float64]]

_NEEDED = ("l_erm", "l_irm", "w_erm", "stationarity")
_LOG_FROM = 5
_HEIGHT = 2.9
_MARK = "#D55E00"


def trajectory(run: RunData) -> Steps:
    """Figures of every joint step of all outer rounds, one after the other; empty without."""
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number in range(1, run.rounds() + 1):
        for name in (*_NEEDED, "cosine"):
            steps = run.mask.get(f"round {number}/trajectory/{name}")
            if steps is not None:
                found.setdefault(name, []).append(steps.astype(np.float64))
    joined = {name: np.concatenate(rounds) for name, rounds in found.items()}
    lengths = {len(joined.get(name, ())) for name in _NEEDED}
    return joined if len(lengths) == 1 and lengths != {0} else {}


def pareto(block: Block, looks: Looks, panels: Panels) -> dict[str, Any] | None:
    """Paths, weights and residuals; None where no run has a trajectory."""
    found = {
        group.label: (group.first, steps)
        for group in block.groups
        if (steps := trajectory(group.first))
    }
    if not found:
        return None
    steps_of = {label: steps for label, (_, steps) in found.items()}
    drawn = [_path(block.key, label, steps, looks) for label, steps in steps_of.items()]
    drawn.append(_over_steps(block.key, steps_of, looks, "w_erm", "weight of L_ERM"))
    drawn.append(_over_steps(block.key, steps_of, looks, "stationarity", "stationarity residual"))
    rows = []
    for label, (run, steps) in found.items():
        tenth = max(1, len(steps["w_erm"]) // 10)
        rows.append([
            f"{label}, seed {run.done.seed}",
            str(run.value("loss_weighting") or "fixed"),
            str(run.value("gradient_normalization") or "none"),
            str(len(steps["w_erm"])),
            *(f"{steps[name][:tenth].mean():.3g} → {steps[name][-tenth:].mean():.3g}"
              if name in steps else "–"
              for name in ("l_erm", "l_irm", "w_erm", "stationarity", "cosine")),
        ])  # fmt: skip
    return {"drawings": panels.draw(drawn), "rows": rows}


def _path(key: str, label: str, steps: Steps, looks: Looks) -> Panel:
    x, y, weight = (smooth(steps[name]) for name in ("l_erm", "l_irm", "w_erm"))
    sketch = Sketch(looks, _HEIGHT)
    axes = sketch.axes
    axes.plot(steps["l_erm"], steps["l_irm"], ".", color=LINE, markersize=1.5, zorder=0)
    points = np.stack([x, y], axis=1)
    pieces = LineCollection(
        list(np.stack([points[:-1], points[1:]], axis=1)), cmap=WEIGHT_COLOURS, linewidths=2.2
    )
    pieces.set_array(weight[:-1] if len(weight) > 1 else weight)
    pieces.set_clim(0, 1)
    axes.add_collection(pieces)
    for index, marker, said, face in ((0, "o", "start", "white"), (-1, "s", "end", _MARK)):
        axes.plot(x[index], y[index], marker, color=_MARK, markersize=6, label=said,
                  markerfacecolor=face, linestyle="none")  # fmt: skip
    for axis in ("x", "y"):
        values = steps["l_erm" if axis == "x" else "l_irm"]
        # Limits that hold all but stray steps, and both ends of the path.
        low, high = np.quantile(values, [0.005, 0.995])
        low, high = min(low, values[0], values[-1]), max(high, values[0], values[-1])
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        getattr(axes, f"set_{axis}lim")(low - margin, high + margin)
        getattr(axes, f"{axis}axis").set_major_locator(MaxNLocator(5))
    bar: Any = sketch.canvas.colorbar(pieces, ax=axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("weight of L_ERM")
    bar.outline.set_visible(False)
    sketch.words = [
        f"L_ERM from {x[0]:.4g} to {x[-1]:.4g}, L_IRM from {y[0]:.4g} to {y[-1]:.4g}, weight of "
        f"L_ERM from {weight[0]:.2f} to {weight[-1]:.2f}"
    ]
    name = f"{key}-path-{slug(label)}"
    return sketch.panel(name, f"Path of {label}", "L_ERM", "L_IRM", wrap(label, 40))


def _over_steps(key: str, steps_of: dict[str, Steps], looks: Looks, name: str, title: str) -> Panel:
    sketch = Sketch(looks, _HEIGHT)
    axes = sketch.axes
    for label, steps in steps_of.items():
        step, averaged = np.arange(1, len(steps[name]) + 1), smooth(steps[name])
        axes.plot(step, steps[name], color=looks[label].colour, alpha=0.18, linewidth=0.6)
        sketch.line(label, step, averaged)
        sketch.words.append(f"{label} from {averaged[0]:.3g} to {averaged[-1]:.3g}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    medians = [float(np.median(steps[name])) for steps in steps_of.values()]
    if name == "w_erm":
        axes.set_ylim(-0.03, 1.03)
    elif min(medians) > 0 and max(medians) / min(medians) > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(medians) / 5)
    else:
        axes.set_ylim(bottom=0)
    what = f"{title.capitalize()} over the joint steps"
    return sketch.panel(f"{key}-{name.replace('_', '-')}", what, "joint step", title)
