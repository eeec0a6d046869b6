"""The table of metrics, what it says about the method, and the curve over K."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

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
from recbole_painvrl.report.parts import Bullets, Cell, PageTable, Part, Section, Text, address
from recbole_painvrl.report.plots.style import Looks, Panel, Panels, Sketch, wrap
from recbole_painvrl.run.summary import part_name

_CAPITALS = ("ndcg", "mrr", "map", "auc", "gauc", "rmse", "mae")
_TESTS_HEAD = ["metric", "other column", "change", "difference [95 %]", "effect d",
               "p (t, Holm)", "p (Wilcoxon, Holm)", "outcome"]  # fmt: skip


def metric_name(metric: str) -> str:
    """``ndcg@10`` as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    shown = {"ndcg_hits": "NDCG of hits", "logloss": "LogLoss"}.get(name, name.capitalize())
    return (name.upper() if name in _CAPITALS else shown) + at + k


def headline(
    block: Block, looks: Looks, panels: Panels, page: Path, method: Group | None, name: str
) -> Section:
    """Metrics of all columns, the verdict and the curve over K.

    Args:
        block: the runs.
        looks: of its groups.
        panels: draws.
        page: where links start.
        method: the group that is judged against the others.
        name: what it is called, where it is missing here.
    """
    several = any(len(group.runs) > 1 for group in block.groups)
    spread = (
        "Columns of several seeds show mean ± standard deviation."
        if several
        else "One seed per column: nothing is known about the spread."
    )
    legend = (
        f"Bold is the best of a row, underlined the second. {spread} Every number links to its "
        "run folder, a mean over seeds to the list of its runs."
    )
    caption = "A metric by its cut-off K (the paper's Fig. 2)" + (
        "; bars are standard deviations over seeds." if several else "; one seed per model."
    )
    parts: list[Part] = [
        *_standing(block, method, name),
        *(_metrics(block, part, page) for part in block.parts),
        Text(legend, note=True),
        panels.figure(_over_k(block, looks), caption),
    ]
    return Section(f"{block.key}-metrics", "Metrics", parts)


def _metrics(block: Block, part: str, page: Path) -> PageTable:
    head: list[str | Cell] = ["metric"]
    for group in block.groups:
        seeds = ", ".join(str(run.done.seed) for run in group.runs)
        head.append(Cell(group.label, small=f"seed{'s' * (len(group.runs) > 1)} {seeds}"))
    rows = [[metric_name(metric), *_cells(block, part, metric, page)] for metric in block.metrics]
    if part == VALID:
        return PageTable(f"{VALID}, which chose the epoch", head, rows, folded="Validation metrics")
    return PageTable(part_name(part), head, rows)


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


def _standing(block: Block, own: Group | None, name: str) -> list[Part]:
    """Where the method is better, worse or level, in words and as a table."""
    if len(block.groups) < 2:
        return [Text("One column: there is nothing to compare it with.", note=True)]
    if own is None:
        words = f"There is no run of {name} here, so no method is judged against the others."
        return [Text(words, note=True)]
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
    return [
        Text(_verdict(own.label, chosen, main)),
        Bullets([sentence for sentence in sentences if sentence]),
        _tests(own.label, [one for one in main if one.metric in shown]),
        _tests(own.label, found, "Every metric and every other column"),
        Text(f"Tests are {TESTS}", note=True),
    ]


def _verdict(label: str, chosen: str | None, main: Sequence[Comparison]) -> str:
    words = (
        f"Against {chosen}, the best other column by validation, {label}"
        if chosen is not None
        else f"Without validation figures there is no best other column. {label}"
    )
    counts = Counter(one.outcome for one in main)
    words += (
        f" is significantly better in {counts['better']} of {len(main)} comparisons and "
        f"significantly worse in {counts['worse']}; {counts['not significant']} differences are "
        "not significant"
    )
    if counts["the tests disagree"]:
        words += f"; in {counts['the tests disagree']} the two tests disagree"
    if counts["not tested"]:
        words += f"; {counts['not tested']} could not be tested"
    return words + "."


def _tests(label: str, found: Sequence[Comparison], folded: str = "") -> PageTable:
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
    return PageTable(f"{label} against other columns", _TESTS_HEAD, rows, folded=folded)


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
