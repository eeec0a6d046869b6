"""Keeps two processes from writing into one run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from logging import getLogger
from pathlib import Path

from recbole_painvrl.atomic import writing
from recbole_painvrl.errors import UserError
from recbole_painvrl.locks import HeldError, NoLocksError, file_lock, own_name

LOCK = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it however the process ends.

    Raises:
        UserError: another process holds it, or may hold it where the file system has no locks.
        WriteError: the lock cannot be written.
    """
    with ExitStack() as held:
        left = _take(folder, held)
        if left:
            getLogger("recbole_painvrl").info(
                "%s: took over the lock of process %s, which ended without removing it",
                folder,
                left,
            )
        yield


def _take(folder: Path, held: ExitStack) -> str:
    """Take the lock until ``held`` ends; returns what a dead holder had left in it."""
    path = folder / LOCK
    with writing(path):
        try:
            return held.enter_context(file_lock(path))
        except HeldError as error:
            raise UserError(
                f"{folder}: process {error} is writing this run; wait until it ends, or stop it"
            ) from None
        except NoLocksError:
            held.enter_context(_file_as_lock(path))
            return ""


@contextmanager
def _file_as_lock(path: Path) -> Iterator[None]:
    """Where the system has no locks the file itself is one, which a killed process leaves."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        holder = path.read_text(encoding="utf-8").strip() or "unknown"
        raise UserError(
            f"{path.parent}: this file system has no locks, and {path} says that process {holder} "
            "is writing this run; if that process is gone, delete the file and resume"
        ) from None
    try:
        os.write(handle, own_name().encode())
        os.close(handle)
        yield
    finally:
        path.unlink(missing_ok=True)
