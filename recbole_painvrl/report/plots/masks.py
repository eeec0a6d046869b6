"""Fig. 3: the mask of each modality as strips, histogram and sorted curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from recbole_painvrl.report.groups import Block, Group, unique
from recbole_painvrl.report.plots.style import (
    MASK_COLOURS,
    WIDTH,
    Look,
    Panel,
    drawing,
    legend_above,
    slug,
    wrap,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_BINS = np.linspace(0, 1, 26)
# Beyond this every column as a symbol of its own would be a blot.
_MOST_SYMBOLS = 512


def masked(block: Block) -> list[Group]:
    """Groups whose runs have learnt a mask."""
    return [group for group in block.groups if group.first.modalities]


def mask_modalities(block: Block) -> list[str]:
    """All modalities with a mask."""
    return unique(name for group in masked(block) for name in group.first.modalities)


def planted_columns(block: Block, modality: str) -> BoolArray | None:
    """Which columns are planted as invariant, ``[d]``; None where the truth is not known."""
    for group in masked(block):
        truth = group.first.mask.get(f"truth/{modality}")
        if truth is not None:
            return truth.astype(np.bool_)
    return None


def mask_panels(block: Block, looks: Mapping[str, Look], modality: str) -> list[Panel]:
    """Strips, histogram and sorted curve of one modality, every group in each."""
    masks = {
        group.label: group.first.mask[modality].astype(np.float64)
        for group in masked(block)
        if modality in group.first.modalities
    }
    truth = planted_columns(block, modality)
    # Masks of runs on other columns cannot share a picture with the truth.
    if truth is not None and any(len(mask) != len(truth) for mask in masks.values()):
        truth = None
    name = f"{block.key}-mask-{slug(modality)}"
    return [
        _strips(name, modality, masks, truth),
        _histogram(name, modality, masks, looks),
        _sorted(name, modality, masks, looks, truth),
    ]


def _strips(
    name: str, modality: str, masks: Mapping[str, FloatArray], truth: BoolArray | None
) -> Panel:
    width = max(len(mask) for mask in masks.values())
    order = np.arange(width) if truth is None else np.argsort(~truth, kind="stable")
    rows = {label: np.pad(mask, (0, width - len(mask)), constant_values=np.nan)[order]
            for label, mask in masks.items()}  # fmt: skip
    if truth is not None:
        rows = {"planted truth": truth[order].astype(np.float64), **rows}
    with drawing(max(_height(masks), 0.95 + 0.42 * len(rows))) as (figure, axes):
        picture = axes.imshow(
            np.stack(list(rows.values())), cmap=MASK_COLOURS, vmin=0, vmax=1, aspect="auto",
            extent=(0, width, len(rows), 0),
        )  # fmt: skip
        axes.set_yticks(np.arange(len(rows)) + 0.5, [wrap(label, 13) for label in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        for edge in range(1, len(rows)):
            axes.axhline(edge, color="white", linewidth=2)
        axes.set_title(f"{wrap(modality, 40)}: {width} columns")
        axes.set_xlabel("column" if truth is None else "invariant columns first, spurious after")
        bar = figure.colorbar(picture, ax=axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)
    words = "; ".join(f"{label} mean {_mean(mask):.2f}" for label, mask in masks.items())
    return Panel(f"{name}-strips", figure, f"Mask of {modality}, one strip per method: {words}.")


def _histogram(
    name: str, modality: str, masks: Mapping[str, FloatArray], looks: Mapping[str, Look]
) -> Panel:
    with drawing(_height(masks)) as (figure, axes):
        for label, mask in masks.items():
            counts = np.histogram(mask, _BINS)[0]
            look = looks[label]
            axes.stairs(counts, _BINS, color=look.colour, fill=True, alpha=0.18)
            axes.stairs(
                counts, _BINS, color=look.colour, linestyle=look.line, linewidth=1.4,
                label=wrap(label),
            )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_xlabel("mask value")
        axes.set_ylabel("columns")
        legend_above(figure, axes)
    words = "; ".join(
        f"{label} from {mask.min():.2f} to {mask.max():.2f}" for label, mask in masks.items()
    )
    return Panel(f"{name}-histogram", figure, f"Histogram of the mask of {modality}: {words}.")


def _sorted(
    name: str,
    modality: str,
    masks: Mapping[str, FloatArray],
    looks: Mapping[str, Look],
    truth: BoolArray | None,
) -> Panel:
    marked = truth is not None and len(truth) <= _MOST_SYMBOLS
    with drawing(_height(masks)) as (figure, axes):
        for label, mask in masks.items():
            order = np.argsort(-mask, kind="stable")
            place, look = np.arange(1, len(mask) + 1), looks[label]
            axes.plot(
                place, mask[order], look.line, color=look.colour, label=wrap(label),
                zorder=look.order,
            )  # fmt: skip
            if truth is not None and marked:
                spurious = ~truth[order]
                for chosen, face in ((~spurious, look.colour), (spurious, "white")):
                    axes.plot(
                        place[chosen], mask[order][chosen], look.marker, markersize=3.6,
                        color=look.colour, markerfacecolor=face, markeredgewidth=0.9,
                    )  # fmt: skip
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("rank" + (" (filled: invariant, hollow: spurious)" if marked else ""))
        axes.set_ylabel("mask value")
        legend_above(figure, axes)
    words = "; ".join(
        f"{label} median {np.median(mask):.2f}" if len(mask) else label
        for label, mask in masks.items()
    )
    return Panel(f"{name}-sorted", figure, f"Sorted mask of {modality}: {words}.")


def _height(masks: Mapping[str, FloatArray]) -> float:
    return 0.62 * WIDTH


def _mean(values: Sequence[float] | FloatArray) -> float:
    return float(np.mean(values))
