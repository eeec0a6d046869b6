"""The command ``ablate``: Table 3, Fig. 2, Fig. 4 and implementation choices, as one grid."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments import PARTS, controls
from recbole_painvrl.experiments.grid import dry_run, failures, run_grid, tables_lock, write_files
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row
from recbole_painvrl.experiments.progress import say
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.experiments.tables import assemble
from recbole_painvrl.report.tables import table_markdown
from recbole_painvrl.run.command import setting_text

METHOD = "PaInvRL"
MODELS = {name: name for name in (METHOD, "InvRL", "UltraGCN")}
CURVE_K = tuple(range(10, 101, 10))
ENVIRONMENTS = tuple(range(2, 11))
# Settings for what the paper leaves open; one at a time is changed.
CHOICES: dict[str, tuple[Any, ...]] = {
    "gradient_normalization": ("none", "l2", "loss", "loss+"),
    "projection_objective": ("erm", "weighted"),
    "outer_gate": (True, False),
    "attention": (True, False),
    "environment_model": ("content", "full"),
    "environment_restarts": (3, 1),
    "negative_sampling": ("shared", "per_positive"),
}
_LOSSES = {
    "ERM only": "erm",
    "IRM only": "irm",
    "fixed weights": "fixed",
    "Pareto weights (PaInvRL)": "pareto",
}
_WITH_FIGURE = {"recall_curve", "environments"}


@dataclass(frozen=True)
class Ablation:
    """One experiment.

    Attributes:
        title: heading of its table.
        method: label of the row of interest.
        rows: its rows.
    """

    title: str
    method: str
    rows: list[Row]


def ablate(options: GridOptions, what: str) -> list[str]:
    """Run the command; returns one line per failed run.

    Args:
        options: of the grid.
        what: names of experiments, separated by commas.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    parts = parts_of(what)
    if _WITH_FIGURE & set(parts):
        # Fail now rather than after hours of training.
        importlib.import_module("recbole_painvrl.report.plots")
    plan = options.plan(MODELS)
    ablations = {part: ablation(part, plan) for part in parts}
    _check_own(plan, ablations)
    plan.say_idle()
    if options.dry_run:
        dry_run(options, [row for one in ablations.values() for row in one.rows])
        n_runs = len(controls.LABELS) * _without_mask(ablations.get("controls"), options)
        if n_runs:
            say(f"not counted: at most {n_runs} runs of the controls, known with the masks")
        return []
    runs = _run(options, plan, ablations)
    # The masks are known only now: of all seeds, or of those that have been tried again.
    while "controls" in ablations and (known := _controls(plan)) != ablations["controls"]:
        ablations["controls"] = known
        # What failed is not tried twice by one command.
        runs = _run(replace(options, retry_failed=False), plan, ablations)
    with tables_lock(options):
        for part, one in ablations.items():
            _write(part, one, options)
    say(f"tables and figures: {options.output}/{{{','.join(parts)}}}/, cells.json")
    return failures(runs)


def _without_mask(one: Ablation | None, options: GridOptions) -> int:
    """Number of seeds whose controls are not known yet."""
    if one is None:
        return 0
    source, *known = one.rows
    failed = sum(run.state() == "failed" for run in source.runs)
    again = failed if options.retry_failed else 0
    return again if known else len(source.runs) - failed + again


def _check_own(plan: Plan, ablations: Mapping[str, Ablation]) -> None:
    """Refuse settings of a model that no row trains."""
    trained = {run.model for one in ablations.values() for row in one.rows for run in row.runs}
    if "controls" in ablations:
        trained.add(controls.MODEL)
    for model in (*plan.own, *plan.own_files):
        if model not in trained:
            raise UserError(
                f"`--set`, `--model-config`: found settings of {model}, which `--what="
                f"{','.join(ablations)}` does not train; expected of {', '.join(sorted(trained))}"
            )


def _run(options: GridOptions, plan: Plan, ablations: Mapping[str, Ablation]) -> list[GridRun]:
    rows = [row for one in ablations.values() for row in one.rows]
    methods = {part: one.method for part, one in ablations.items()}
    return run_grid(options, plan, rows, methods=methods)


def _write(part: str, one: Ablation, options: GridOptions) -> None:
    folder = options.output / part
    table = assemble(one.title, one.rows, one.method)
    if part == "controls":
        table.notes.append(controls.note(one.rows[0], [row.label for row in one.rows]))
    write_files(table, options, part)
    print(table_markdown(table, folder))
    if part not in _WITH_FIGURE:
        return
    from recbole_painvrl.experiments.figures import environment_curve, recall_curve

    {"recall_curve": recall_curve, "environments": environment_curve}[part](table, folder)


def ablation(part: str, plan: Plan) -> Ablation:
    """The rows of an experiment.

    Raises:
        UserError: the configuration or the data are wrong.
    """
    makers: dict[str, Callable[[Plan], Ablation]] = {
        "losses": _losses,
        "recall_curve": _recall_curve,
        "environments": _environments,
        "choices": _choices,
        "controls": _controls,
    }
    return makers[part](plan)


def parts_of(text: str) -> list[str]:
    """Experiments named by the user, in the order of the paper.

    Raises:
        UserError: unknown experiment.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(PARTS))
    if unknown or not names:
        raise UserError(f"`--what`: found {text!r}, expected one or more of {','.join(PARTS)}")
    return [part for part in PARTS if part in names]


def _losses(plan: Plan) -> Ablation:
    rows = [
        plan.row(label, METHOD, {"loss_weighting": value}, "losses")
        for label, value in _LOSSES.items()
    ]
    # The objectives are compared in one form of the mask and with one final model, those of
    # PaInvRL, unless InvRL's are given.
    effective, given = _effective(plan, METHOD), plan.own_names("InvRL")
    names = ["mask_form"] + ["final_model", "final_settings"] * ("final_model" not in given)
    shared = [name for name in names if name not in given]
    form = {name: setting_text(name, effective[name]["value"]) for name in shared}
    rows.insert(3, plan.row("InvRL", "InvRL", form, "losses"))
    title = f"Losses of the mask on {plan.dataset} (Table 3)"
    return Ablation(title, "Pareto weights (PaInvRL)", rows)


def _recall_curve(plan: Plan) -> Ablation:
    ks = {"topk": f"[{','.join(map(str, CURVE_K))}]"}
    models = ("UltraGCN", "InvRL", METHOD)
    for model in models:
        metrics = _effective(plan, model, ks)["metrics"]["value"]
        if not any(str(name).lower() == "recall" for name in metrics):
            raise UserError(f"`metrics`: found {metrics}, expected Recall among them for the curve")
    rows = [plan.row(model, model, ks, "recall_curve") for model in models]
    return Ablation(f"Recall@K on {plan.dataset} (Fig. 2)", METHOD, rows)


def _environments(plan: Plan) -> Ablation:
    rows = [
        plan.row(environment_label(n), METHOD, {"n_environments": str(n)}, "environments")
        for n in ENVIRONMENTS
    ]
    chosen = int(_effective(plan, METHOD)["n_environments"]["value"])
    if chosen not in ENVIRONMENTS:
        settings = {"n_environments": str(chosen)}
        rows.append(plan.row(environment_label(chosen), METHOD, settings, "environments"))
    title = f"Number of environments on {plan.dataset} (Fig. 4)"
    return Ablation(title, environment_label(chosen), rows)


def _choices(plan: Plan) -> Ablation:
    effective = _effective(plan, METHOD)
    rows = [plan.row("as configured", METHOD, group="choices")]
    for name, values in CHOICES.items():
        for value in values:
            if effective[name]["value"] != value:
                label = f"{name}: {value}"
                rows.append(plan.row(label, METHOD, {name: str(value)}, "choices"))
    return Ablation(f"Choices of {METHOD} on {plan.dataset}", "as configured", rows)


def _controls(plan: Plan) -> Ablation:
    """The runs that learn the masks, and once these have ended, a row per control."""
    source = controls.source_row(plan)
    rows = controls.control_rows(plan, source)
    method = controls.LABELS["learnt"] if rows else source.label
    title = f"Controls of the mask on {plan.dataset}"
    return Ablation(title, method, [source, *rows])


def environment_label(n: int) -> str:
    """Label of the row with ``n`` environments, which the figure reads."""
    return f"|E| = {n}"


def _effective(
    plan: Plan, model: str, settings: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    return plan.config(plan.arguments(model, settings or {})).effective()
