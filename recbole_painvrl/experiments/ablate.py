"""The command ``ablate``: all parts as one grid, then a table and figures for each."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.ablations import (
    MODELS,
    PARTS,
    Ablation,
    ablation,
    parts_of,
)
from recbole_painvrl.experiments.assemble import assemble
from recbole_painvrl.experiments.options import grid_arguments, plan_of
from recbole_painvrl.experiments.work import failures, run_grid, say, write_files
from recbole_painvrl.report.tables import table_markdown

_WITH_FIGURE = {"recall_curve", "environments"}


def ablate(argv: Sequence[str]) -> list[str]:
    """Run the command; returns a line per failed cell.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    parser = grid_arguments("ablate")
    parser.add_argument("--what", default=",".join(PARTS))
    options, settings = parser.parse_with_settings(argv)
    parts = parts_of(options.what)
    if _WITH_FIGURE & set(parts):
        # Rather now than after hours of training.
        importlib.import_module("recbole_painvrl.report.plots")
    plan = plan_of(options, settings, MODELS)
    try:
        ablations = {part: ablation(part, plan) for part in parts}
    except UserError as error:
        raise parser.explain_unknown(error) from error
    rows = [row for one in ablations.values() for row in one.rows]
    methods = {part: one.method for part, one in ablations.items()}
    cells = run_grid(options, plan, rows, methods=methods)
    for part, one in ablations.items():
        _write(part, one, options)
    say(f"tables and figures: {options.output}/{{{','.join(parts)}}}/, cells.json")
    return failures(cells)


def _write(part: str, one: Ablation, options: argparse.Namespace) -> None:
    folder: Path = options.output / part
    table = assemble(one.title, one.rows, one.method)
    write_files(table, folder)
    print(table_markdown(table, folder))
    if part not in _WITH_FIGURE:
        return
    from recbole_painvrl.experiments.figures import environment_curve, recall_curve

    if part == "recall_curve":
        recall_curve(table, folder)
    else:
        environment_curve(table, folder)
