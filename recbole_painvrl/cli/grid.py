"""The options that ``benchmark`` and ``ablate`` share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from recbole_painvrl.cli import base, names

PAGE = """
Every cell is a run of its own in FOLDER/cells, known by the SHA-256 of data, configuration and
code. What is done is not run again: after Ctrl-C, a crash or a power cut the same command goes on,
and an interrupted cell is resumed where its model can be. A failed cell is noted with its reason
and stops nothing. Several processes, also on machines that share the folder --output on a file
system with locks, take cells from one grid; the same line is typed everywhere.
"""
EXIT_CODES = (
    "0 done, 1 some cell failed (the tables say which and why) or it was stopped, 2\n"
    "  wrong input or configuration (one line says what)"
)
SETTINGS = {
    "--SETTING=VALUE": "a setting of all cells (docs/settings.md), such as --protocol=iid_ood"
}


def _note_storage(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        print(
            "note: `--storage` has no effect; whoever shares --output shares the grid",
            file=sys.stderr,
        )


_OPTIONS = (
    base.option("--dataset", required=True, shell_complete=names.complete, help="its name"),
    base.option("--seeds", default="5", metavar="N|A,B,...", help="how many (0 to N-1) or which"),
    base.option(
        "--config_files",
        "--config-files",
        type=click.Path(),
        default="",
        show_default=False,
        help="YAML files for all cells",
    ),
    base.option(
        "--model-config",
        "own_files",
        multiple=True,
        metavar="MODEL=FILE",
        help="a YAML file for one model; stronger than --SETTING=VALUE; repeatable",
    ),
    base.option(
        "--set",
        "own",
        multiple=True,
        metavar="MODEL.SETTING=VALUE",
        help="a setting of one model; stronger than its file; repeatable",
    ),
    base.option(
        "--output",
        type=click.Path(path_type=Path),
        default=lambda: f"runs/{click.get_current_context().command.name}",
        show_default="runs/COMMAND",
        help="folder of tables, figures and cells",
    ),
    base.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        default=1,
        help="cells at a time, each in a process with its share of the cores",
    ),
    base.option(
        "--storage",
        expose_value=False,
        callback=_note_storage,
        help="without effect: processes, also of several machines, share the grid that is in "
        "their folder --output",
    ),
    base.option("--retry-failed", is_flag=True, help="run failed cells again"),
    base.option("--report-only", is_flag=True, help="run nothing; tables of what is done"),
)


def grid_options(function: Any) -> Any:
    """Give a command the options of a grid."""
    for one in reversed(_OPTIONS):
        function = one(function)
    return function
