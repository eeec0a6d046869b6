"""Curves of the trained stages, and what every stage cost."""

from __future__ import annotations

from collections.abc import Mapping

from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.html import Markup, join, paragraph, section, table
from recbole_painvrl.report.plots.style import Look, Panels
from recbole_painvrl.report.plots.training import cost_panels, training_panels, valid_metric


def training(block: Block, panels: Panels, looks: Mapping[str, Look]) -> Markup:
    """Loss and validation curves of every stage."""
    parts: list[object] = []
    drawn = [panel for stage in training_panels(block, looks).values() for panel in stage]
    chosen = ", ".join(dict.fromkeys(valid_metric(group) for group in block.groups))
    caption = (
        f"Training. Losses are divided by those of the first epoch, since models do not share a "
        f"scale; validation is {chosen}, and a mark is the epoch that was kept. The only stage of "
        "a single-stage model stands beside the final stage of the others."
    )
    parts.append(panels.show(drawn, caption))
    without = [group.label for group in block.groups
               if not any(stage.history for stage in group.first.done.stages)]  # fmt: skip
    if without:
        parts.append(
            paragraph(f"No curve was recorded per epoch for: {', '.join(without)}.", "note")
        )
    return section("Training", join(parts), f"{block.key}-training", 3)


def cost(block: Block, panels: Panels, looks: Mapping[str, Look]) -> Markup:
    """Seconds and memory per stage, as bars and as a table."""
    rows = []
    for group in block.groups:
        for run in group.runs:
            name = f"{group.label}, seed {run.done.seed}"
            for stage in run.done.stages:
                epochs = "–" if stage.epochs is None else str(stage.epochs)
                best = "–" if stage.best_epoch is None else str(stage.best_epoch)
                rows.append([f"{name}: {stage.name}", epochs, best, f"{stage.seconds:,.1f}",
                             f"{stage.peak_memory_mb:,.0f}"])  # fmt: skip
            rows.append([f"{name}: whole run", "–", "–", f"{run.done.seconds:,.1f}",
                         f"{run.done.peak_memory_mb:,.0f}"])  # fmt: skip
    head = ["stage", "epochs", "best epoch", "seconds", "peak memory (MiB)"]
    caption = (
        "Time (mean over seeds) and memory per stage. Memory is the largest of the process so "
        "far, so it never falls from stage to stage; times of runs on a shared machine are rough."
    )
    content = join([
        panels.show(cost_panels(block, looks), caption), table("Cost of every stage", head, rows),
    ])  # fmt: skip
    return section("Time and memory", content, f"{block.key}-cost", 3)
