"""Curves of the trained stages, and the time and memory of every stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from recbole_painvrl.reading import is_number
from recbole_painvrl.report.groups import Block, Group, unique
from recbole_painvrl.report.plots.style import Figures, wrap
from recbole_painvrl.report.read import Stage, mapping
from recbole_painvrl.report.render import Drawing, metric_name

# The only stage of most models is drawn with the last stage of the others.
_SAME = {"train": "final"}


def training(block: Block, figures: Figures) -> dict[str, Any]:
    """Loss and validation curves of every stage."""
    by_stage: dict[str, list[tuple[Group, Stage]]] = {}
    for group in block.groups:
        for stage in group.first.done.stages:
            if _epochs(stage, "loss")[0]:
                name = _SAME.get(stage.name, stage.name)
                by_stage.setdefault(name, []).append((group, stage))
    drawn = [
        drawing
        for name, members in by_stage.items()
        for kind in ("loss", "valid")
        if (drawing := _curves(figures, name, kind, members)) is not None
    ]
    return {
        "drawings": drawn,
        "chosen": unique(metric_name(group.valid_metric) for group in block.groups),
        "without": [
            group.label
            for group in block.groups
            if not any(stage.history for stage in group.first.done.stages)
        ],
    }


def cost(block: Block, figures: Figures) -> dict[str, Any]:
    """Seconds and memory per stage, as bars and as a table."""
    seconds: list[tuple[str, str, float]] = []
    memory: list[tuple[str, str, float]] = []
    rows = []
    for group in block.groups:
        # Seeds may have different stages, as where validation chose the mask of some of them.
        for name in unique(stage.name for run in group.runs for stage in run.done.stages):
            same = [one for run in group.runs for one in run.done.stages if one.name == name]
            seconds.append((group.label, name, float(np.mean([one.seconds for one in same]))))
            memory.append((group.label, name, max(one.peak_memory_mb for one in same)))
        for run in group.runs:
            whole = Stage(
                name="whole run", seconds=run.done.seconds, peak_memory_mb=run.done.peak_memory_mb
            )
            for stage in (*run.done.stages, whole):
                epochs = ("–" if n is None else str(n) for n in (stage.epochs, stage.best_epoch))
                costs = f"{stage.seconds:,.1f}", f"{stage.peak_memory_mb:,.0f}"
                name = f"{group.label}, seed {run.done.seed}: {stage.name}"
                rows.append([name, *epochs, *costs])
    drawn = []
    if seconds:
        drawn.append(_bars(figures, "seconds", seconds, "seconds"))
        drawn.append(_bars(figures, "memory", memory, "peak memory (MiB)"))
    return {"drawings": drawn, "rows": rows}


def _epochs(stage: Stage, name: str) -> tuple[list[int], list[float]]:
    """Epochs and values of ``loss`` or of a validation metric, as far as recorded."""
    epochs, values = [], []
    for entry in stage.history:
        known = entry if name == "loss" else mapping(entry.get("valid"))
        if is_number(known.get(name)) and is_number(entry.get("epoch")):
            epochs.append(int(entry["epoch"]))
            values.append(float(known[name]))
    return epochs, values


def _curves(
    figures: Figures, name: str, kind: str, members: Sequence[tuple[Group, Stage]]
) -> Drawing | None:
    sketch, metrics = figures.sketch(), list[str]()
    for group, stage in members:
        metric = "loss" if kind == "loss" else group.valid_metric
        epochs, values = _epochs(stage, metric)
        if not epochs:
            continue
        metrics.append(metric)
        drawn = np.asarray(values)
        if kind == "loss" and drawn[0] != 0:
            drawn = drawn / abs(drawn[0])
        sketch.line(group.label, epochs, drawn)
        if kind == "valid" and stage.best_epoch in epochs:
            look, best = sketch.looks[group.label], drawn[epochs.index(stage.best_epoch)]
            sketch.axes.plot(stage.best_epoch, best, look.marker, color=look.colour, markersize=6)
        sketch.words.append(f"{group.label} from {values[0]:.4g} to {values[-1]:.4g}")
    if not sketch.words:
        return None
    sketch.axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    # Runs may have been validated by different metrics.
    several = unique(metrics)
    names_of = ", ".join(map(metric_name, several))
    y, title = ("loss / first loss", "loss") if kind == "loss" else (names_of, "validation")
    what = f"Stage {name}, {' and '.join(several)} by epoch"
    return sketch.finish(f"{name}-{kind}", what, "epoch", y, f"{name}: {title}")


def _bars(figures: Figures, name: str, rows: Sequence[tuple[str, str, float]], x: str) -> Drawing:
    """Horizontal bars of label, stage and value, grouped by label."""
    labels = unique(label for label, _, _ in rows)
    sketch = figures.sketch(1.0 + 0.24 * len(rows) + 0.1 * len(labels))
    axes = sketch.axes
    heights = [n + 0.5 * labels.index(label) for n, (label, _, _) in enumerate(rows)]
    for label in labels:
        bars = [(y, value) for y, (of, _, value) in zip(heights, rows, strict=True) if of == label]
        colour = sketch.looks[label].colour
        axes.barh(*zip(*bars, strict=True), height=0.78, color=colour, label=wrap(label))
    for y, (label, stage, value) in zip(heights, rows, strict=True):
        shown = f" {value:,.0f}" if value >= 10 else f" {value:.1f}"
        axes.text(value, y, shown, va="center", fontsize=7.5)
        sketch.words.append(f"{label} {stage} {value:.4g}")
    axes.set_yticks(heights, [wrap(stage, 26) for _, stage, _ in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.18 * max([value for _, _, value in rows] + [1e-9]))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return sketch.finish(name, f"Bars of {x}", x)
