"""Results of a search: the front, all trials, a plot, and a property file to run."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from optuna.trial import FrozenTrial, TrialState

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.evaluation.selection import selection_score
from recbole_painvrl.run.program import shell_command
from recbole_painvrl.run.resume import can_resume
from recbole_painvrl.tuning.plan import Plan
from recbole_painvrl.tuning.plot import write_plots
from recbole_painvrl.tuning.study import DEFAULTS, FOLDER, REASON, Search

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Outcome:
    """The trials of a search that have ended.

    Attributes:
        ended: complete, pruned and failed trials.
        front: complete trials that no other dominates, by decreasing IID value.
        chosen: the trial of the front with the best ``select_on`` value; None without a front.
    """

    plan: Plan
    ended: list[FrozenTrial]
    front: list[FrozenTrial]
    chosen: FrozenTrial | None

    def count(self, state: TrialState) -> int:
        """Number of trials in this state."""
        return sum(trial.state is state for trial in self.ended)

    @property
    def complete(self) -> list[FrozenTrial]:
        """Trials with values."""
        return [trial for trial in self.ended if trial.state is TrialState.COMPLETE]


def outcome(search: Search) -> Outcome:
    """Read the study; ties go to the earlier trial."""
    best_numbers = [trial.number for trial in search.study.best_trials]
    ended = {trial.number: trial for trial in search.ended()}
    front = sorted((ended[n] for n in best_numbers), key=lambda t: [-value for value in t.values])
    best = max(
        front,
        key=lambda t: (selection_score(t.values, search.plan.select_on), -t.number),
        default=None,
    )
    return Outcome(search.plan, list(ended.values()), front, best)


def write_results(found: Outcome) -> None:
    """Write ``trials.csv``, and with a complete trial ``front.csv``, plots and ``best.yaml``."""
    output = found.plan.output
    write_bytes(output / "trials.csv", _csv(found, found.ended))
    if found.chosen is None:
        return
    write_bytes(output / "front.csv", _csv(found, found.front))
    write_bytes(output / "best.yaml", _property_file(found, found.chosen).encode())
    write_plots(found.plan, found.complete, found.front, found.chosen)


def summary(found: Outcome) -> str:
    """The front as a table, the selected trial and the next commands."""
    plan = found.plan
    counts = ", ".join(f"{found.count(state)} {word}" for state, word in _STATES.items())
    lines = [f"{len(found.ended)} of {plan.trials} trials: {counts}"]
    if found.chosen is None:
        return "\n".join([*lines, f"no trial is complete; see {plan.output / 'trials.csv'}"])
    heads = [plan.label(part) for part in plan.parts]
    lines.append("Pareto front:" if len(heads) > 1 else "best:")
    lines.append(f"  {'trial':>7}  {'  '.join(heads)}  folder")
    for trial in found.front:
        star = "*" if trial is found.chosen else " "
        figures = "  ".join(
            f"{value:>{len(head)}.4f}" for value, head in zip(trial.values, heads, strict=True)
        )
        lines.append(f"  {star}{trial.number:>6}  {figures}  {_folder(plan, trial)}")
    rule = plan.select_on if len(heads) > 1 else "the one objective"
    lines.append(f"* selected by {rule}{_against_defaults(found)}")
    # Quoted twice: the setting takes several files, separated by spaces.
    best = shlex.quote(str(plan.output / "best.yaml"))
    lines.append(f"run it: {shell_command(config_files=best)}")
    folder = _folder(plan, found.chosen)
    if can_resume(folder):
        lines.append(f"test it without training again: {shell_command(resume=folder)}")
    return "\n".join(lines)


def _folder(plan: Plan, trial: FrozenTrial) -> Path:
    """The run folder of a trial, also after the folder of the search has moved.

    With a database, it may be one of another machine.
    """
    recorded = Path(trial.user_attrs[FOLDER])
    here = plan.output / recorded.name
    return here if here.is_dir() else recorded


def _against_defaults(found: Outcome) -> str:
    """Comparison of the selected trial with the defaults (trial 0, if they are in the space)."""
    plan = found.plan
    own = [trial for trial in found.complete if trial.user_attrs.get(DEFAULTS)]
    if not own or found.chosen is None:
        return ""
    before, after = (selection_score(t.values, plan.select_on) for t in (own[0], found.chosen))
    if own[0] is found.chosen:
        return "; it is the default configuration"
    return f" ({after:.4f}; the defaults, trial {own[0].number}, have {before:.4f})"


def _csv(found: Outcome, trials: Sequence[FrozenTrial]) -> bytes:
    plan = found.plan
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = list(plan.space)
    heads = [f"{part} {plan.metric}" for part in plan.parts]
    writer.writerow(["trial", "state", *heads, *names, "seconds", "folder", "reason", "chosen"])
    for trial in trials:
        values = trial.values or [""] * len(heads)
        attributes = trial.user_attrs
        writer.writerow(
            [
                trial.number,
                _STATES[trial.state],
                *values,
                *(trial.params.get(name, "") for name in names),
                attributes.get("seconds", ""),
                _folder(plan, trial) if FOLDER in attributes else "",
                attributes.get(REASON, ""),
                "yes" if trial is found.chosen else "",
            ]
        )
    return stream.getvalue().encode()


def _property_file(found: Outcome, chosen: FrozenTrial) -> str:
    plan = found.plan
    figures = ", ".join(
        f"{plan.label(part)} {value:.6f}"
        for part, value in zip(plan.parts, chosen.values, strict=True)
    )
    head = (
        f"# Selected from {len(found.complete)} complete trials by `select_on: {plan.select_on}`,\n"
        f"# on validation only: {figures}\n"
        f"# Trial {chosen.number}: {_folder(plan, chosen)}\n"
    )
    params = {name: domain.restored(chosen.params[name]) for name, domain in plan.space.items()}
    body: str = yaml.safe_dump(plan.settings(params), sort_keys=True, allow_unicode=True)
    return head + body
