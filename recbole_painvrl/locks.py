"""Locks on files, which the system releases however a process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from logging import getLogger
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from recbole_painvrl.atomic import writing
from recbole_painvrl.errors import UserError

LOCK = ".lock"
# A folder this young may belong to a process that has not locked it yet.
_YOUNG_SECONDS = 60.0
# `holder` takes a free lock for a moment, which must not count as being held.
_MOMENT, _POLL = 0.05, 0.005
# After so many seconds, the wait for a short task is worth a line.
_LONG = 30.0
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class HeldError(UserError):
    """Another process holds the lock; the message has its number and machine, if known."""


@contextmanager
def file_lock(
    path: Path, on_wait: Callable[[str], None] | None = None, patience: float = _MOMENT
) -> Iterator[None]:
    """Hold a lock file, which names this process and is removed afterwards.

    Where the file system has no locks the existence of the file is the lock.

    Args:
        path: the file, made where it is absent.
        on_wait: called with the holder before waiting for it; None refuses instead.
        patience: seconds to wait before that.

    Raises:
        HeldError: another process holds it, and ``on_wait`` is None.
        WriteError: the file cannot be written.
    """
    lock: BaseFileLock = FileLock(path)
    was_there = path.exists()
    with writing(path):
        try:
            _acquire(lock, path, on_wait, patience)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            # Remove the empty file of the failed attempt, but no lock that another process wrote.
            if not was_there and path.is_file() and not path.stat().st_size:
                path.unlink(missing_ok=True)
            lock = SoftFileLock(path)
            _acquire(lock, path, on_wait, patience)
    try:
        if not isinstance(lock, SoftFileLock):
            with writing(path):
                path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        # Removed before the release: filelock does not accept a lock on a removed file.
        path.unlink(missing_ok=True)
        lock.release()


def in_turn(path: Path) -> AbstractContextManager[None]:
    """Hold a lock file for a short task, after waiting for other processes at the same task.

    Raises:
        WriteError: the lock cannot be written.
    """

    def warn(holder: str) -> None:
        getLogger("recbole_painvrl").warning(
            "waiting for process %s (if it is gone and was on another machine, delete %s)",
            holder,
            path,
        )

    return file_lock(path, warn, _LONG)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process.

    Raises:
        HeldError: another process holds it.
        UserError: it was removed.
        WriteError: the lock cannot be written.
    """
    path = folder / LOCK
    if not folder.is_dir():
        # Asked first, since the lock would make it.
        raise UserError(f"{folder}: was removed by another process; start the run again")
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(path))
        except HeldError as error:
            raise HeldError(
                f"{folder}: process {error} is writing this run; wait until it ends, or stop it "
                f"(if it is gone and was on another machine, delete {path})"
            ) from None
        yield


def remove_run(folder: Path) -> None:
    """Remove a run folder, if it is there.

    Raises:
        HeldError: another process has taken the run up.
    """
    if folder.is_dir():
        with run_lock(folder):
            shutil.rmtree(folder, ignore_errors=True)


def holder(path: Path) -> str:
    """The process that holds a lock file; empty where none does."""
    try:
        # Opened as it is: `FileLock` makes a file, and a folder, that were removed a moment ago.
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return _written(path)
    try:
        # `SoftFileLock` takes over a lock whose process ran on this machine and is gone.
        with SoftFileLock(path, timeout=0):
            return ""
    except (Timeout, OSError):
        return _written(path)


def remove_abandoned(folders: Iterator[Path]) -> None:
    """Remove folders ``NAME.tmp`` whose process, which held the lock ``NAME.lock``, is gone."""
    for folder in folders:
        try:
            if time.time() - folder.stat().st_mtime >= _YOUNG_SECONDS:
                with file_lock(folder.with_suffix(LOCK)):
                    shutil.rmtree(folder, ignore_errors=True)
        except (OSError, HeldError):
            continue


def _acquire(
    lock: BaseFileLock, path: Path, on_wait: Callable[[str], None] | None, patience: float
) -> None:
    try:
        lock.acquire(patience, _POLL)
    except Timeout:
        if on_wait is None:
            raise HeldError(_written(path)) from None
        on_wait(_written(path))
        lock.acquire()


def _written(path: Path) -> str:
    """Number and machine of the process that a lock file names."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError:
        words = []
    return " on ".join(words[:2]) or "unknown"
