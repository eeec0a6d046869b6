"""Claims through an Optuna storage: several machines take cells from one grid.

A claim is a trial in the state RUNNING that names the key of its cell. Trials are numbered in the
order in which the storage received them, and everybody sees all lower numbers than his own, so
that the lowest living trial of a cell is the one that runs it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.experiments.claims import Claim, acquire
from recbole_painvrl.tuning.storage import open_storage

STUDY = "recbole_painvrl cells"
_BEAT_EVERY, _DEAD_AFTER = 15.0, 120.0


@dataclass
class _Pulse:
    """A trial's last heartbeat, and when we first saw it by our own clock."""

    beat: int
    seen: float


class SharedClaims:
    """Claims of processes on several machines.

    Args:
        where: a database URL, or the path of a journal file.
        dead_after: seconds without a heartbeat after which a worker counts as dead.
        host: name of this machine.

    Raises:
        UserError: the storage cannot be opened.
    """

    def __init__(
        self, where: str, dead_after: float = _DEAD_AFTER, host: str | None = None
    ) -> None:
        self._storage = open_storage(where)
        self._study = self._find_study()
        self._dead_after = dead_after
        self._host = host or socket.gethostname()
        self._pulses: dict[int, _Pulse] = {}
        self._mine: dict[int, int] = {}
        self._last_beat = time.monotonic()

    def take(self, cells: Iterable[Cell]) -> Claim | None:
        """The first cell that nobody in the storage runs or has run."""
        trials: dict[str, list[FrozenTrial]] = {}
        for trial in self._trials():
            trials.setdefault(str(trial.user_attrs.get("key")), []).append(trial)
        for cell in cells:
            # The lock comes before the trial: in one folder, running means locked.
            lock = acquire(cell)
            if lock is None:
                continue
            known = trials.get(cell.key.digest, [])
            number = None if self._taken(cell, known) else self._claim(cell)
            if number is not None:
                return Claim(cell, lock, number)
            os.close(lock)
        return None

    def finish(self, claim: Claim, reason: str | None) -> None:
        """Tell the others, then let go of the lock."""
        self._end(claim, TrialState.COMPLETE if reason is None else TrialState.FAIL)

    def give_back(self, claim: Claim) -> None:
        """A failed trial without a failed cell is one that anybody may go on with."""
        self._end(claim, TrialState.FAIL)

    def beat(self) -> None:
        """Tell the others, now and then, that our cells are alive."""
        if time.monotonic() - self._last_beat < min(_BEAT_EVERY, self._dead_after / 4):
            return
        self._last_beat = time.monotonic()
        for number, count in self._mine.items():
            self._mine[number] = count + 1
            with suppress(UpdateFinishedTrialError):
                self._storage.set_trial_user_attr(self._id(number), "beat", count + 1)

    def elsewhere(self, cell: Cell) -> str | None:
        """Machine and folder of a cell that is done, but not here."""
        for trial in self._trials():
            attrs = trial.user_attrs
            done = trial.state == TrialState.COMPLETE and attrs.get("key") == cell.key.digest
            if done and attrs.get("host") != self._host:
                return f"{attrs.get('host')}:{attrs.get('folder')}"
        return None

    def _claim(self, cell: Cell) -> int | None:
        """Number of the trial that gives us the cell; None where somebody else was faster."""
        attrs = {
            "key": cell.key.digest,
            "host": self._host,
            "folder": str(cell.folder.resolve()),
            "beat": 0,
        }
        template = create_trial(state=TrialState.RUNNING, user_attrs=attrs)
        trial = self._storage.create_new_trial(self._study, template_trial=template)
        number = self._storage.get_trial_number_from_id(trial)
        rivals = [
            other
            for other in self._trials()
            if other.user_attrs.get("key") == cell.key.digest and other.number < number
        ]
        if self._taken(cell, rivals):
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
            return None
        self._mine[number] = 0
        return number

    def _taken(self, cell: Cell, trials: Iterable[FrozenTrial]) -> bool:
        """Whether one of the cell's trials runs, or is done where we cannot see it."""
        return any(
            self._alive(cell, trial)
            if trial.state == TrialState.RUNNING
            else trial.state == TrialState.COMPLETE and trial.user_attrs["host"] != self._host
            for trial in trials
        )

    def _alive(self, cell: Cell, trial: FrozenTrial) -> bool:
        """Whether a running trial's worker lives; the trial of a dead one is ended."""
        attrs = trial.user_attrs
        # We hold the lock of this folder, so nobody on this machine works in it.
        dead = attrs["host"] == self._host and attrs["folder"] == str(cell.folder.resolve())
        if not dead:
            now = time.monotonic()
            pulse = self._pulses.get(trial.number)
            if pulse is None or pulse.beat != attrs["beat"]:
                self._pulses[trial.number] = _Pulse(attrs["beat"], now)
            else:
                dead = now - pulse.seen > self._dead_after
        if dead:
            with suppress(UpdateFinishedTrialError):
                self._storage.set_trial_state_values(self._id(trial.number), TrialState.FAIL)
        return not dead

    def _end(self, claim: Claim, state: TrialState) -> None:
        assert claim.trial is not None
        values = [0.0] if state == TrialState.COMPLETE else None
        # Somebody may have taken us for dead meanwhile.
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(self._id(claim.trial), state, values)
        self._mine.pop(claim.trial, None)
        os.close(claim.lock)

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)

    def _find_study(self) -> int:
        with suppress(DuplicatedStudyError):
            return self._storage.create_new_study([StudyDirection.MINIMIZE], STUDY)
        return self._storage.get_study_id_from_name(STUDY)
