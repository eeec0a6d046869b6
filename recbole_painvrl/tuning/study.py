"""The persistent study: which trials there are, who works on them, what came of them."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from logging import getLogger
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
    fail_stale_trials,
)
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from recbole_painvrl.atomic import make_folder, write_bytes
from recbole_painvrl.data.splits.base import OOD_VALID
from recbole_painvrl.errors import UserError, WriteError
from recbole_painvrl.locks import file_lock, holder, in_turn
from recbole_painvrl.reading import parse_json
from recbole_painvrl.run.folder import experiment_runs
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.tuning.plan import Plan

# Attributes of a trial.
FOLDER, REASON, DEFAULTS = "folder", "reason", "defaults"
_IDENTITY, _ID, _RETRIED = "identity", "id", "retry_history"
# A file in the folder of a search, with the id of its study.
_MARK = ".search"
_LARGEST_SEED = 2**32
# Seconds between heartbeats of a trial in a database, and until its worker counts as dead.
_BEAT, _DEAD = 15, 120
Objective = Callable[[Trial], Sequence[float]]


class TrialError(Exception):
    """A trial failed; its reason is recorded and the search continues."""


class Search:
    """A study in its storage; every worker opens its own instance.

    Args:
        plan: the search.

    Raises:
        UserError: the storage cannot be used, or contains a different search.
    """

    def __init__(self, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # Heartbeats are experimental to Optuna.
        warnings.simplefilter("ignore", ExperimentalWarning)
        self.plan = plan
        make_folder(plan.output, "--output")
        with self._alone():
            self.study = _open(plan)
            self._check_identity()
            self._mark_output()

    def step(self, objective: Objective) -> bool:
        """Run one more trial; returns False if all are done or running.

        Raises:
            KeyboardInterrupt, WriteError: from the objective; the trial is queued again.
        """
        with ExitStack() as asking, ExitStack() as working:
            # One process at a time requests a trial, so that there are never more than planned.
            asking.enter_context(self._alone())
            self._take_over()
            if len(self.ended()) + len(self._running()) >= self.plan.trials:
                return False
            # Seeded by the trial's index, so that a resumed search does not repeat its draws, and
            # by that of an uninterrupted search, so that it does not skip any.
            trials = self.study.get_trials(deepcopy=False)
            number = len(trials) - len(_continued(trials))
            seed = derive_seed(self.plan.seed, f"trial {number}") % _LARGEST_SEED
            self.study.sampler = optuna.samplers.TPESampler(seed=seed)

            def locked(trial: Trial) -> Sequence[float]:
                try:
                    # Held until the study has the outcome; others take an unlocked trial for dead.
                    working.enter_context(file_lock(self._lock(trial.number)))
                    asking.close()
                    return objective(trial)
                except (KeyboardInterrupt, WriteError):
                    self.queue_again(trial.number)
                    raise

            self.study.optimize(locked, n_trials=1, catch=(TrialError,))
        return True

    def take_over(self) -> int:
        """Queue the trials of killed workers again; returns their number."""
        with self._alone():
            return self._take_over()

    def queue_again(self, number: int) -> None:
        """Queue a trial again that was stopped from outside; a new trial continues it.

        Once only: a process may be killed between this and the end of the stopped trial.
        """
        trials = self.study.trials
        if not any(number in trial.system_attrs.get(_RETRIED, ()) for trial in trials):
            RetryHeartbeatStaleTrialCallback()(self.study, trials[number])

    def folder(self, trial: Trial | FrozenTrial) -> Path:
        """The run folder of a trial; a continued trial keeps its predecessor's folder."""
        name = trial.user_attrs.get(FOLDER, f"trial-{trial.number:04d}")
        return self.plan.output / Path(name).name

    def ended(self) -> list[FrozenTrial]:
        """Complete, pruned and failed trials, by index; not those that another trial continued."""
        trials = self.study.get_trials(deepcopy=False)
        continued = _continued(trials)
        return [t for t in trials if t.state.is_finished() and t.number not in continued]

    def peers(self, own: int, rung: int) -> list[list[float]]:
        """Best objectives of the other trials after as many validations, or at their end."""
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

    def _take_over(self) -> int:
        # A worker that shares the database but not this folder is alive while its heartbeat is.
        fail_stale_trials(self.study)
        elsewhere = _is_database(self.plan.storage)
        locks = {number: self._lock(number) for number in self._running()}
        free = [
            n for n, lock in locks.items() if (lock.exists() or not elsewhere) and not holder(lock)
        ]
        # Looked at again: a worker that ended meanwhile released the lock after its last record.
        dead = set(self._running()).intersection(free)
        for number in free:
            if number in dead:
                # In this order: a failed trial that nothing continues would be lost.
                self.queue_again(number)
                self.study.tell(number, state=TrialState.FAIL)
            locks[number].unlink(missing_ok=True)
        return len(dead)

    def _running(self) -> list[int]:
        states = (TrialState.RUNNING,)
        return [trial.number for trial in self.study.get_trials(deepcopy=False, states=states)]

    def _check_identity(self) -> None:
        known = self.study.user_attrs.get(_IDENTITY)
        if known is None:
            self.study.set_user_attr(_ID, secrets.token_hex(16))
            if self.plan.defaults is not None:
                # A process may have been killed just after this.
                self.study.enqueue_trial(
                    self.plan.defaults, user_attrs={DEFAULTS: True}, skip_if_exists=True
                )
            # Last: with it the study is complete, and others leave it as it is.
            self.study.set_user_attr(_IDENTITY, self.plan.identity)
            return
        changed = [name for name, value in self.plan.identity.items() if known.get(name) != value]
        if changed == ["code"]:
            raise UserError(
                f"{self.plan.storage}: has a search by another version of the code, whose trials "
                f"are not comparable; {_another(self.plan)}"
            )
        if changed:
            raise UserError(
                f"{self.plan.storage}: has a search with other {', '.join(changed)}; resume with "
                f"its command, or {_another(self.plan)}"
            )

    def _mark_output(self) -> None:
        """Refuse a folder of another search, whose trials this one would take for its own."""
        mark, own = self.plan.output / _MARK, str(self.study.user_attrs[_ID])
        found = mark.read_text(encoding="utf-8") if mark.is_file() else None
        if found not in (own, None) or (found is None and experiment_runs(self.plan.output)):
            raise _other_search(self.plan)
        if found is None:
            write_bytes(mark, own.encode())

    def _lock(self, number: int) -> Path:
        return self.plan.output / f".trial-{number:04d}.lock"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with in_turn(self.plan.output / ".study.lock"):
            yield


def _continued(trials: Sequence[FrozenTrial]) -> set[int]:
    """Indices of the trials that another trial continued."""
    return {number for trial in trials for number in trial.system_attrs.get(_RETRIED, ())}


def rung_name(rung: int) -> str:
    """Attribute for a trial's objectives after this number of validations."""
    return f"rung {rung}"


def _open(plan: Plan) -> optuna.Study:
    storage = _open_storage(plan.storage)
    name = f"{plan.given['model'].rpartition(':')[2]}-{plan.given['dataset']}"
    is_new = name not in optuna.get_all_study_names(storage)
    if is_new and ((plan.output / _MARK).is_file() or experiment_runs(plan.output)):
        raise _other_search(plan)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[StudyDirection.MAXIMIZE] * len(plan.parts),
        load_if_exists=True,
    )
    found = len(study.directions)
    if found != len(plan.parts):
        raise UserError(
            f"{plan.storage}: contains a search with {found} objectives, this one has "
            f"{len(plan.parts)} ({OOD_VALID} or not); {_another(plan)}"
        )
    return study


def _another(plan: Plan) -> str:
    """What to do where the study cannot be continued."""
    if Path(plan.storage).parent == plan.output:
        return "choose another `--output`"
    return "choose another `--storage` and another `--output`"


def _other_search(plan: Plan) -> UserError:
    return UserError(
        f"`--output`: {plan.output} holds another search than that of {plan.storage}; choose "
        "another folder"
    )


def _is_database(storage: str) -> bool:
    return "://" in storage


def _open_storage(where: str) -> BaseStorage:
    """A database by its URL, or a journal file by its path."""
    try:
        if _is_database(where):
            return RDBStorage(
                where,
                heartbeat_interval=_BEAT,
                grace_period=_DEAD,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        make_folder(Path(where).parent, "--storage")
        lock = _JournalLock(where)
        _check_lines(Path(where), lock)
        return JournalStorage(JournalFileBackend(where, lock))
    except (ModuleNotFoundError, UserError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"`--storage`: {where} cannot be used ({type(error).__name__}: {message}); expected "
            "the path of a journal file or a database URL such as sqlite:///study.db"
        ) from error


class _JournalLock(JournalFileOpenLock):
    """A lock under which a journal ends with a whole line, to which Optuna then appends.

    A last line may not have been written to its end, by a full disk or a killed process.

    Not the lock that is a link to the journal: Optuna follows it to see whether a killed process
    left it, and waits without end where it leads nowhere, as with a relative path, in a moved
    folder, or on a machine that mounts the folder elsewhere.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._journal = Path(journal)

    def acquire(self) -> bool:
        """Wait for the lock, then drop a last line that was not written completely."""
        acquired = super().acquire()
        try:
            self._drop_cut_line()
        except BaseException:
            self.release()
            raise
        return acquired

    def _drop_cut_line(self) -> None:
        if not self._journal.is_file() or not self._journal.stat().st_size:
            return
        with open(self._journal, "rb+") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read() == b"\n":
                return
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
        getLogger("recbole_painvrl").warning(
            "%s: its last line was not written completely, and is dropped", self._journal
        )


def _check_lines(journal: Path, lock: JournalFileOpenLock) -> None:
    """Raise :class:`UserError` where a line of the journal is damaged."""
    if not journal.is_file():
        return
    lock.acquire()
    try:
        content = journal.read_bytes()
    finally:
        lock.release()
    for number, line in enumerate(content.splitlines(), 1):
        try:
            parse_json(line, finite=False)
        except ValueError as error:
            raise UserError(
                f"{journal}: line {number} is damaged; restore the file, or choose another "
                "`--output`"
            ) from error
