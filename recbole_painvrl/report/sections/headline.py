"""The tables of metrics, the comparison of the method with the other columns, and curves over K."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_painvrl.evaluation.comparison import (
    ORACLE,
    PRIMARY,
    TESTS,
    VALID,
    Comparison,
    Method,
    part_name,
    rivals,
    standing,
)
from recbole_painvrl.evaluation.significance import PairedComparison
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.plots.style import Figures, wrap
from recbole_painvrl.report.render import Cell, Drawing, address, metric_name
from recbole_painvrl.report.sections.forest import forest


def headline(block: Block, figures: Figures, page: Path, method: Group | None) -> dict[str, Any]:
    """Metrics of all columns, the comparison and the curves over K.

    Args:
        block: the runs.
        figures: of the block.
        page: the page, from which links are relative.
        method: the group that is compared with the others.
    """
    seeds = [seeds_of(group) for group in block.groups]
    common = seeds[0] if len(set(seeds)) == 1 else ""
    names = [
        Cell(group.label, small="" if common else own)
        for group, own in zip(block.groups, seeds, strict=True)
    ]
    tables = []
    for split in block.splits:
        columns = [_cells(block, split, name, page) for name in block.metrics]
        tables.append((split, list(zip(names, *columns, strict=True))))
    return {
        "columns": len(block.groups),
        "seeds": common,
        "has_oracle": block.has_oracle,
        "several": any(len(group.runs) > 1 for group in block.groups),
        "judged": _standing(block, figures, method) if method and len(block.groups) > 1 else None,
        "metrics": [metric_name(name) for name in block.metrics],
        "tables": tables,
        "drawings": _over_k(block, figures),
    }


def seeds_of(group: Group) -> str:
    """The seeds of a column, in words."""
    seeds = ", ".join(str(run.done.seed) for run in group.runs)
    return f"seed{'s' * (len(group.runs) > 1)} {seeds}"


def _cells(block: Block, split: str, metric: str, page: Path) -> list[str | Cell]:
    """Mean and standard deviation of every group; the best and second mean are marked."""
    places = block.places((split, metric))
    cells: list[str | Cell] = []
    for group in block.groups:
        number = group.number(split, metric)
        if number is None:
            cells.append("–")
            continue
        one = group.first.folder if len(group.runs) == 1 else None
        cells.append(
            Cell(
                f"{number.mean:.4f}",
                f"#{block.anchor(group)}" if one is None else address(one, page),
                "" if one is None else str(one),
                places.get(group.label, ""),
                "" if number.sd is None else f"± {number.sd:.4f}",
            )
        )
    return cells


def _standing(block: Block, figures: Figures, method: Group) -> dict[str, Any]:
    """Where the method is better, worse or neither, as sentences, figures and tables."""
    methods, chosen, columns, found = block.judge(method)
    oracles = {one.label for one in methods if one.control == ORACLE}
    fair = [one for one in found if one.other not in oracles]
    primary = [one for one in found if one.family == PRIMARY] or fair
    # Sentences and the first table have the smallest cut-off of every metric only.
    first_k = {metric: str(ks[0]) for metric, ks in _cutoffs(block.metrics).items()}
    shown = []
    for metric in block.metrics:
        name, _, k = metric.partition("@")
        if k == first_k.get(name, k):
            shown.append(metric)
    main = method.valid_metric if method.valid_metric in shown else next(iter(shown), "")
    drawn = {
        metric: forest(figures, method.label, found, metric, metric_name(metric))
        for metric in shown
    }
    sentences = (
        standing(methods, method.label, column, found) for column in columns if column[1] in shown
    )
    return {
        "label": method.label,
        "chosen": chosen,
        "tests": len(primary),
        "oracle": len(fair) < len(found) and not chosen,
        "counts": Counter(one.outcome for one in primary),
        "drawings": drawn.pop(main, []),
        "others": [drawing for drawings in drawn.values() for drawing in drawings],
        "without": _without(methods, method.label),
        "sentences": [sentence for sentence in sentences if sentence],
        # Its caption names the other one.
        "main": [
            row[:1] + row[2:] if chosen else row
            for row in _tests(
                [one for one in primary if one.metric in (shown if chosen else [main])]
            )
        ],
        "every": _tests(found),
        "about": TESTS,
    }


def _without(methods: Sequence[Method], label: str) -> str:
    """Which columns the sentences leave out."""
    compared = {one.label for one in rivals(methods, label)} | {label}
    left_out = {one.control for one in methods if one.label not in compared}
    if not left_out:
        return ""
    return "; without the oracle" if left_out == {ORACLE} else "; without the controls of a mask"


def difference(p: PairedComparison) -> str:
    """A difference and its interval, which is not broken over lines."""
    return f"{p.difference:+.4f} [{p.low:+.4f},\u00a0{p.high:+.4f}]"


def _tests(found: Sequence[Comparison]) -> list[list[str]]:
    """A row per comparison."""
    rows = []
    for one in found:
        change = (one.value - one.other_value) / one.other_value if one.other_value else None
        tested = ["–"] * 4 + [f"not tested: {one.untested}"]
        if one.paired is not None:
            p = one.paired
            tested = [
                difference(p),
                f"{p.effect:+.2f}" if np.isfinite(p.effect) else "–",
                *(
                    "< 0.001" if holm < 0.001 else f"{holm:.3f}"
                    for holm in (one.holm_t, one.holm_wilcoxon)
                ),
                one.outcome,
            ]
        where = f"{metric_name(one.metric)}, {part_name(one.part)}"
        rows.append([where, one.other, "–" if change is None else f"{change:+.1%}", *tested])
    return rows


def _cutoffs(metrics: Iterable[str]) -> dict[str, list[int]]:
    """``{"recall": [10, 20], ...}`` of ``recall@10``...; without metrics that have no cut-off."""
    found: dict[str, list[int]] = defaultdict(list)
    for metric in metrics:
        name, _, k = metric.partition("@")
        if k.isdigit():
            found[name].append(int(k))
    return {name: sorted(ks) for name, ks in found.items()}


def _over_k(block: Block, figures: Figures) -> list[Drawing]:
    """Recall, or else the metric with most cut-offs, over K: one figure per test set."""
    found = _cutoffs(block.metrics)
    metric = "recall" if "recall" in found else max(found, key=lambda n: len(found[n]), default="")
    ks = found.get(metric, [])
    if len(ks) < 2:
        return []
    drawn = []
    for split in (split for split in block.splits if split != VALID):
        sketch = figures.sketch()
        for group in block.groups:
            numbers = [group.number(split, f"{metric}@{k}") for k in ks]
            values = [np.nan if one is None else one.mean for one in numbers]
            deviations = [0.0 if one is None else one.sd or 0.0 for one in numbers]
            look = sketch.looks[group.label]
            sketch.axes.errorbar(
                ks,
                values,
                yerr=deviations if any(deviations) else None,
                label=wrap(group.label),
                color=look.colour,
                marker=look.marker,
                linestyle=look.line,
                capsize=2,
                zorder=look.order,
            )
            sketch.words.append(f"{group.label} from {values[0]:.4f} to {values[-1]:.4f}")
        sketch.axes.set_xticks(ks)
        sketch.axes.set_ylim(bottom=0)
        what = f"{metric}@K on {part_name(split)} for K from {ks[0]} to {ks[-1]}"
        y = f"{metric.upper() if len(metric) <= 4 else metric.capitalize()}@K"
        drawn.append(sketch.finish(f"{metric}-at-k-{split}", what, "K", y, part_name(split)))
    return drawn
