"""The table of metrics, what it says about the method, and the curve over K."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_painvrl.evaluation.comparison import (
    PRIMARY,
    TESTS,
    VALID,
    Comparison,
    compare,
    reference,
    smaller_is_better,
    standing,
)
from recbole_painvrl.report.groups import Block, Group, cutoffs
from recbole_painvrl.report.plots.style import Looks, Panel, Panels, Sketch, wrap
from recbole_painvrl.report.render import Cell, address
from recbole_painvrl.run.summary import part_name

_CAPITALS = ("ndcg", "mrr", "map", "auc", "gauc", "rmse", "mae")


def metric_name(metric: str) -> str:
    """``ndcg@10`` as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    shown = {"ndcg_hits": "NDCG of hits", "logloss": "LogLoss"}.get(name, name.capitalize())
    return (name.upper() if name in _CAPITALS else shown) + at + k


def headline(
    block: Block, looks: Looks, panels: Panels, page: Path, method: Group | None
) -> dict[str, Any]:
    """Metrics of all columns, the verdict and the curve over K.

    Args:
        block: the runs.
        looks: of its groups.
        panels: draws.
        page: where links start.
        method: the group that is judged against the others.
    """
    head: list[str | Cell] = ["metric"]
    for group in block.groups:
        seeds = ", ".join(str(run.done.seed) for run in group.runs)
        head.append(Cell(group.label, small=f"seed{'s' * (len(group.runs) > 1)} {seeds}"))
    tables = [
        (part, [[metric_name(name), *_cells(block, part, name, page)] for name in block.metrics])
        for part in block.parts
    ]
    return {
        "columns": len(block.groups),
        "several": any(len(group.runs) > 1 for group in block.groups),
        "judged": _standing(block, method) if method and len(block.groups) > 1 else None,
        "head": head,
        "tables": [(part, part_name(part), rows) for part, rows in tables],
        "drawings": panels.draw(_over_k(block, looks)),
    }


def _cells(block: Block, part: str, metric: str, page: Path) -> list[str | Cell]:
    """The means of a metric, with marks on the best and the second."""
    means = [group.mean(part, metric) for group in block.groups]
    order = sorted({round(mean, 6) for mean in means if mean is not None},
                   reverse=not smaller_is_better(metric))  # fmt: skip
    marks = dict(zip(order, ("best", "second"), strict=False)) if len(order) > 1 else {}
    cells: list[str | Cell] = []
    for group, mean in zip(block.groups, means, strict=True):
        if mean is None:
            cells.append("–")
            continue
        spread = group.spread(part, metric)
        one = group.first.folder if len(group.runs) == 1 else None
        cells.append(
            Cell(
                f"{mean:.4f}",
                f"#{block.anchor(group)}" if one is None else address(one, page),
                "" if one is None else str(one),
                marks.get(round(mean, 6), ""),
                "" if spread is None else f"± {spread:.4f}",
            )
        )
    return cells


def _standing(block: Block, own: Group) -> dict[str, Any]:
    """Where the method is better, worse or level, in words and as a table."""
    methods = [group.method() for group in block.groups]
    chosen = reference(methods, own.label, own.valid_metric)
    columns = [(part, metric) for part in block.parts if part != VALID for metric in block.metrics]
    found = compare(methods, own.label, chosen, columns)
    main = [one for one in found if one.family == PRIMARY] or found
    first_k = {metric: str(ks[0]) for metric, ks in cutoffs(block.metrics).items()}
    shown = []
    for metric in block.metrics:
        short, _, k = metric.partition("@")
        if k == first_k.get(short, k):
            shown.append(metric)
    sentences = (
        standing(methods, own.label, column, found) for column in columns if column[1] in shown
    )
    return {
        "label": own.label,
        "chosen": chosen,
        "tests": len(main),
        "counts": Counter(one.outcome for one in main),
        "sentences": [sentence for sentence in sentences if sentence],
        "main": _tests([one for one in main if one.metric in shown]),
        "every": _tests(found),
        "about": TESTS,
    }


def _tests(found: Sequence[Comparison]) -> list[list[str]]:
    """A row per comparison."""
    rows = []
    for one in found:
        change = (one.value - one.other_value) / one.other_value if one.other_value else None
        tested = ["–"] * 4 + [f"not tested: {one.untested}"]
        if one.paired is not None:
            p = one.paired
            tested = [
                f"{p.difference:+.4f} [{p.low:+.4f}, {p.high:+.4f}]",
                f"{p.effect:+.2f}" if np.isfinite(p.effect) else "–",
                *(
                    "< 0.001" if holm < 0.001 else f"{holm:.3f}"
                    for holm in (one.holm_t, one.holm_wilcoxon)
                ),
                one.outcome,
            ]
        rows.append([
            f"{metric_name(one.metric)}, {part_name(one.part)}", one.other,
            "–" if change is None else f"{change:+.1%}", *tested,
        ])  # fmt: skip
    return rows


def _over_k(block: Block, looks: Looks) -> list[Panel]:
    """Recall, or else the first metric with most cut-offs, by K: a panel per test set."""
    found = cutoffs(block.metrics)
    metric = "recall" if "recall" in found else max(found, key=lambda n: len(found[n]), default="")
    ks = found.get(metric, [])
    if len(ks) < 2:
        return []
    panels = []
    for part in block.parts:
        if part == VALID:
            continue
        sketch = Sketch(looks)
        for group in block.groups:
            means = [group.mean(part, f"{metric}@{k}") for k in ks]
            values = np.asarray([np.nan if mean is None else mean for mean in means])
            spreads = [group.spread(part, f"{metric}@{k}") or 0.0 for k in ks]
            look = looks[group.label]
            sketch.axes.errorbar(
                ks, values, yerr=spreads if any(spreads) else None, label=wrap(group.label),
                color=look.colour, marker=look.marker, linestyle=look.line, capsize=2,
                zorder=look.order,
            )  # fmt: skip
            sketch.words.append(f"{group.label} from {values[0]:.4f} to {values[-1]:.4f}")
        sketch.axes.set_xticks(ks)
        sketch.axes.set_ylim(bottom=0)
        what = f"{metric}@K on {part_name(part)} for K from {ks[0]} to {ks[-1]}"
        y = f"{metric.upper() if len(metric) <= 4 else metric.capitalize()}@K"
        name = f"{block.key}-{metric}-at-k-{part}"
        panels.append(sketch.panel(name, what, "K", y, part_name(part)))
    return panels
