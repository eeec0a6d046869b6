"""Fig. 2: a metric by its cut-off K."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recbole_painvrl.report.groups import Block, cutoffs
from recbole_painvrl.report.plots.style import Look, Panel, drawing, legend_above, wrap
from recbole_painvrl.run.summary import part_name


def curve_metric(block: Block) -> tuple[str, list[int]]:
    """Recall, or else the first metric, with its cut-offs; fewer than two make no curve."""
    found = cutoffs(block.metrics)
    if not found:
        return "", []
    name = "recall" if "recall" in found else max(found, key=lambda key: len(found[key]))
    return name, found[name]


def cutoff_panels(block: Block, looks: Mapping[str, Look]) -> list[Panel]:
    """One panel per test set; empty where the runs have a single cut-off."""
    metric, ks = curve_metric(block)
    if len(ks) < 2:
        return []
    tests = [part for part in block.parts if part != "valid"]
    return [_panel(block, looks, part, metric, ks) for part in tests]


def _panel(block: Block, looks: Mapping[str, Look], part: str, metric: str, ks: list[int]) -> Panel:
    words = []
    with drawing() as (figure, axes):
        for group in block.groups:
            means = [group.mean(part, f"{metric}@{k}") for k in ks]
            spreads = [group.spread(part, f"{metric}@{k}") or 0.0 for k in ks]
            values = np.asarray([np.nan if mean is None else mean for mean in means])
            look = looks[group.label]
            axes.errorbar(
                ks, values, yerr=spreads if any(spreads) else None, label=wrap(group.label),
                color=look.colour, marker=look.marker, linestyle=look.line, capsize=2,
                zorder=look.order,
            )  # fmt: skip
            words.append(f"{group.label} from {values[0]:.4f} to {values[-1]:.4f}")
        axes.set_xticks(ks)
        axes.set_xlabel("K")
        axes.set_ylabel(f"{metric.upper() if len(metric) <= 4 else metric.capitalize()}@K")
        axes.set_title(part_name(part))
        axes.set_ylim(bottom=0)
        legend_above(figure, axes)
    alt = f"{metric}@K on {part_name(part)} for K from {ks[0]} to {ks[-1]}: {'; '.join(words)}."
    return Panel(f"{block.key}-{metric}-at-k-{part}", figure, alt)
