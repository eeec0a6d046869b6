"""A worker of a search runs trials until none is left; reports of the trials that have ended."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

from optuna.trial import FrozenTrial, TrialState

from recbole_painvrl.tuning.plan import Plan
from recbole_painvrl.tuning.study import FOLDER, REASON, Search
from recbole_painvrl.tuning.trial import run_trial

_WAIT = 1.0


class Reports:
    """Says one line about every trial that ends, in whichever process.

    Args:
        search: the search.
        say: receives the lines.
    """

    def __init__(self, search: Search, say: Callable[[str], object]) -> None:
        self._search, self._say = search, say
        self._known = {trial.number for trial in search.ended()}

    def __call__(self) -> None:
        """Report the trials that ended since the last call."""
        for trial in self._search.ended():
            if trial.number not in self._known:
                self._known.add(trial.number)
                self._say(_line(self._search.plan, trial))


def work(plan: Plan, say: Callable[[str], object], until: float = math.inf) -> None:
    """Run trials until the search is done, including those in which other processes are stopped.

    Args:
        plan: the search.
        say: receives a line per trial.
        until: ``time.time()`` from which on no trial starts.
    """
    search = Search(plan)
    report, is_told = Reports(search, say), False
    while time.time() < until:
        if search.step(functools.partial(run_trial, search)):
            report()
            continue
        report()
        if len(search.ended()) >= plan.trials:
            return
        if not is_told:
            say(
                "waiting for trials of other processes (if one is gone and was on another machine, "
                f"delete {plan.output / '.trial-NNNN.lock'})"
            )
            is_told = True
        time.sleep(_WAIT)


def _line(plan: Plan, trial: FrozenTrial) -> str:
    figures = zip(plan.parts, trial.values or (), strict=False)
    outcome = ", ".join(f"{plan.label(part)} {value:.4f}" for part, value in figures)
    if trial.state is not TrialState.COMPLETE:
        word = "pruned" if trial.state is TrialState.PRUNED else "failed"
        outcome = f"{word}, {trial.user_attrs.get(REASON, 'no reason is known')}"
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    folder = trial.user_attrs.get(FOLDER, "")
    return f"trial {trial.number}: {outcome} ({seconds:.1f} s) {folder}"
