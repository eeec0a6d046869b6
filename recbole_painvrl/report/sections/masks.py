"""The mask of each modality (the paper's Fig. 3), beside the planted truth where it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.evaluation.comparison import VALID, part_name
from recbole_painvrl.reading import is_number
from recbole_painvrl.report.groups import Block, Group, unique
from recbole_painvrl.report.plots.style import MASK_COLOURS, PAPER, WIDTH, Figures, wrap
from recbole_painvrl.report.read import RunData, mapping
from recbole_painvrl.report.render import Drawing, metric_name, number_or_dash, split_name

# Label of a group -> its mask of one modality, [d].
Masks = Mapping[str, npt.NDArray[np.float64]]
Truth = npt.NDArray[np.bool_] | None

_HEIGHT = 0.62 * WIDTH
_BINS = np.linspace(0, 1, 26)
# With more columns the symbols of single columns would overlap.
_MAX_SYMBOLS = 512
# Masks that a final model can have (`mask_form`).
_WORDS = {"soft": "soft mask", "binary": "cut mask", "ones": "all features", "zeros": "no features"}
_SCORES = ("auc", "auc_shuffled", "mean_invariant", "mean_spurious")


def masks(block: Block, figures: Figures) -> dict[str, Any] | None:
    """Figures and tables of every modality; None if no run has a mask."""
    groups = [group for group in block.groups if group.first.modalities]
    if not groups:
        return None
    drawn, statistics = [], []
    for modality in unique(name for group in groups for name in group.first.modalities):
        found = {
            group.label: group.first.mask[modality].astype(np.float64)
            for group in groups
            if modality in group.first.modalities
        }
        known = [group.first.mask.get(f"truth/{modality}") for group in groups]
        truth = next((one.astype(np.bool_) for one in known if one is not None), None)
        drawn.append((modality, truth is not None, _figures(figures, modality, found, truth)))
        for label, mask in found.items():
            values = (mask.mean(), mask.std(), mask.min(), mask.max())
            numbers = (f"{value:.3f}" for value in values)
            statistics.append([f"{label}, {modality}", str(len(mask)), *numbers])
    return {
        "figures": drawn,
        "several": any(len(group.runs) > 1 for group in groups),
        "seeds": [f"{group.label}: {group.first.done.seed}" for group in groups],
        "statistics": statistics,
        **_oracle(block, groups),
        **_candidates(groups),
        "forms": [row for group in groups for run in group.runs for row in _form(group, run)],
        "scores": [row for group in groups for run in group.runs for row in _scores(group, run)],
    }


def _oracle(block: Block, groups: list[Group]) -> dict[str, Any]:
    """Mean test metrics of the final and of the oracle's model; empty where that is not known."""
    tests = [split for split in block.splits if split != VALID]
    metric = groups[0].valid_metric
    rows = []
    for group in groups:
        found = [run for run in group.runs if isinstance(run.done.planted.get("oracle"), dict)]
        if found:
            metrics = [run.done.metrics for run in found]
            oracles = [run.done.planted["oracle"] for run in found]
            final = [[one.get(test, {}).get(metric) for one in metrics] for test in tests]
            oracle = [[mapping(one.get(test)).get(metric) for one in oracles] for test in tests]
            used = unique(str(run.done.mask.get("used")) for run in found)
            words = ", ".join(_WORDS.get(one, "learnt mask") for one in used)
            rows.append([f"{group.label}, final model ({words})", *map(_mean, final)])
            rows.append([f"{group.label}, oracle mask", *map(_mean, oracle)])
    names = [f"{metric_name(metric)}, {part_name(test)}" for test in tests]
    return {"oracle": rows, "metrics": names}


def _mean(values: list[Any]) -> str:
    """Over the seeds; a dash where one has none."""
    return f"{np.mean(values):.4f}" if all(map(is_number, values)) else "–"


def _candidates(groups: list[Group]) -> dict[str, Any]:
    """Validation metrics of the masks among which validation chose; empty where it did not."""
    metric, splits, rows = groups[0].valid_metric, ("valid", "ood_valid"), []
    for group, run in ((one, run) for one in groups for run in one.runs):
        for name, points in mapping(run.done.mask.get("candidates")).items():
            found = [mapping(mapping(points).get(split)) for split in splits]
            values = [number_or_dash(metrics.get(metric), ".4f") for metrics in found]
            label = f"{group.label}, seed {run.done.seed}: {_WORDS.get(name, name)}"
            taken = "taken" if name == run.done.mask.get("used") else "not taken"
            rows.append([label, taken, *values])
    head = [f"{metric_name(metric)}, {split_name(split)}" for split in splits]
    # Without an OOD test there is no OOD validation.
    known = 3 if all(row[3] == "–" for row in rows) else 4
    return {
        "candidates": [row[:known] for row in rows],
        "candidates_head": ["mask", "final model", *head][:known],
    }


def _form(group: Group, run: RunData) -> list[list[str]]:
    """Form of the mask in the final model, dropped columns, and what the test found."""
    said = run.done.mask
    dropped = mapping(said.get("dropped"))
    if not dropped:
        return []
    test = [said.get(f"reversed_{side}_cut") for side in ("below", "above")]
    numbers = [number_or_dash(value, ".0f") for value in test]
    counts = ", ".join(
        f"{name} {n:.0f}" for name, n in dropped.items() if is_number(n) and name != "overall"
    )
    label = f"{group.label}, seed {run.done.seed}"
    return [[label, str(said.get("form")), str(said.get("used")), counts, *numbers]]


def _scores(group: Group, run: RunData) -> list[list[str]]:
    """Agreement of the masks of a run with the planted truth; empty if that is not known."""
    rows = []
    for modality, of_mask in mapping(run.done.planted.get("mask")).items():
        shown = [number_or_dash(mapping(of_mask).get(key), ".3f") for key in _SCORES]
        rows.append([f"{group.label}, seed {run.done.seed}, {modality}", *shown])
    return rows


def _figures(figures: Figures, modality: str, found: Masks, truth: Truth) -> list[Drawing]:
    """Strips, histogram and sorted curve of one modality, each with all groups."""
    # Masks of other columns cannot be drawn beside this truth.
    if truth is not None and any(len(mask) != len(truth) for mask in found.values()):
        truth = None
    return [
        _strips(figures, modality, found, truth),
        _histogram(figures, modality, found),
        _sorted(figures, modality, found, truth),
    ]


def _strips(figures: Figures, modality: str, found: Masks, truth: Truth) -> Drawing:
    width = max(len(mask) for mask in found.values())
    order = np.arange(width) if truth is None else np.argsort(~truth, kind="stable")
    rows = {
        label: np.pad(mask, (0, width - len(mask)), constant_values=np.nan)[order]
        for label, mask in found.items()
    }
    if truth is not None:
        rows = {"planted truth": truth[order].astype(np.float64), **rows}
    sketch = figures.sketch(max(_HEIGHT, 0.95 + 0.42 * len(rows)))
    axes = sketch.axes
    picture = axes.imshow(
        np.stack(list(rows.values())),
        cmap=MASK_COLOURS,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(0, width, len(rows), 0),
    )
    axes.set_yticks(np.arange(len(rows)) + 0.5, [wrap(label, 13) for label in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    for edge in range(1, len(rows)):
        axes.axhline(edge, color=PAPER, linewidth=2)
    sketch.colour_bar(picture)
    sketch.words = [f"{label} mean {mask.mean():.2f}" for label, mask in found.items()]
    what = f"Mask of {modality}, one strip per method"
    x = "column" if truth is None else "invariant columns first, spurious after"
    title = f"{wrap(modality, 40)}: {width} columns"
    return sketch.finish(f"mask-{modality}-strips", what, x, title=title)


def _histogram(figures: Figures, modality: str, found: Masks) -> Drawing:
    sketch = figures.sketch(_HEIGHT)
    for label, mask in found.items():
        counts, look = np.histogram(mask, _BINS)[0], sketch.looks[label]
        sketch.axes.stairs(counts, _BINS, color=look.colour, fill=True, alpha=0.18)
        sketch.axes.stairs(
            counts, _BINS, color=look.colour, linestyle=look.line, linewidth=1.4, label=wrap(label)
        )
        sketch.words.append(f"{label} from {mask.min():.2f} to {mask.max():.2f}")
    sketch.axes.set_xlim(0, 1)
    what = f"Histogram of the mask of {modality}"
    return sketch.finish(f"mask-{modality}-histogram", what, "mask value", "columns")


def _sorted(figures: Figures, modality: str, found: Masks, truth: Truth) -> Drawing:
    marked = truth is not None and len(truth) <= _MAX_SYMBOLS
    sketch = figures.sketch(_HEIGHT)
    for label, mask in found.items():
        order = np.argsort(-mask, kind="stable")
        rank, look = np.arange(1, len(mask) + 1), sketch.looks[label]
        sketch.line(label, rank, mask[order])
        if truth is not None and marked:
            spurious = ~truth[order]
            for chosen, face in ((~spurious, look.colour), (spurious, PAPER)):
                sketch.axes.plot(
                    rank[chosen],
                    mask[order][chosen],
                    look.marker,
                    markersize=3.6,
                    color=look.colour,
                    markerfacecolor=face,
                    markeredgewidth=0.9,
                )
        sketch.words.append(f"{label} median {np.median(mask):.2f}")
    sketch.axes.set_ylim(-0.03, 1.03)
    x = "rank" + (" (filled: invariant, hollow: spurious)" if marked else "")
    return sketch.finish(f"mask-{modality}-sorted", f"Sorted mask of {modality}", x, "mask value")
