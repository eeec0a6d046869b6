"""The options that ``benchmark`` and ``ablate`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recbole_painvrl.cli import base, names
from recbole_painvrl.errors import UserError

PAGE = """
Every run has a folder in FOLDER/cells and is identified by the SHA-256 of data, configuration and
code. Re-running the command after Ctrl-C, a crash or a power cut resumes: complete runs are kept,
and interrupted ones continue if their model can. A failed run is recorded with its reason; the
others continue. The same command may run in several processes, also on several machines that
share the folder --output on a file system with locks; --engine=dask:ADDRESS spreads the runs of
one command.
"""
EXIT_CODES = (
    "0 done, 1 a run failed (the tables say which and why) or the command was stopped, 2\n"
    "  wrong input or configuration (one line says what)"
)
SETTINGS = {
    "--SETTING=VALUE": "a setting of all runs (docs/settings.md), such as --protocol=iid_ood; one "
    "that only some models have is given by --set"
}


def check_engine(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The value of ``--engine``.

    Raises:
        UserError: it is neither ``local`` nor ``dask:ADDRESS``.
    """
    kind, _, address = value.partition(":")
    if value != "local" and not (kind == "dask" and address):
        example = "dask:tcp://127.0.0.1:8786"
        raise UserError(f"`--engine`: found {value!r}, expected local or, for instance, {example}")
    return value


ENGINE = base.option(
    "--engine",
    default="local",
    metavar="ENGINE",
    callback=check_engine,
    help="local, or dask:ADDRESS for the workers of a Dask scheduler on machines that share the "
    "folders of data and output (docs/cluster.md)",
)
_OPTIONS = (
    base.option(
        "--dataset", required=True, shell_complete=names.complete, help="name of the dataset"
    ),
    base.option(
        "--seeds",
        default="5",
        metavar="N|A,B,...",
        help="number of seeds (0 to N-1) or a list of seeds",
    ),
    base.option(
        "--config_files",
        "--config-files",
        type=click.Path(),
        default="",
        show_default=False,
        help="YAML files for all runs",
    ),
    base.option(
        "--model-config",
        "own_files",
        multiple=True,
        metavar="MODEL=FILE",
        help="a YAML file for one model; overrides --SETTING=VALUE; repeatable",
    ),
    base.option(
        "--set",
        "own",
        multiple=True,
        metavar="MODEL.SETTING=VALUE",
        help="a setting of one model; overrides its file; repeatable",
    ),
    base.option(
        "--output",
        type=click.Path(path_type=Path),
        default=lambda: f"runs/{click.get_current_context().command.name}",
        show_default=False,
        help="folder of tables, figures and runs; default runs/benchmark or runs/ablate",
    ),
    base.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        default=1,
        help="runs in parallel on this machine, each in a process with an equal number of cores",
    ),
    ENGINE,
    base.option("--retry-failed", is_flag=True, help="repeat failed runs"),
    base.option(
        "--dry-run",
        is_flag=True,
        help="only list the runs, and estimate their time from the complete runs in --output",
    ),
    base.option("--report-only", is_flag=True, help="only write the tables of the complete runs"),
)


def grid_options(function: Any) -> Any:
    """Add the options of a grid to a command."""
    for one in reversed(_OPTIONS):
        function = one(function)
    return function
