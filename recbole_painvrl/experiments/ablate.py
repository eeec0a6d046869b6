"""The command ``ablate``: all parts as one grid, then a table and figures for each."""

from __future__ import annotations

import importlib

from recbole_painvrl.experiments.ablations import MODELS, Ablation, ablation, parts_of
from recbole_painvrl.experiments.assemble import assemble
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.work import failures, run_grid, say, write_files
from recbole_painvrl.report.tables import table_markdown

_WITH_FIGURE = {"recall_curve", "environments"}


def ablate(options: GridOptions, what: str) -> list[str]:
    """Run the command; returns a line per failed cell.

    Args:
        options: of the grid.
        what: names of parts, separated by commas.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    parts = parts_of(what)
    if _WITH_FIGURE & set(parts):
        # Rather now than after hours of training.
        importlib.import_module("recbole_painvrl.report.plots")
    plan = options.plan(MODELS)
    ablations = {part: ablation(part, plan) for part in parts}
    cells = run_grid(options, plan, [row for one in ablations.values() for row in one.rows])
    for part, one in ablations.items():
        _write(part, one, options)
    say(f"tables and figures: {options.output}/{{{','.join(parts)}}}/, cells.json")
    return failures(cells)


def _write(part: str, one: Ablation, options: GridOptions) -> None:
    folder = options.output / part
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
