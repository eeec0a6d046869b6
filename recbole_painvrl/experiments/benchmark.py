"""Table 2: models x seeds on the user's data."""

from __future__ import annotations

from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.grid import dry_run, failures, run_grid, tables_lock, write_files
from recbole_painvrl.experiments.options import GridOptions, models_of
from recbole_painvrl.experiments.progress import say
from recbole_painvrl.experiments.tables import assemble
from recbole_painvrl.report.tables import table_markdown
from recbole_painvrl.run.feature_mask import takes_feature_mask

_MODELS = "paper"
_METHOD = "PaInvRL"


def benchmark(
    options: GridOptions, models: str | None, method: str | None, feature_mask: str | None = None
) -> list[str]:
    """Run the command; returns one line per failed run.

    Args:
        options: of the grid.
        models: their names or groups, separated by commas; None for the paper's.
        method: label of the row that is compared with all others.
        feature_mask: run whose mask every model with modalities gets in a second row.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    labels = models_of(models or _MODELS)
    if method is None:
        method = _METHOD if _METHOD in labels else next(iter(labels))
    method = method.rpartition(":")[2]
    if method not in labels:
        raise UserError(f"`--method`: found {method!r}, expected one of {', '.join(labels)}")
    plan = options.plan(labels)
    rows = [plan.row(label, label) for label in labels]
    if feature_mask is not None:
        masked = [
            label for label in labels if takes_feature_mask(plan.config(plan.arguments(label, {})))
        ]
        if not masked:
            raise UserError(
                f"`--feature-mask`: none of {', '.join(labels)} has features and learns no mask "
                "itself; add a model such as FREEDOM to `--models`"
            )
        rows += [
            plan.row(f"{label}, masked", label, {"feature_mask": feature_mask}) for label in masked
        ]
    plan.say_idle()
    if options.dry_run:
        dry_run(options, rows)
        return []
    runs = run_grid(options, plan, rows, methods={"": method})
    with tables_lock(options):
        table = assemble(f"Benchmark on {options.dataset}", rows, method)
        write_files(table, options)
    print(table_markdown(table, options.output))
    say(f"tables: {options.output / 'table.html'} (.md, .tex, .csv), significance.csv, cells.json")
    return failures(runs)
