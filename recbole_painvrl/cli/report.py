"""``python -m recbole_painvrl report``: an HTML report of one or several runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_painvrl.cli import base
from recbole_painvrl.errors import UserError

PAGE = """
Writes a self-contained HTML page about run folders: the verdict and metrics with paired tests, the
mask per modality, the environments, both losses and their effective weights, training curves, time
and memory, caveats (planted data, limits, approximations), commands, settings, versions and hashes.

  python -m recbole_painvrl report runs/PaInvRL-ml-trailers-20260101-120000-000
  python -m recbole_painvrl report runs/*                      compare models
  python -m recbole_painvrl report runs/a runs/b --output comparison.html

Runs that differ only in their seed share a row; runs on different data are in separate
sections; incomplete runs are listed as such. A folder of `benchmark`, `ablate` or `tune` stands for
the runs in it; the trials of a search have a section of their own, the best first. Anything else is
skipped, with a note here and on the page.

Files written: FILE.html, every figure as PNG and PDF in FILE_figures/, and with --latex tables in
FILE_tables/ (\\usepackage{booktabs,graphicx}). The page needs no network, supports phones, print
and dark mode, and links every number to its run folder.
It needs matplotlib: pip install matplotlib
"""


@base.command(
    "report",
    page=PAGE,
    exit_codes="0 done, 1 a damaged run was skipped or another error, 2 wrong input, such "
    "as\n  no readable run (one line says what)",
    stopped="stopped; no page was written",
)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@base.option(
    "--output",
    type=click.Path(path_type=Path),
    help="the page; default report.html in the folder of a single run, or in the current folder",
)
@base.option(
    "--method",
    metavar="MODEL",
    help="the model (or a column's name) that is compared with the others; default that of the "
    "folder of `benchmark` or `ablate`, or PaInvRL",
)
@base.option(
    "--latex",
    is_flag=True,
    help="also write LaTeX tables to FILE_tables/: metrics per test with significance marks, data, "
    "settings and versions, trials of searches, each as wide as a column at most",
)
def command(runs: tuple[Path, ...], output: Path | None, method: str | None, latex: bool) -> int:
    """Write an HTML report of the run folders RUNS."""
    if not runs:
        raise UserError("found no RUN, expected the name of a run folder, such as runs/x")
    from recbole_painvrl.report.page import write_report

    page = output or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    written = write_report(list(runs), page, method)
    for one in written.left:
        print(f"note: {one.path}: left out: {one.reason}", file=sys.stderr)
    for run in written.unfinished:
        # A pruned or failed trial of a search is never completed.
        if not run.trial.metrics:
            print(f"note: {run.folder}: not complete, listed without figures", file=sys.stderr)
    print(f"{page}\nfigures: {written.figures}")
    if latex:
        from recbole_painvrl.report.latex import write_latex

        tables = page.with_name(f"{page.stem}_tables")
        print(f"tables: {len(write_latex(list(runs), tables, method))} in {tables}")
    return base.FAILED if any(one.damaged for one in written.left) else base.DONE
