"""The persistent study: which trials there are, who works on them, what came of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from recbole_painvrl.data.splits.base import OOD_VALID
from recbole_painvrl.errors import UserError
from recbole_painvrl.locks import HeldError, NoLocksError, file_lock, own_name
from recbole_painvrl.run.resume import can_resume
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.tuning.plan import Plan
from recbole_painvrl.tuning.storage import open_storage

# Attributes of a trial.
FOLDER, WORKER, REASON, RESUME, DEFAULTS = "folder", "worker", "reason", "resume", "defaults"
# Of a trial that was stopped from outside: another one goes on in its folder.
INTERRUPTED = "interrupted"
_IDENTITY = "identity"
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_LARGEST_SEED = 2**32


class Search:
    """A study on its storage; every worker opens one of its own.

    Args:
        plan: the search.

    Raises:
        UserError: the storage cannot be used, or holds a search of something else.
    """

    def __init__(self, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.plan = plan
        plan.output.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.study = _open(plan)
            self._check_identity()

    def claim(self, worker: str) -> Trial | None:
        """A trial to work on, or None when all are done or in work."""
        with self._alone():
            known = self._trials()
            if sum(_counts(trial) for trial in known) >= self.plan.trials:
                return None
            # Seeded by the number of the trial: a search that goes on does not begin to repeat.
            self.study.sampler = optuna.samplers.TPESampler(
                seed=derive_seed(self.plan.seed, f"trial {len(known)}") % _LARGEST_SEED
            )
            trial = self.study.ask()
            trial.set_user_attr(WORKER, worker)
            return trial

    def give_back(self, number: int) -> None:
        """Note that a trial was stopped from outside, and queue its values again."""
        with self._alone():
            trial = self.study.trials[number]
            if trial.state.is_finished():
                return
            attributes: dict[str, Any] = {DEFAULTS: True} if trial.user_attrs.get(DEFAULTS) else {}
            folder = self._resumable(trial)
            if folder is not None:
                attributes[RESUME] = folder
            # Killed before it asked for its values, a queued trial still has those it was given.
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            self.study.enqueue_trial(params, user_attrs=attributes)
            Trial(self.study, trial._trial_id).set_user_attr(INTERRUPTED, True)
            self.study.tell(number, state=TrialState.FAIL)

    def take_over(self) -> int:
        """Give back the trials of workers that were killed; returns how many."""
        found = 0
        for trial in self._trials():
            worker = trial.user_attrs.get(WORKER)
            if trial.state is not TrialState.RUNNING or worker is None:
                continue
            lock = self._worker_file(worker)
            # Without its lock a worker is gone, or works in a folder that is not seen from here.
            if _is_free(lock) if lock.is_file() else self._folder(trial).is_dir():
                self.give_back(trial.number)
                found += 1
        return found

    @contextmanager
    def working(self) -> Iterator[str]:
        """Hold a lock that shows others that this worker lives; gives its name."""
        name = own_name().replace(" on ", "-")
        path = self._worker_file(name)
        path.parent.mkdir(exist_ok=True)
        try:
            with file_lock(path):
                yield name
        except NoLocksError as error:
            raise UserError(
                f"{path}: this file system has no locks; choose another `--output`"
            ) from error

    def ended(self) -> list[FrozenTrial]:
        """Complete, pruned and failed trials, by number; interrupted ones went on elsewhere."""
        return [t for t in self._trials() if t.state in _ENDED and not _is_interrupted(t)]

    def complete(self) -> list[FrozenTrial]:
        """Trials with values."""
        return [trial for trial in self.ended() if trial.state is TrialState.COMPLETE]

    def running(self) -> int:
        """Trials that somebody works on, or that a worker out of sight left."""
        return sum(trial.state is TrialState.RUNNING for trial in self._trials())

    def peers(self, own: int, rung: int) -> list[list[float]]:
        """Best objectives of the other trials after as many validations, or when they ended."""
        found = []
        for trial in self.study.get_trials(deepcopy=False):
            if trial.number == own or trial.state is TrialState.FAIL:
                continue
            values = trial.user_attrs.get(rung_name(rung))
            if values is None and trial.state is TrialState.COMPLETE:
                values = trial.values
            if values is not None:
                found.append(list(values))
        return found

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _check_identity(self) -> None:
        known = self.study.user_attrs.get(_IDENTITY)
        if known is None:
            self.study.set_user_attr(_IDENTITY, self.plan.identity)
            if self.plan.defaults is not None:
                self.study.enqueue_trial(self.plan.defaults, user_attrs={DEFAULTS: True})
            return
        changed = [name for name, value in self.plan.identity.items() if known.get(name) != value]
        if changed:
            raise UserError(
                f"{self.plan.storage}: holds a search with other {', '.join(changed)}; repeat its "
                "command to go on, or choose another `--output` or `--storage` for a new search"
            )

    def _resumable(self, trial: FrozenTrial) -> str | None:
        """Name of the folder in which the trial can go on; one that nobody can use is removed."""
        if FOLDER not in trial.user_attrs:
            return None
        folder = self._folder(trial)
        if can_resume(folder):
            return folder.name
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def _folder(self, trial: FrozenTrial) -> Path:
        """Where a trial works, or is about to."""
        return self.plan.output / Path(trial.user_attrs.get(FOLDER, f"trial {trial.number}")).name

    def _worker_file(self, name: str) -> Path:
        return self.plan.output / "workers" / f"{Path(name).name}.lock"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time asks for trials, so that there are never more than planned."""
        with file_lock(self.plan.output / ".study.lock", on_wait=lambda holder: None):
            yield


def rung_name(rung: int) -> str:
    """Attribute that keeps a trial's objectives after so many validations."""
    return f"rung {rung}"


def _open(plan: Plan) -> optuna.Study:
    study = optuna.create_study(
        storage=open_storage(plan.storage),
        study_name=f"{plan.given['model']}-{plan.given['dataset']}",
        directions=[StudyDirection.MAXIMIZE] * len(plan.parts),
        load_if_exists=True,
    )
    found = len(study.directions)
    if found != len(plan.parts):
        raise UserError(
            f"{plan.storage}: holds a search with {found} objectives, this one has "
            f"{len(plan.parts)} ({OOD_VALID} or not); choose another `--output` or `--storage`"
        )
    return study


def _counts(trial: FrozenTrial) -> bool:
    ended = trial.state in _ENDED and not _is_interrupted(trial)
    return ended or trial.state is TrialState.RUNNING


def _is_interrupted(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs.get(INTERRUPTED))


def _is_free(lock: Path) -> bool:
    """Whether nobody holds a lock file that was left."""
    try:
        with file_lock(lock):
            return True
    except (HeldError, NoLocksError):
        return False
