"""A table of a grid as CSV, Markdown, LaTeX and one self-contained HTML page."""

from __future__ import annotations

import csv
import html
import io
import math
import os
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from recbole_painvrl.evaluation.comparison import VALID, Comparison, part_name
from recbole_painvrl.evaluation.significance import PairedComparison
from recbole_painvrl.report.contents import BEST, SECOND, Number, Table, TableRow

_CSV = ("row", "part", "metric", "mean", "sd", "seeds", "values", "place", "missing",
        "run_folders")  # fmt: skip
_TESTS = (
    "method", "other", "part", "metric", "family", "seeds", "users", "difference", "low", "high",
    "effect", "effect_low", "effect_high", "p_t", "p_wilcoxon", "holm_t", "holm_wilcoxon",
)  # fmt: skip
_STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;
color:#1a1a1a;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap;
font-size:.9rem}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}
thead th{border-bottom:2px solid #1a1a1a}
td a{color:inherit;text-decoration:none}td a:hover{text-decoration:underline}
.best{font-weight:700}.second a,span.second{text-decoration:underline}
.missing{color:#a00000;text-align:left;white-space:normal}
.small{font-size:.85rem;color:#444}
tr.method td,tr.method td:first-child{background:#f2f5fa}
@media print{body{margin:0;max-width:none}.wide{overflow:visible}table{font-size:.75rem}}
"""


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "|": "\\textbar{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
}


def write_table_files(table: Table, folder: Path) -> dict[str, str]:
    """Content of every file of a table, by name.

    Args:
        table: the table.
        folder: where the files will be; links to run folders start there.
    """
    return {
        "table.csv": table_csv(table, folder),
        "significance.csv": significance_csv(table),
        "table.md": table_markdown(table, folder),
        "table.tex": table_latex(table, folder),
        "table.html": table_html(table, folder),
    }


def table_csv(table: Table, folder: Path) -> str:
    """One line per row, part (validation included) and metric."""
    lines: list[tuple[Any, ...]] = []
    for row in table.rows:
        folders = " ".join(_link(path, folder) for path in row.folders.values())
        missing = "; ".join(row.missing)
        if not row.numbers:
            lines.append((row.label, "", "", "", "", 0, "", "", missing, ""))
        for (part, metric), number in row.numbers.items():
            values = " ".join(map(repr, number.values))
            lines.append(
                (row.label, part, metric, number.mean, number.sd, len(number.values), values,
                 number.place if part != VALID else "", missing, folders)
            )  # fmt: skip
    return _csv(_CSV, lines)


def significance_csv(table: Table) -> str:
    """One line per comparison of the method with another row."""
    lines = []
    for one, p in _tested(table):
        lines.append(
            (table.method, one.other, one.part, one.metric, one.family, one.seeds, p.n,
             p.difference, p.low, p.high, p.effect, p.effect_low, p.effect_high, p.p_t,
             p.p_wilcoxon, one.holm_t, one.holm_wilcoxon)
        )  # fmt: skip
    return _csv(_TESTS, lines)


def table_markdown(table: Table, folder: Path) -> str:
    """The table, how the method stands, and the notes."""
    heads = [f"{part_name(part)} {metric}" for part, metric in table.columns]
    lines = [
        f"# {table.title}",
        "",
        _pipes(["", *heads, "runs (by seed)"]),
        _pipes(["---", *("---:" for _ in heads), "---"]),
    ]
    for row in table.rows:
        cells = _cells(row, table, _markdown_number, _markdown_text)
        runs = [f"[{seed}](<{_link(path, folder)}>)" for seed, path in row.folders.items()]
        lines.append(_pipes([_markdown_text(row.shown), *cells, " ".join(runs)]))
    lines += ["", *(f"- {_markdown_text(line)}" for line in _missing_lines(table))]
    lines += [f"- {_markdown_text(line)}" for line in (*table.sentences, *table.notes)]
    return "\n".join(lines) + "\n"


def table_latex(table: Table, folder: Path) -> str:
    """A ``booktabs`` table; the run folders are comments."""
    parts = list(dict.fromkeys(part for part, _ in table.columns))
    widths = [sum(part == other for other, _ in table.columns) for part in parts]
    groups, rules, at = [], [], 2
    for part, width in zip(parts, widths, strict=True):
        groups.append(f"\\multicolumn{{{width}}}{{c}}{{{_latex_text(part_name(part))}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    heads = [_latex_text(metric) for _, metric in table.columns]
    lines = [
        "% needs \\usepackage{booktabs}",
        *(f"% {line}" for line in (*_missing_lines(table), *table.sentences, *table.notes)),
        f"\\begin{{tabular}}{{l{'r' * len(heads)}}}",
        "\\toprule",
        f" & {' & '.join(groups)} \\\\",
        " ".join(rules),
        f" & {' & '.join(heads)} \\\\",
        "\\midrule",
    ]
    for row in table.rows:
        cells = _cells(row, table, _latex_number, _latex_text)
        runs = " ".join(_link(path, folder) for path in row.folders.values())
        lines.append(f"{_latex_text(row.shown)} & {' & '.join(cells)} \\\\ % {runs}")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def table_html(table: Table, folder: Path) -> str:
    """One page without external requests; every number leads to its run folders."""
    text = html.escape
    parts = list(dict.fromkeys(part for part, _ in table.columns))
    groups = "".join(
        f'<th colspan="{sum(part == other for other, _ in table.columns)}" '
        f'style="text-align:center">{text(part_name(part))}</th>'
        for part in parts
    )
    heads = "".join(f"<th>{text(metric)}</th>" for _, metric in table.columns)
    rows = "\n".join(_html_row(row, table, place) for place, row in enumerate(table.rows))
    said = "\n".join(f"<li>{text(line)}</li>" for line in table.sentences)
    notes = "\n".join(f"<li>{text(n)}</li>" for n in (*_missing_lines(table), *table.notes))
    title = text(table.title)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
{_STYLE}</style></head><body>
<h1>{title}</h1>
<div class="wide"><table><thead><tr><th></th>{groups}</tr><tr><th></th>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
<h2>How {text(table.method)} stands</h2>
<ul>
{said or "<li>Nothing to compare yet.</li>"}
</ul>
<ul class="small">
{notes}
</ul>
{_html_tests(table)}
{_html_runs(table, folder)}
</body></html>
"""


def _cells(
    row: TableRow, table: Table, number: Callable[[Number], str], text: Callable[[str], str]
) -> list[str]:
    """The row's numbers; where there are none, what happened, once."""
    if not row.numbers:
        rest = ["-"] * (len(table.columns) - 1)
        return [text(_why(row)), *rest][: len(table.columns)]
    return [number(row.numbers[c]) if c in row.numbers else "-" for c in table.columns]


def _why(row: TableRow) -> str:
    """What happened to the missing seeds, in short and without saying the same for each."""
    reasons = dict.fromkeys(line.split(" ", 2)[2] for line in row.missing)
    return "; ".join(textwrap.shorten(reason, 90, placeholder=" ...") for reason in reasons) or "-"


def _missing_lines(table: Table) -> list[str]:
    return [f"{row.label}: {line}." for row in table.rows for line in row.missing]


def _plain(number: Number) -> str:
    return f"{number.mean:.4f}" + (f" ± {number.sd:.4f}" if number.sd is not None else "")


def _markdown_number(number: Number) -> str:
    marks = {BEST: "**{}**", SECOND: "<u>{}</u>"}
    return marks.get(number.place, "{}").format(_plain(number))


def _latex_number(number: Number) -> str:
    marks = {BEST: "\\textbf{{{}}}", SECOND: "\\underline{{{}}}"}
    mean = marks.get(number.place, "{}").format(f"{number.mean:.4f}")
    return mean if number.sd is None else f"{mean} $\\pm$ {number.sd:.4f}"


def _html_row(row: TableRow, table: Table, place: int) -> str:
    cells = []
    for column in table.columns if row.numbers else ():
        number = row.numbers.get(column)
        if number is None:
            cells.append('<td class="missing">-</td>')
            continue
        values = " ".join(f"{value:.4f}" for value in number.values)
        cells.append(
            f'<td class="{number.place}"><a href="#runs-{place}" title="per seed: '
            f'{values}">{_plain(number)}</a></td>'
        )
    if not row.numbers:
        width = max(1, len(table.columns))
        cells.append(f'<td class="missing" colspan="{width}">{html.escape(_why(row))}</td>')
    kind = ' class="method"' if row.label == table.method else ""
    return f"<tr{kind}><td>{html.escape(row.shown)}</td>{''.join(cells)}</tr>"


def _html_tests(table: Table) -> str:
    if not _tested(table):
        return ""
    heads = ("against", "test set", "metric", "difference", "95 % interval", "d", "95 % interval",
             "p, t", "p, Wilcoxon", "users", "family")  # fmt: skip
    lines = []
    for one, p in _tested(table):
        cells = [
            one.other, part_name(one.part), one.metric, f"{p.difference:+.4f}",
            f"{p.low:+.4f} to {p.high:+.4f}", f"{p.effect:+.3f}",
            f"{p.effect_low:+.3f} to {p.effect_high:+.3f}", f"{one.holm_t:.2g}",
            f"{one.holm_wilcoxon:.2g}", str(p.n), one.family,
        ]  # fmt: skip
        lines.append(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f"<h2>{html.escape(table.method)} against every other row</h2>\n"
        '<p class="small">Differences are of means per user; p is corrected by Holm.</p>\n'
        f'<div class="wide"><table class="small"><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def _tested(table: Table) -> list[tuple[Comparison, PairedComparison]]:
    return [(one, one.paired) for one in table.comparisons if one.paired is not None]


def _html_runs(table: Table, folder: Path) -> str:
    items = []
    for place, row in enumerate(table.rows):
        links = ", ".join(
            f'seed {seed}: <a href="{html.escape(_link(path, folder))}/">{html.escape(path.name)}'
            f'</a> (<a href="{html.escape(_link(path, folder))}/result.json">result</a>)'
            for seed, path in row.folders.items()
        )
        said = links or html.escape("; ".join(row.missing)) or "-"
        items.append(f'<li id="runs-{place}">{html.escape(row.label)}: {said}</li>')
    listed = "\n".join(items)
    return f'<h2>Runs</h2>\n<ul class="small">\n{listed}\n</ul>'


def _link(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", text)


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _csv(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for line in lines:
        writer.writerow(["" if _nothing(value) else value for value in line])
    return stream.getvalue()


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
