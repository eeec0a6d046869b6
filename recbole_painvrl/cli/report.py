"""``python -m recbole_painvrl report``: one page about one or several runs."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import click

from recbole_painvrl.cli import base
from recbole_painvrl.errors import UserError

PAGE = """
Writes one self-contained HTML page about run folders: metrics with paired tests, the mask per
modality, the environments, the path of both losses and the Pareto weights, curves, time and
memory, what is planted, capped or approximated, and commands, settings, versions and hashes.

  python -m recbole_painvrl report runs/PaInvRL-ml-trailers-20260101-120000-000
  python -m recbole_painvrl report runs/*                      models side by side
  python -m recbole_painvrl report runs/a runs/b --output comparison.html

Runs of one model that differ by their seed alone become one column; runs on other data get a
part of their own; a run that is not complete is named as such. A folder of `benchmark`, `ablate`
or `tune` stands for the runs in it. Anything else is left out, with a note here and on the page.

Files written: FILE.html, and every figure as PNG and PDF in FILE_figures/. The page needs no
network, adapts to phones, print and dark mode, and links every number to its run folder.
It needs matplotlib: pip install matplotlib
"""


@base.command(
    "report",
    page=PAGE,
    exit_codes="0 done, 1 a damaged run was left out or anything else failed, 2 wrong input, such "
    "as\n  no readable run (one line says what)",
    stopped="stopped; no page was written",
)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@base.option(
    "--output",
    type=click.Path(path_type=Path),
    help="the page; default report.html in the folder of a single run, else in the current folder",
)
@base.option(
    "--method",
    metavar="MODEL",
    help="the model (or a column's name) that is judged against the others; default that of the "
    "folder of `benchmark` or `ablate`, else PaInvRL",
)
def command(runs: tuple[Path, ...], output: Path | None, method: str | None) -> int:
    """Write a page about the run folders RUNS."""
    if not runs:
        raise UserError("found no RUN, expected the name of a run folder, such as runs/x")
    from recbole_painvrl.report.page import write_report

    page = output or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    written = write_report(list(runs), page, method)
    for one in written.left:
        print(f"note: {one.path}: left out: {one.reason}", file=sys.stderr)
    for run in written.unfinished:
        # A trial of a search is as complete as it will be.
        if not run.trial:
            print(f"note: {run.folder}: not complete, listed without figures", file=sys.stderr)
    print(f"{page}\nfigures: {written.figures}")
    return base.FAILED if any(one.damaged for one in written.left) else base.DONE


main = functools.partial(base.execute, command)
