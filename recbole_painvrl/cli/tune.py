"""``python -m recbole_painvrl tune``: search settings on IID and OOD validation."""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbole_painvrl.cli import base, grid
from recbole_painvrl.errors import UserError

if TYPE_CHECKING:
    from recbole_painvrl.tuning.plan import Plan

PAGE = """
  python -m recbole_painvrl tune --model=PaInvRL --dataset=ml-trailers --trials=50
  python -m recbole_painvrl tune --model=UltraGCN --dataset=planted --trials=40 --workers=4
  python -m recbole_painvrl tune --model=PaInvRL --dataset=mine --protocol=popularity \\
      --select_on=ood --epochs=100 --timeout=36000
  python -m recbole_painvrl tune --model=LightGCN --dataset=mine --space=lightgcn.yaml
  python run_recbole.py --config_files=runs/tune-PaInvRL-ml-trailers/best.yaml

A file for --space has lines such as
  learning_rate: {low: 0.0001, high: 0.01, log: true}
  n_layers: {choices: [1, 2, 3]}

`--recbole-space` writes a file for RecBole's own search, which also finds the plugin's models (it
has one objective and evaluates the test set of every trial; needs: pip install plotly
hyperopt==0.2.5 'setuptools<82'):
  python -m recbole_painvrl tune --model=VBPR --dataset=mine --recbole-space=vbpr.hyper
  import recbole_painvrl; HyperTuning(objective_function, algo="bayes", params_file="vbpr.hyper",
      fixed_config_file_list=["mine.yaml"])            in Python, mine.yaml with model and dataset

The sampler is TPE, seeded by `--seed`; the first trial is the default configuration. A trial
is pruned after 4, 8, 16... validations of its last stage if, of at least four others, more
than half were better in every objective at that point. A failed trial is recorded with its
reason; the others continue. After Ctrl-C or a kill, re-running the command resumes: the
interrupted trial continues from its checkpoint.

files written to the folder of the search
  front.csv, front.png, .pdf, .svg   the Pareto front, each trial with its folder
  trials.csv                         all trials, with state and reason
  best.yaml                          the selected configuration, for `run --config_files`
  trial-NNNN/                        the run folder of a trial, with trial.json
"""
_SETTINGS = {
    "--model=MODEL": "the model",
    "--dataset=DATASET": "the dataset",
    "--SETTING=VALUE": "fixed for every trial; removes the setting from the search space",
    "--select_on=RULE": "iid, ood or harmonic: selects the epoch of a trial, and the "
    "configuration from the front; default harmonic (the harmonic mean of both) if there are "
    "both",
}
_POLL_SECONDS = 1.0
# How often workers that were stopped from outside are started again.
_RESUMED_PER_WORKER = 3
_FILE = click.Path(path_type=Path)


@base.command(
    "tune",
    page=PAGE,
    shown_settings=_SETTINGS,
    stopped="stopped; re-running the command resumes, including the interrupted trial",
)
@base.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    help="number of trials, including those of earlier calls",
)
@base.option("--output", type=_FILE, help="folder of the search; default runs/tune-MODEL-DATASET")
@base.option(
    "--storage",
    help="storage of the study: a journal file (default study.journal in the folder) or a "
    "database (sqlite:///study.db, postgresql://...) that machines share",
)
@base.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    help="number of parallel processes",
)
@grid.ENGINE
@base.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="time after which no new trial starts",
)
@base.option("--until", type=float, hidden=True, help="of a worker: its end, as time.time()")
@base.option(
    "--space",
    type=_FILE,
    help="search space; default properties/search/MODEL.yaml",
)
@base.option(
    "--recbole-space",
    type=_FILE,
    help="only write the space as a parameter file for RecBole's HyperTuning",
)
def command(
    settings: Sequence[str],
    trials: int,
    output: Path | None,
    storage: str | None,
    workers: int,
    engine: str,
    timeout: float | None,
    until: float | None,
    space: Path | None,
    recbole_space: Path | None,
) -> int:
    """Search the settings of a model.

    Every trial trains once and is judged on validation alone; no trial reads a test set. Where the
    protocol has an OOD validation split there are two objectives, the `valid_metric` (NDCG@10) on
    IID and on OOD validation, and the result is a Pareto front; elsewhere there is one.
    """
    from recbole_painvrl.atomic import write_bytes
    from recbole_painvrl.config.lookup import model_class
    from recbole_painvrl.tuning.space import read_space, recbole_lines

    given = _given(settings)
    # The class name of package.module:Class; an unknown model is an error here.
    model = model_class(given["model"]).__name__
    domains = read_space(model, space)
    if recbole_space is not None:
        write_bytes(recbole_space, recbole_lines(domains).encode())
        print(f"written: {recbole_space}")
        return base.DONE
    # Report missing extras before the search, not after it.
    import optuna  # noqa: F401

    import recbole_painvrl.report.plots  # noqa: F401
    from recbole_painvrl.tuning.plan import make_plan

    folder = output or Path("runs") / f"tune-{model}-{given['dataset']}"
    plan = make_plan(given, domains, folder, storage, trials)
    if until is not None:
        from recbole_painvrl.tuning.worker import work

        work(plan, print, until)
        return base.DONE
    until = math.inf if timeout is None else time.time() + timeout
    words = click.get_current_context().meta["words"]
    return _search(plan, words, engine, workers, until)


def _search(plan: Plan, words: list[str], engine: str, workers: int, until: float) -> int:
    from recbole_painvrl.locks import in_turn
    from recbole_painvrl.tuning.results import outcome, summary, write_results
    from recbole_painvrl.tuning.study import Search
    from recbole_painvrl.tuning.worker import Reports, work

    search = Search(plan)
    taken = search.take_over()
    print(_opening(plan, len(search.ended()), taken), flush=True)
    say, died = functools.partial(print, flush=True), 0
    try:
        if workers == 1 and engine == "local":
            work(plan, say, until)
        else:
            died = _spread(plan, words, engine, workers, until, Reports(search, say))
            search.take_over()
    finally:
        # Read under the lock: a slower command would replace newer files by its older ones.
        with in_turn(plan.output / ".results.lock"):
            found = outcome(search)
            write_results(found)
        print(summary(found), flush=True)
    if died:
        print(f"{died} workers ended early; re-running the command resumes", file=sys.stderr)
    return base.FAILED if died or found.chosen is None else base.DONE


def _spread(
    plan: Plan,
    words: list[str],
    engine: str,
    workers: int,
    until: float,
    report: Callable[[], object],
) -> int:
    """Run workers, which are this command again, on an engine; returns how many ended early."""
    from recbole_painvrl.experiments.engines import open_engine, outcome
    from recbole_painvrl.experiments.launch import REFUSED, STOPPED
    from recbole_painvrl.run.code import code_hash

    task = {"words": [*words, f"--until={until}"], "code": code_hash()}
    died, resumed = 0, 0
    with open_engine(engine, workers, plan.output, lambda name: None) as (executor, call, shared):
        given = [json.dumps({"shared": shared, "tune": task})]
        pending = {executor.submit(call, given, f"worker {n}") for n in range(workers)}
        while pending:
            ended, pending = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            report()
            for code, text in map(outcome, ended):
                if code in (REFUSED, base.WRONG_INPUT):
                    raise UserError(text)
                if code == STOPPED and resumed < _RESUMED_PER_WORKER * workers:
                    resumed += 1
                    pending.add(executor.submit(call, given, f"worker again {resumed}"))
                elif code:
                    died += 1
                    print(f"a worker ended early: {text or f'exit code {code}'}", file=sys.stderr)
    return died


def _opening(plan: Plan, ended: int, taken: int) -> str:
    objectives = " and ".join(plan.label(part) for part in plan.parts)
    lines = [
        f"tuning {plan.given['model']} on {plan.given['dataset']}: {', '.join(plan.space)}",
        f"variant: {plan.variant}",
        f"objectives: {objectives}"
        if len(plan.parts) > 1
        else f"one objective, since this protocol has no OOD validation split: {objectives}",
        f"folder: {plan.output}",
        *plan.idle,
    ]
    if ended or taken:
        more = f"; {taken} of killed workers are resumed" if taken else ""
        lines.append(f"resuming: {ended} of {plan.trials} trials have ended{more}")
    return "\n".join(lines)


def _given(settings: Sequence[str]) -> dict[str, Any]:
    """Settings from files and the command line; the command line takes precedence."""
    from recbole_painvrl.config.layers import Layer, dropped_keys, merge
    from recbole_painvrl.config.loading import config_file_names, parse_overrides, read_yaml

    overrides = parse_overrides(settings)
    files = config_file_names(overrides.pop("config_files", None) or "")
    layers = [Layer(f"file {path}", read_yaml(Path(path))) for path in files]
    layers.append(Layer("command line", overrides))
    for line in dropped_keys(layers):
        print(line, file=sys.stderr)
    given, _ = merge(layers)
    for name, example in (("model", "PaInvRL"), ("dataset", "ml-trailers")):
        if not isinstance(given.get(name), str):
            raise UserError(f"`--{name}` is missing; give a name such as `--{name}={example}`")
    return given


main = functools.partial(base.execute, command)
