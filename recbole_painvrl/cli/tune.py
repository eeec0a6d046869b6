"""``python -m recbole_painvrl tune``: search settings on IID and OOD validation together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.cli.outcome import DONE, FAILED, guarded, wants_help
from recbole_painvrl.errors import UserError

if TYPE_CHECKING:
    from recbole_painvrl.tuning.plan import Plan
    from recbole_painvrl.tuning.space import Space

HELP = """\
usage: python -m recbole_painvrl tune --model=MODEL --dataset=DATASET [--trials=N]
           [--output=DIR] [--storage=FILE|URL] [--workers=N] [--timeout=SECONDS]
           [--space=FILE] [--SETTING=VALUE ...]

Searches the settings of a model. Every trial trains once and is judged on validation alone;
no trial reads a test set. Where the protocol has an OOD validation part there are two
objectives, the `valid_metric` (NDCG@10) on IID and on OOD validation, and the result is a
Pareto front; elsewhere there is one.

  python -m recbole_painvrl tune --model=PaInvRL --dataset=ml-trailers --trials=50
  python -m recbole_painvrl tune --model=UltraGCN --dataset=planted --trials=40 --workers=4
  python -m recbole_painvrl tune --model=PaInvRL --dataset=mine --protocol=popularity \\
      --select_on=ood --epochs=100 --timeout=36000
  python -m recbole_painvrl tune --model=LightGCN --dataset=mine --space=lightgcn.yaml
  python run_recbole.py --config_files=runs/tune-PaInvRL-ml-trailers/best.yaml

options
  --trials=N           trials of the whole search, those of earlier calls counted; default 20
  --output=DIR         folder of the search; default runs/tune-MODEL-DATASET
  --storage=FILE|URL   where the study is kept: a journal file (default DIR/study.journal) or a
                       database (sqlite:///study.db, postgresql://...) that machines share
  --workers=N          processes at work at a time; default 1
  --timeout=SECONDS    after which no new trial begins
  --space=FILE         search space; default the model's own (properties/search/MODEL.yaml):
                           learning_rate: {low: 0.0001, high: 0.01, log: true}
                           n_layers: {choices: [1, 2, 3]}
  --recbole-space=FILE only write the space as a parameter file of RecBole's own HyperTuning
  --SETTING=VALUE      fixed for every trial; one that is in the space is not searched then
  --select_on=iid|ood|harmonic
                       what chooses the epoch of a trial, and the configuration from the front;
                       default harmonic (the harmonic mean of both) where there are both

`--recbole-space` is for RecBole's own search, which knows the plugin's models, too (one
objective, and it evaluates the test set of every trial; type: pip install plotly
hyperopt==0.2.5 'setuptools<82'):
  python -m recbole_painvrl tune --model=VBPR --dataset=mine --recbole-space=vbpr.hyper
  import recbole_painvrl; HyperTuning(objective_function, algo="bayes", params_file="vbpr.hyper",
      fixed_config_file_list=["mine.yaml"])            in Python, mine.yaml with model and dataset

The sampler is TPE, seeded by `--seed`; the first trial is the default configuration. A trial
is pruned after 4, 8, 16... validations of its last stage if, of at least four others, more
than half were better in every objective by then. A trial that fails is recorded with its
reason and the others go on. Stopped by Ctrl-C or killed: the same command goes on, and the
trial that was at work continues from its checkpoint.

files written to DIR
  front.csv, front.png, .pdf, .svg   the Pareto front, each trial with its folder
  trials.csv                         all trials, with state and reason
  best.yaml                          the chosen configuration, for `run --config_files`
  trial-NNNN/                        the run folder of a trial, with trial.json
exit codes: 0 done, 2 wrong input or configuration (one line says what), 1 anything else
"""


def main(argv: Sequence[str]) -> int:
    """Search from a command line; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    codes = [DONE]
    code = guarded(
        lambda: codes.append(_tune(argv)),
        stopped="stopped; the same command goes on, also with the trial that was at work",
    )
    return code or codes[-1]


def _tune(argv: Sequence[str]) -> int:
    options, given = _parse(argv)
    space = _space(options, given)
    if options.recbole_space is not None:
        return _write_recbole_space(options.recbole_space, space)
    # Missing extras are said before hours of work, not after.
    import optuna  # noqa: F401

    import recbole_painvrl.report.plots  # noqa: F401
    from recbole_painvrl.tuning.plan import make_plan

    default = Path("runs") / f"tune-{given['model']}-{given['dataset']}"
    try:
        plan = make_plan(
            given,
            space,
            options.output or default,
            options.storage,
            options.trials,
            options.timeout,
            _threads(options.workers, given),
        )
    except UserError as error:
        raise _parser().explain_unknown(error) from error
    return _search(plan, options.workers)


def _search(plan: Plan, workers: int) -> int:
    from recbole_painvrl.tuning.results import outcome, summary, write_results
    from recbole_painvrl.tuning.study import Search
    from recbole_painvrl.tuning.worker import work, work_in_processes

    search = Search(plan)
    taken = search.take_over()
    print(_opening(plan, len(search.ended()), taken), flush=True)
    died = 0
    try:
        if workers == 1:
            work(plan, lambda line: print(line, flush=True))
        else:
            died = work_in_processes(plan, workers)
            search.take_over()
    finally:
        found = outcome(search)
        write_results(found)
        print(summary(found), flush=True)
    if died:
        print(f"{died} workers ended early; the same command goes on", file=sys.stderr)
    return FAILED if died or found.chosen is None else DONE


def _opening(plan: Plan, ended: int, taken: int) -> str:
    objectives = " and ".join(plan.label(part) for part in plan.parts)
    lines = [
        f"tuning {plan.given['model']} on {plan.given['dataset']}: {', '.join(plan.space)}",
        f"objectives: {objectives}"
        if len(plan.parts) > 1
        else f"one objective, since this protocol has no OOD validation part: {objectives}",
        f"folder: {plan.output}",
    ]
    if ended or taken:
        more = f"; {taken} of killed workers go on" if taken else ""
        lines.append(f"going on: {ended} of {plan.trials} trials have ended{more}")
    return "\n".join(lines)


def _parser() -> Arguments:
    parser = Arguments("tune")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--storage")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--space", type=Path)
    parser.add_argument("--recbole-space", type=Path)
    return parser


def _parse(argv: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Options, and settings from files and the command line, the latter stronger."""
    from recbole_painvrl.config.loading import parse_overrides, read_yaml

    options, settings = _parser().parse_with_settings(argv)
    for name in ("trials", "workers", "timeout"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UserError(f"`--{name}`: found {value}, expected more than 0")
    overrides = parse_overrides(settings)
    given: dict[str, Any] = {}
    for path in str(overrides.pop("config_files", None) or "").split():
        given.update(read_yaml(Path(path)))
    given.update(overrides)
    for name, example in (("model", "PaInvRL"), ("dataset", "ml-trailers")):
        if not isinstance(given.get(name), str):
            raise UserError(f"`--{name}` is missing; give a name such as `--{name}={example}`")
    return options, given


def _space(options: Any, given: dict[str, Any]) -> Space:
    from recbole_painvrl.config.lookup import model_class
    from recbole_painvrl.tuning.space import read_space

    # An unknown model is told from one without a search space.
    model_class(given["model"])
    return read_space(given["model"], options.space)


def _threads(workers: int, given: dict[str, Any]) -> int | None:
    """Workers beside each other share the cores, unless the user set the threads."""
    if workers == 1 or "n_threads" in given:
        return None
    import torch

    return max(1, torch.get_num_threads() // workers)


def _write_recbole_space(path: Path, space: Space) -> int:
    from recbole_painvrl.atomic import write_bytes
    from recbole_painvrl.tuning.space import recbole_lines

    write_bytes(path, recbole_lines(space).encode())
    print(f"written: {path}")
    return DONE
