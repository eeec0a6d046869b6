"""Who runs which cell: at most one process at a time, whatever became of the others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from recbole_painvrl.experiments.cells import Cell


@dataclass(frozen=True)
class Claim:
    """The right to run a cell.

    Attributes:
        cell: the cell.
        lock: descriptor of its lock, which the cell's process inherits.
        trial: number in a shared storage, or None without one.
    """

    cell: Cell
    lock: int
    trial: int | None = None


class Claims(Protocol):
    """Hands out cells."""

    def take(self, cells: Iterable[Cell]) -> Claim | None:
        """The first cell that nobody runs and nobody has run."""

    def finish(self, claim: Claim, reason: str | None) -> None:
        """The cell is done, or failed for a reason."""

    def give_back(self, claim: Claim) -> None:
        """The cell was stopped; anybody may go on with it."""

    def beat(self) -> None:
        """Called often while cells are at work."""

    def elsewhere(self, cell: Cell) -> str | None:
        """Where a cell was done whose folder is not visible from here."""


class LocalClaims:
    """Claims of processes that see one file system: a lock per cell."""

    def take(self, cells: Iterable[Cell]) -> Claim | None:
        """The first cell whose lock is free and which still has to be run."""
        for cell in cells:
            lock = acquire(cell)
            if lock is not None:
                return Claim(cell, lock)
        return None

    def finish(self, claim: Claim, reason: str | None) -> None:
        """Let go of the cell."""
        os.close(claim.lock)

    def give_back(self, claim: Claim) -> None:
        """Let go of the cell."""
        os.close(claim.lock)

    def beat(self) -> None:
        """Nothing to do: a lock ends with its process."""

    def elsewhere(self, cell: Cell) -> str | None:
        """Nowhere."""
        return None


def acquire(cell: Cell) -> int | None:
    """Descriptor of the cell's lock, or None where it is held or the cell needs no run."""
    cell.lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(cell.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if cell.state() in ("done", "failed"):
        os.close(lock)
        return None
    return lock
