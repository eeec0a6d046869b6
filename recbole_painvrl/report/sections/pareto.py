"""The two losses of the mask stage, their weights, and the Pareto-stationarity residual."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.html import Markup, join, section, table
from recbole_painvrl.report.plots.pareto import pareto_panels, stepped, trajectory
from recbole_painvrl.report.plots.style import Look, Panels

_CAPTION = (
    "Mask stage. Path in the plane of both losses, from the hollow to the filled mark, coloured "
    "by the weight of L_ERM; grey are single steps, lines are averages over a 30th of the steps. "
    "The residual is the norm of the combined (and, where so configured, normalised) gradient by "
    "the mask: 0 is Pareto-stationary. Residuals under different normalisations or fixed weights "
    "are on different scales."
)


def pareto(block: Block, panels: Panels, looks: Mapping[str, Look]) -> Markup:
    """Paths, weights and residuals; nothing where no run has a trajectory."""
    groups = stepped(block)
    if not groups:
        return Markup("")
    rows = []
    for group in groups:
        steps = trajectory(group.first)
        tenth = max(1, len(steps["w_erm"]) // 10)
        figures: list[object] = [
            f"{group.label}, seed {group.first.done.seed}",
            str(group.first.value("loss_weighting") or "fixed"),
            str(group.first.value("gradient_normalization") or "none"),
            str(len(steps["w_erm"])),
        ]
        for name in ("l_erm", "l_irm", "w_erm", "stationarity", "cosine"):
            values = steps.get(name, np.asarray([]))
            figures.append(
                f"{values[:tenth].mean():.3g} → {values[-tenth:].mean():.3g}"
                if len(values)
                else "–"
            )
        rows.append(figures)
    head = ["run", "weights", "gradient normalisation", "steps", "L_ERM", "L_IRM",
            "weight of L_ERM", "residual", "cosine of the gradients"]  # fmt: skip
    content = join([
        panels.show(pareto_panels(block, looks), _CAPTION),
        table("Mean of the first → of the last tenth of the steps", head, rows),
    ])  # fmt: skip
    return section("ERM against IRM", content, f"{block.key}-pareto", 3)
