"""Loss and validation curves per stage; time and memory per stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.plots.style import Look, Panel, drawing, legend_above, slug, wrap
from recbole_painvrl.report.read import Stage, is_number

# The only stage of most models is drawn beside the last stage of the others.
_SAME = {"train": "final"}


def epochs_of(stage: Stage, name: str) -> tuple[list[int], list[float]]:
    """Epochs and values of ``loss`` or of a validation metric, where they are recorded."""
    places, values = [], []
    for entry in stage.history:
        valid = entry.get("valid")
        value: Any = entry.get("loss")
        if name != "loss":
            value = valid.get(name) if isinstance(valid, dict) else None
        if is_number(value) and is_number(entry.get("epoch")):
            places.append(int(entry["epoch"]))
            values.append(float(value))
    return places, values


def valid_metric(group: Group) -> str:
    """The metric that chose the epoch, as the results write it."""
    return group.first.done.valid_metric.lower()


def training_panels(block: Block, looks: Mapping[str, Look]) -> dict[str, list[Panel]]:
    """Per stage a panel of losses and one of the validation metric."""
    by_stage: dict[str, list[tuple[Group, Stage]]] = {}
    for group in block.groups:
        for stage in group.first.done.stages:
            if epochs_of(stage, "loss")[0]:
                name = _SAME.get(stage.name, stage.name)
                by_stage.setdefault(name, []).append((group, stage))
    return {
        name: [
            panel
            for kind in ("loss", "valid")
            if (panel := _curves(block, looks, name, kind, members)) is not None
        ]
        for name, members in by_stage.items()
    }


def _curves(
    block: Block,
    looks: Mapping[str, Look],
    name: str,
    kind: str,
    members: list[tuple[Group, Stage]],
) -> Panel | None:
    words, metric = [], ""
    with drawing() as (figure, axes):
        for group, stage in members:
            metric = "loss" if kind == "loss" else valid_metric(group)
            places, values = epochs_of(stage, metric)
            if not places:
                continue
            look = looks[group.label]
            drawn = np.asarray(values)
            if kind == "loss" and drawn[0] != 0:
                drawn = drawn / abs(drawn[0])
            axes.plot(
                places, drawn, look.line, color=look.colour, label=wrap(group.label),
                zorder=look.order,
            )  # fmt: skip
            if kind == "valid" and stage.best_epoch in places:
                best = drawn[places.index(stage.best_epoch)]
                axes.plot(stage.best_epoch, best, look.marker, color=look.colour, markersize=6)
            words.append(f"{group.label} from {values[0]:.4g} to {values[-1]:.4g}")
        axes.set_title(f"{name}: {'loss' if kind == 'loss' else 'validation'}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss / first loss" if kind == "loss" else metric)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_above(figure, axes)
    if not words:
        return None
    alt = f"Stage {name}, {metric} by epoch: {'; '.join(words)}."
    return Panel(f"{block.key}-{slug(name)}-{kind}", figure, alt)


def cost_panels(block: Block, looks: Mapping[str, Look]) -> list[Panel]:
    """Bars of seconds and of peak memory, one per group and stage."""
    rows: list[tuple[str, str, float, float]] = []
    for group in block.groups:
        for number, stage in enumerate(group.first.done.stages):
            same = [run.done.stages[number] for run in group.runs
                    if len(run.done.stages) > number]  # fmt: skip
            seconds = float(np.mean([other.seconds for other in same]))
            memory = max(other.peak_memory_mb for other in same)
            rows.append((group.label, stage.name, seconds, memory))
    if not rows:
        return []
    return [
        _bars(block, looks, "seconds", [(r[0], r[1], r[2]) for r in rows], "seconds"),
        _bars(block, looks, "memory", [(r[0], r[1], r[3]) for r in rows], "peak memory (MiB)"),
    ]


def _bars(
    block: Block, looks: Mapping[str, Look], name: str, rows: list[tuple[str, str, float]], x: str
) -> Panel:
    labels = list(dict.fromkeys(label for label, _, _ in rows))
    with drawing(1.0 + 0.24 * len(rows) + 0.1 * len(labels)) as (figure, axes):
        place, places = 0.0, []
        shown: set[str] = set()
        for number, (label, _, value) in enumerate(rows):
            if number and rows[number - 1][0] != label:
                place += 0.5
            axes.barh(
                place, value, height=0.78, color=looks[label].colour,
                label=None if label in shown else wrap(label),
            )  # fmt: skip
            shown.add(label)
            axes.text(value, place, f" {value:,.0f}" if value >= 10 else f" {value:.1f}",
                      va="center", fontsize=7.5)  # fmt: skip
            places.append(place)
            place += 1
        axes.set_yticks(places, [wrap(stage, 26) for _, stage, _ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.18 * max([value for _, _, value in rows] + [1e-9]))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(x)
        legend_above(figure, axes)
    words = "; ".join(f"{label} {stage} {value:.4g}" for label, stage, value in rows)
    return Panel(f"{block.key}-{name}", figure, f"Bars of {x}: {words}.")
