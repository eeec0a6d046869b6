"""The mask per modality, and how it compares with planted truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.html import Markup, join, paragraph, section, table
from recbole_painvrl.report.plots.masks import (
    mask_modalities,
    mask_panels,
    masked,
    planted_columns,
)
from recbole_painvrl.report.plots.style import Look, Panels
from recbole_painvrl.report.read import is_number


def masks(block: Block, panels: Panels, looks: Mapping[str, Look]) -> Markup:
    """Fig. 3 for every modality; nothing where no run has a mask."""
    groups = masked(block)
    if not groups:
        return Markup("")
    parts: list[object] = []
    for modality in mask_modalities(block):
        known = planted_columns(block, modality) is not None
        caption = f"The mask of {modality} (the paper's Fig. 3): strips, histogram, sorted. "
        caption += (
            "Here the right answer is planted: 1 on invariant columns, 0 on spurious ones."
            if known
            else "Which columns are invariant is not known for this modality."
        )
        parts.append(panels.show(mask_panels(block, looks, modality), caption))
    several = [group for group in groups if len(group.runs) > 1]
    if several:
        seeds = ", ".join(f"{group.label}: {group.first.done.seed}" for group in groups)
        parts.append(paragraph(f"Shown is one seed per column ({seeds}).", "note"))
    parts.append(_statistics(block))
    parts.append(_scores(block))
    return section("Mask", join(parts), f"{block.key}-mask", 3)


def _statistics(block: Block) -> Markup:
    rows = []
    for group in masked(block):
        for modality in group.first.modalities:
            mask = group.first.mask[modality].astype(float)
            rows.append([
                f"{group.label}, {modality}", str(len(mask)), f"{mask.mean():.3f}",
                f"{mask.std():.3f}", f"{mask.min():.3f}", f"{mask.max():.3f}",
            ])  # fmt: skip
    head = ["mask", "columns", "mean", "standard deviation", "smallest", "largest"]
    return table("Statistics of the masks", head, rows)


def _scores(block: Block) -> Markup:
    rows = []
    for group in masked(block):
        for run in group.runs:
            scores = run.done.planted.get("mask")
            if isinstance(scores, dict):
                for modality, part in scores.items():
                    name = f"{group.label}, seed {run.done.seed}, {modality}"
                    rows.append([name, *(_figure(part, key) for key in _SCORES)])
    if not rows:
        return Markup("")
    head = ["mask", *_SCORES.values()]
    return table("The masks against planted truth (AUC 1 is perfect, 0.5 is chance)", head, rows)


_SCORES = {
    "auc": "AUC",
    "auc_shuffled": "AUC, truth shuffled",
    "mean_invariant": "mean, invariant",
    "mean_spurious": "mean, spurious",
}


def _figure(part: Any, key: str) -> str:
    value = part.get(key) if isinstance(part, dict) else None
    return f"{value:.3f}" if is_number(value) else "–"
