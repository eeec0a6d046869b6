"""One run of a grid: its identity, folder and state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from recbole_painvrl.atomic import write_json
from recbole_painvrl.errors import UserError
from recbole_painvrl.locks import LOCK, HeldError, file_lock, holder, remove_run
from recbole_painvrl.reading import parse_json, reason
from recbole_painvrl.run import RESULT

State = Literal["done", "failed", "interrupted", "open"]
# States in which nothing is left to do.
ENDED = ("done", "failed")


@dataclass(frozen=True)
class RunKey:
    """Identity of a run: SHA-256 of data, configuration and code."""

    data: str
    config: str
    code: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the three hashes."""
        return hashlib.sha256(f"{self.data}/{self.config}/{self.code}".encode()).hexdigest()

    def changed(self, other: dict[str, Any]) -> list[str]:
        """Which of the three differ from a recorded key."""
        return [part for part in ("data", "config", "code") if getattr(self, part) != other[part]]


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    Attributes:
        model: name of the model, or the label of its row where a grid has several rows of it.
        seed: seed of the run.
        arguments: of ``recbole_painvrl run``, without output folder and run name.
        key: identity of the run.
        folder: its run folder, whose name contains the key.
    """

    model: str
    seed: int
    arguments: tuple[str, ...]
    key: RunKey
    folder: Path

    @property
    def failure_file(self) -> Path:
        """File that records a failure."""
        return self.folder.with_name(f"{self.folder.name}.failed.json")

    @property
    def log_file(self) -> Path:
        """Output of the run's process."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def lock_file(self) -> Path:
        """Lock held by the process that executes the run, from its first moment to its last."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    def is_held(self) -> bool:
        """Whether a process executes the run."""
        return bool(holder(self.lock_file)) or self.is_started_by_hand()

    def is_started_by_hand(self) -> bool:
        """Whether a process that is of no grid writes the run's folder."""
        return bool(holder(self.folder / LOCK))

    def to_json(self) -> str:
        """All of it as text, for the process that executes the run."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> GridRun:
        """What :meth:`to_json` gave."""
        values = json.loads(text)
        key, folder = RunKey(**values.pop("key")), Path(values.pop("folder"))
        return cls(values["model"], values["seed"], tuple(values["arguments"]), key, folder)

    def state(self) -> State:
        """State of the run, read from its files."""
        if (self.folder / RESULT).is_file():
            return "done"
        if self.failure_file.is_file():
            return "failed"
        return "interrupted" if self.folder.is_dir() else "open"

    def result(self) -> dict[str, Any]:
        """``result.json`` of a run that is done."""
        return _read_object(self.folder / RESULT, "metrics")

    def reason(self) -> str:
        """One line: why the run failed."""
        try:
            return str(_read_object(self.failure_file, "reason")["reason"])
        except UserError:
            if self.failure_file.is_file():
                raise
            return "just taken up again by another process"

    def fail(self, reason: str, resumable: bool) -> None:
        """Record a failure; it is resumable if its cause was external, such as a signal."""
        record = {"reason": reason, "resumable": resumable, "log": self.log_file.name}
        write_json(self.failure_file, record)

    def fail_from_outside(self, reason: str) -> bool:
        """Record that a run was ended from outside; returns whether there is anything to record.

        There is not if it has ended all the same, or another process has taken it up meanwhile.
        """
        with suppress(HeldError), file_lock(self.lock_file):
            if self.state() not in ENDED and not self.is_started_by_hand():
                self.fail(reason, resumable=True)
                return True
        return False

    def forget_failure(self) -> None:
        """Let the run be run again, from the beginning where going on would fail again.

        A process that has taken it up meanwhile, perhaps by hand, keeps it.
        """
        with suppress(HeldError), file_lock(self.lock_file):
            if self.is_started_by_hand() or not self.failure_file.is_file():
                return
            if not _read_object(self.failure_file, "resumable")["resumable"]:
                remove_run(self.folder)
            self.failure_file.unlink(missing_ok=True)


def _read_object(path: Path, key: str) -> dict[str, Any]:
    """A JSON object with a key; :class:`UserError` names the file where it is something else."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"it is no object with `{key}`")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: damaged ({reason(error)}); delete its run folder and run it again"
        ) from error
    return value


def run_folder(runs: Path, model: str, dataset: str, seed: int, key: RunKey) -> Path:
    """Folder of a run in the folder of all runs; its name contains the class name of the model."""
    return runs / f"{model.rpartition(':')[2]}-{dataset}-seed{seed}-{key.digest[:12]}"


def distinct(runs: Sequence[GridRun]) -> list[GridRun]:
    """The distinct runs: rows of several tables may share one."""
    return list({run.folder: run for run in runs}.values())
