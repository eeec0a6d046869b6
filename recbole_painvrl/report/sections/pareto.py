"""The two losses of the mask stage, their weights, and the norm of the combined gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.plots.style import LINE, PAPER, WEIGHT_COLOURS, Figures, smooth, wrap
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.render import Drawing

# Values of every joint step, by name.
Steps = dict[str, npt.NDArray[np.float64]]

EFFECTIVE = "effective_w_erm"
_NEEDED = ("l_erm", "l_irm", "w_erm", "stationarity")
# If the medians of the curves differ by this factor, the axis is logarithmic.
_LOG_FROM = 5
_HEIGHT = 2.9
_MARK = "#D55E00"


def trajectory(run: RunData) -> Steps:
    """Values of every joint step of all outer rounds in order; empty if none are recorded."""
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number in range(1, run.rounds() + 1):
        for name in (*_NEEDED, "cosine", EFFECTIVE):
            steps = run.mask.get(f"round {number}/trajectory/{name}")
            if steps is not None:
                found.setdefault(name, []).append(steps.astype(np.float64))
    joined = {name: np.concatenate(rounds) for name, rounds in found.items()}
    lengths = {len(joined.get(name, ())) for name in _NEEDED}
    return joined if len(lengths) == 1 and lengths != {0} else {}


def pareto(block: Block, figures: Figures) -> dict[str, Any] | None:
    """Losses, weights and gradient norms; None if no run has a trajectory."""
    runs = {group.label: group.first for group in block.groups}
    found = {label: steps for label, run in runs.items() if (steps := trajectory(run))}
    if not found:
        return None
    drawn = [_path(figures, label, steps) for label, steps in found.items()]
    raw = {label: steps for label, steps in found.items() if _has(steps, EFFECTIVE)}
    if raw:
        drawn.append(_over_steps(figures, raw, EFFECTIVE, "effective weight of L_ERM"))
    # With `l2` they are 0.5 throughout.
    if any(np.ptp(steps["w_erm"]) > 1e-3 for steps in found.values()) or not raw:
        drawn.append(_over_steps(figures, found, "w_erm", "weight of L_ERM"))
    drawn.append(_over_steps(figures, found, "stationarity", "norm of the combined gradient"))
    rows = []
    for label, steps in found.items():
        run, tenth = runs[label], max(1, len(steps["w_erm"]) // 10)
        means = (
            f"{steps[name][:tenth].mean():.3g} → {steps[name][-tenth:].mean():.3g}"
            if _has(steps, name)
            else "–"
            for name in ("l_erm", "l_irm", "w_erm", EFFECTIVE, "stationarity", "cosine")
        )
        row = [
            f"{label}, seed {run.done.seed}",
            str(run.value("loss_weighting") or "fixed"),
            str(run.value("gradient_normalization") or "none"),
            str(len(steps["w_erm"])),
        ]
        rows.append([*row, *means])
    return {"drawings": drawn, "rows": rows}


def _has(steps: Steps, name: str) -> bool:
    """Whether a value is recorded for every step; those of earlier versions lack some."""
    return name in steps and len(steps[name]) == len(steps["w_erm"])


def _path(figures: Figures, label: str, steps: Steps) -> Drawing:
    coloured = EFFECTIVE if _has(steps, EFFECTIVE) else "w_erm"
    x, y, weight = (smooth(steps[name]) for name in ("l_erm", "l_irm", coloured))
    sketch = figures.sketch(_HEIGHT)
    axes = sketch.axes
    axes.plot(steps["l_erm"], steps["l_irm"], ".", color=LINE, markersize=1.5, zorder=0)
    points = np.stack([x, y], axis=1)
    pieces = LineCollection(
        list(np.stack([points[:-1], points[1:]], axis=1)), cmap=WEIGHT_COLOURS, linewidths=2.2
    )
    pieces.set_array(weight[:-1] if len(weight) > 1 else weight)
    pieces.set_clim(0, 1)
    axes.add_collection(pieces)
    for index, marker, said, face in ((0, "o", "start", PAPER), (-1, "s", "end", _MARK)):
        axes.plot(
            x[index],
            y[index],
            marker,
            color=_MARK,
            markersize=6,
            label=said,
            markerfacecolor=face,
            linestyle="none",
        )
    for axis, values in (("x", steps["l_erm"]), ("y", steps["l_irm"])):
        # The limits contain both ends of the path and all but a few outlying steps.
        low, high = np.quantile(values, [0.005, 0.995])
        low, high = min(low, values[0], values[-1]), max(high, values[0], values[-1])
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        getattr(axes, f"set_{axis}lim")(low - margin, high + margin)
        getattr(axes, f"{axis}axis").set_major_locator(MaxNLocator(5))
    kind = "effective weight" if coloured == EFFECTIVE else "weight"
    sketch.colour_bar(pieces, f"{kind} of L_ERM")
    sketch.words = [
        f"L_ERM from {x[0]:.4g} to {x[-1]:.4g}, L_IRM from {y[0]:.4g} to {y[-1]:.4g}, {kind} of "
        f"L_ERM from {weight[0]:.2f} to {weight[-1]:.2f}"
    ]
    return sketch.finish(f"path-{label}", f"Path of {label}", "L_ERM", "L_IRM", wrap(label, 40))


def _over_steps(figures: Figures, found: dict[str, Steps], name: str, title: str) -> Drawing:
    sketch = figures.sketch(_HEIGHT)
    axes = sketch.axes
    for label, steps in found.items():
        step, averaged = np.arange(1, len(steps[name]) + 1), smooth(steps[name])
        axes.plot(step, steps[name], color=sketch.looks[label].colour, alpha=0.18, linewidth=0.6)
        sketch.line(label, step, averaged)
        sketch.words.append(f"{label} from {averaged[0]:.3g} to {averaged[-1]:.3g}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    medians = [float(np.median(steps[name])) for steps in found.values()]
    if name == "w_erm":
        axes.set_ylim(-0.03, 1.03)
    elif min(medians) > 0 and max(medians) / min(medians) > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(medians) / 5)
    else:
        axes.set_ylim(bottom=0)
    what = f"{title.capitalize()} over the joint steps"
    return sketch.finish(name.replace("_", "-"), what, "joint step", title)
