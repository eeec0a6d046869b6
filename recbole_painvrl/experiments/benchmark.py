"""Table 2: models x seeds on the user's data."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.config.lookup import model_class
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.assemble import assemble
from recbole_painvrl.experiments.options import grid_arguments, models_of, plan_of
from recbole_painvrl.experiments.work import failures, run_grid, say, write_files
from recbole_painvrl.report.tables import table_markdown
from recbole_painvrl.specs import project_models

# Of RecBole: the others of the paper's Table 2, and the two simplest baselines.
_RECBOLE = ("NGCF", "LightGCN", "BPR", "Pop")
_METHOD = "PaInvRL"


def benchmark(argv: Sequence[str]) -> list[str]:
    """Run the command; returns a line per failed cell.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    parser = grid_arguments("benchmark")
    parser.add_argument("--models", default=",".join([*project_models(), *_RECBOLE]))
    parser.add_argument("--method")
    options, settings = parser.parse_with_settings(argv)
    models = models_of(options.models)
    # A model given as `package.module:Class` is called by its class.
    labels = {model: model_class(model).__name__ for model in models}
    names = list(labels.values())
    method = options.method or (_METHOD if _METHOD in names else names[0])
    method = labels.get(method, method)
    if method not in names:
        raise UserError(f"`--method`: found {method!r}, expected one of {', '.join(names)}")
    plan = plan_of(options, settings, models)
    try:
        rows = [plan.row(label, model) for model, label in labels.items()]
    except UserError as error:
        raise parser.explain_unknown(error) from error
    cells = run_grid(options, plan, rows, methods={"": method})
    table = assemble(f"Benchmark on {options.dataset}", rows, method)
    write_files(table, options.output)
    print(table_markdown(table, options.output))
    say(f"tables: {options.output / 'table.html'} (.md, .tex, .csv), significance.csv, cells.json")
    return failures(cells)
