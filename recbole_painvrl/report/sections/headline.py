"""The table of metrics, and what it says about the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
from recbole_painvrl.report.html import (
    Markup,
    details,
    join,
    link,
    paragraph,
    section,
    table,
    tag,
)
from recbole_painvrl.report.plots.recall import cutoff_panels
from recbole_painvrl.report.plots.style import Look, Panels
from recbole_painvrl.run.summary import part_name

METHOD = "PaInvRL"


def metric_name(metric: str) -> str:
    """``ndcg@10`` as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    capitals = ("ndcg", "mrr", "map", "auc", "gauc", "rmse", "mae")
    shown = {name: name.upper() for name in capitals} | {
        "ndcg_hits": "NDCG of hits", "logloss": "LogLoss",
    }  # fmt: skip
    return shown.get(name, name.capitalize()) + at + k


def headline(block: Block, panels: Panels, looks: Mapping[str, Look], page: Path) -> Markup:
    """Metrics of all columns, the verdict and the curve over K."""
    tables = join(_metrics_table(block, part, page) for part in block.parts)
    curve = panels.show(
        cutoff_panels(block, looks),
        "A metric by its cut-off K (the paper's Fig. 2)"
        + (
            "; bars are standard deviations over seeds."
            if any(len(group.runs) > 1 for group in block.groups)
            else "; one seed per model."
        ),
    )
    legend = paragraph(
        join([
            Markup("<b>Bold</b> is the best of a row, <u>underlined</u> the second. "),
            _spread_note(block),
            " Every number links to its run folder, a mean over seeds to the list of its runs.",
        ]),
        "note",
    )  # fmt: skip
    content = join([standing_text(block), tables, legend, curve])
    return section("Metrics", content, f"{block.key}-metrics", 3)


def _spread_note(block: Block) -> str:
    if any(len(group.runs) > 1 for group in block.groups):
        return "Columns of several seeds show mean ± standard deviation."
    return "One seed per column: nothing is known about the spread."


def _metrics_table(block: Block, part: str, page: Path) -> Markup:
    head: list[object] = ["metric", *(_head(group) for group in block.groups)]
    rows = [_row(block, part, metric, page) for metric in block.metrics]
    caption = part_name(part)
    if part == "valid":
        caption += ", which chose the epoch"
        return details("Validation metrics", table(caption, head, rows))
    return table(caption, head, rows)


def _head(group: Group) -> Markup:
    seeds = ", ".join(str(run.done.seed) for run in group.runs)
    word = "seed" if len(group.runs) == 1 else "seeds"
    return join([group.label, tag("small", f"{word} {seeds}")], " ")


def _row(block: Block, part: str, metric: str, page: Path) -> list[object]:
    means = [group.mean(part, metric) for group in block.groups]
    known = sorted(
        {round(mean, 6) for mean in means if mean is not None},
        reverse=not smaller_is_better(metric),
    )
    row: list[object] = [metric_name(metric)]
    for group, mean in zip(block.groups, means, strict=True):
        if mean is None:
            row.append("–")
            continue
        spread = group.spread(part, metric)
        shown: object = f"{mean:.4f}"
        if len(known) > 1 and round(mean, 6) in known[:2]:
            shown = tag("b" if round(mean, 6) == known[0] else "u", shown)
        if len(group.runs) == 1:
            cell = link(group.first.folder, page, shown, str(group.first.folder))
        else:
            cell = tag("a", shown, href=f"#{anchor(block, group)}")
        row.append(cell if spread is None else join([cell, tag("small", f"± {spread:.4f}")], " "))
    return row


def anchor(block: Block, group: Group) -> str:
    """Where the runs of a column are listed."""
    return f"{block.key}-runs-{block.groups.index(group) + 1}"


def standing_text(block: Block) -> Markup:
    """Where the method is better, worse or level, in words and as a table."""
    methods = [group.method() for group in block.groups]
    own = next((group for group in block.groups if group.model == METHOD), None)
    if own is None or len(methods) < 2:
        return _without_method(block)
    chosen = reference(methods, own.label, own.first.done.valid_metric.lower())
    columns = [(part, metric) for part in block.parts if part != VALID for metric in block.metrics]
    found = compare(methods, own.label, chosen, columns)
    main = [one for one in found if one.family == PRIMARY] or found
    words = (
        f"Against {chosen}, the best other column by validation, {own.label}"
        if chosen is not None
        else f"Without validation figures there is no best other column. {own.label}"
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
    first_k = {name: ks[0] for name, ks in cutoffs(block.metrics).items()}
    shown = [column for column in columns if _is_first(column[1], first_k)]
    sentences = (standing(methods, own.label, column, found) for column in shown)
    return join([
        paragraph(words + "."),
        tag("ul", join(tag("li", sentence) for sentence in sentences if sentence)),
        _tests_table(own, [one for one in main if _is_first(one.metric, first_k)]),
        details("Every metric and every other column", _tests_table(own, found)),
        paragraph(f"Tests are {TESTS}", "note"),
    ])  # fmt: skip


def _without_method(block: Block) -> Markup:
    if len(block.groups) < 2:
        return paragraph("One column: there is nothing to compare it with.", "note")
    return paragraph(
        f"There is no run of {METHOD} here, so no method is judged against the others.", "note"
    )


def _is_first(metric: str, first_k: Mapping[str, int]) -> bool:
    name, _, k = metric.partition("@")
    return name not in first_k or k == str(first_k[name])


def _tests_table(own: Group, found: list[Comparison]) -> Markup:
    rows = []
    for one in found:
        change = (one.value - one.other_value) / one.other_value if one.other_value else None
        cells: list[object] = [
            f"{metric_name(one.metric)}, {part_name(one.part)}", one.other,
            "–" if change is None else f"{change:+.1%}",
        ]  # fmt: skip
        if one.paired is None:
            cells += ["–", "–", "–", "–", f"not tested: {one.untested}"]
        else:
            effect = one.paired.effect
            cells += [
                f"{one.paired.difference:+.4f} [{one.paired.low:+.4f}, {one.paired.high:+.4f}]",
                f"{effect:+.2f}" if np.isfinite(effect) else "–",
                _p(one.holm_t),
                _p(one.holm_wilcoxon),
                one.outcome,
            ]
        rows.append(cells)
    head = ["metric", "other column", "change", "difference [95 %]", "effect d", "p (t, Holm)",
            "p (Wilcoxon, Holm)", "outcome"]  # fmt: skip
    return table(f"{own.label} against other columns", head, rows)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
