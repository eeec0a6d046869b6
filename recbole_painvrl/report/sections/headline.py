"""The table of metrics, and what it says about the method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recbole_painvrl.report.contents import smaller_is_better
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
from recbole_painvrl.report.table import part_name
from recbole_painvrl.report.verdict import METHOD, Verdict, verdicts


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
    content = join([verdict_text(block), tables, legend, curve])
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


def verdict_text(block: Block) -> Markup:
    """Where the method wins, ties and loses, in words and as a table."""
    found = verdicts(block)
    if not found:
        return _without_method(block)
    first_k = {name: ks[0] for name, ks in cutoffs(block.metrics).items()}
    main = [v for v in found if _is_first(v.metric, first_k)]
    counts = {word: sum(v.outcome == word for v in found)
              for word in ("wins", "ties", "loses", "untested")}  # fmt: skip
    method = found[0].method
    words = (
        f"Against the best other column of each row, {method} is significantly better in "
        f"{counts['wins']} of {len(found)} cells, significantly worse in {counts['loses']}, and "
        f"not to be told apart in {counts['ties']}"
        + (f"; {counts['untested']} could not be tested" if counts["untested"] else "")
        + "."
    )
    losses = [v for v in main if v.behind]
    lines = [_loss(v) for v in losses]
    parts: list[object] = [paragraph(words)]
    if lines:
        parts.append(paragraph(f"Where {method} does not win:"))
        parts.append(tag("ul", join(tag("li", line) for line in lines)))
    elif main:
        parts.append(paragraph(f"{method} is behind in no row at the first cut-off."))
    parts.append(_verdict_table(main, "at the first cut-off"))
    if len(found) > len(main):
        parts.append(details("The same for every cut-off", _verdict_table(found, "everywhere")))
    return join(parts)


def _without_method(block: Block) -> Markup:
    if len(block.groups) < 2:
        return paragraph("One column: there is nothing to compare it with.", "note")
    return paragraph(
        f"There is no run of {METHOD} here, so no method is judged against the others.", "note"
    )


def _is_first(metric: str, first_k: Mapping[str, int]) -> bool:
    name, _, k = metric.partition("@")
    return name not in first_k or k == str(first_k[name])


def _loss(v: Verdict) -> str:
    change = f"{(v.value - v.best) / v.best:+.1%}" if v.best else "behind 0"
    text = (
        f"{metric_name(v.metric)} on {part_name(v.part)}: {v.value:.4f} against {v.best:.4f} of "
        f"{v.other} ({change})"
    )
    if v.test is None:
        return f"{text}; not tested: {v.why_not}"
    certain = "significant" if v.outcome == "loses" else "not significant"
    return f"{text}; {certain}, p = {_p(v.p)} over {v.test.n} users"


def _verdict_table(found: list[Verdict], where: str) -> Markup:
    rows = []
    for v in found:
        change = f"{(v.value - v.best) / v.best:+.1%}" if v.best else "–"
        test = v.test
        cells: list[object] = [
            f"{metric_name(v.metric)}, {part_name(v.part)}", v.other, change,
        ]  # fmt: skip
        if test is None:
            cells += ["–", "–", "–", "–", f"not tested: {v.why_not}"]
        else:
            cells += [
                f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}]",
                f"{test.effect:+.2f}" if np.isfinite(test.effect) else "–",
                _p(v.p),
                _p(test.p_wilcoxon),
                {"wins": "better", "loses": "worse", "ties": "not significant"}[v.outcome],
            ]
        rows.append(cells)
    head = ["metric", "best other", "change", "difference [95 %]", "effect d", "p (t, Holm)",
            "p (Wilcoxon)", "outcome"]  # fmt: skip
    method = found[0].method if found else METHOD
    caption = (
        f"{method} against the best other column, {where}: tests are paired over users, on the "
        "seeds that both columns have; change is of the means over all seeds"
    )
    return table(caption, head, rows)


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
