"""``python -m recbole_painvrl report``: one page about one or several runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.cli.outcome import DONE, FAILED, guarded, wants_help
from recbole_painvrl.errors import UserError

HELP = """\
usage: python -m recbole_painvrl report RUN [RUN ...] [--output FILE.html] [--method MODEL]

Writes one self-contained HTML page about run folders: metrics with paired tests, the mask per
modality, the environments, the path of both losses and the Pareto weights, curves, time and
memory, what is planted, capped or approximated, and commands, settings, versions and hashes.

  python -m recbole_painvrl report runs/PaInvRL-ml-trailers-20260101-120000-000
  python -m recbole_painvrl report runs/*                      models side by side
  python -m recbole_painvrl report runs/a runs/b --output comparison.html

  RUN               folders that `run` has written; runs of one model that differ by their seed
                    alone become one column; runs on other data get a part of their own; a run
                    that is not complete is named as such. A folder of `benchmark`, `ablate` or
                    `tune` stands for the runs in it. Anything else is left out, with a note
                    here and on the page
  --output FILE     the page; by default report.html in the folder of a single run, else in the
                    current folder
  --method MODEL    the model (or a column's name) that is judged against the others; by default
                    that of the folder of `benchmark` or `ablate`, else PaInvRL

Files written: FILE.html, and every figure as PNG and PDF in FILE_figures/. The page needs no
network, adapts to phones, print and dark mode, and links every number to its run folder.
It needs matplotlib: pip install matplotlib
exit codes: 0 done, 1 a damaged run was left out or anything else failed, 2 wrong input, such as
  no readable run (one line says what)
"""


def main(argv: Sequence[str]) -> int:
    """Write a report; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _report(argv), stopped="stopped; no page was written")


def _report(argv: Sequence[str]) -> int:
    parser = Arguments("report")
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--output")
    parser.add_argument("--method")
    options = parser.parse_args(argv)
    if not options.runs:
        raise UserError("found no RUN, expected the name of a run folder, such as runs/x")
    folders = [Path(run) for run in options.runs]
    output = Path(options.output) if options.output else _default(folders)
    from recbole_painvrl.report.page import write_report

    written = write_report(folders, output, options.method)
    for one in written.left:
        print(f"note: {one.path}: left out: {one.reason}", file=sys.stderr)
    for run in written.unfinished:
        # A trial of a search is as complete as it will be.
        if not run.trial:
            print(f"note: {run.folder}: not complete, listed without figures", file=sys.stderr)
    print(f"{output}\nfigures: {written.figures}")
    return FAILED if any(one.damaged for one in written.left) else DONE


def _default(folders: Sequence[Path]) -> Path:
    return folders[0] / "report.html" if len(folders) == 1 else Path("report.html")
