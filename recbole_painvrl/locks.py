"""Locks that the system lets go of however a process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recbole_painvrl.errors import UserError

# A folder this young may belong to a process that has not locked it yet.
_YOUNG_SECONDS = 60.0
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class HeldError(UserError):
    """Another process holds the lock; the message is what it wrote about itself."""


class NoLocksError(OSError):
    """The file system has no locks (some network file systems)."""


@contextmanager
def file_lock(path: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[str]:
    """Hold ``path``, which is removed afterwards; gives what a dead holder had left in it.

    Args:
        path: the file of the lock, made where it is absent.
        on_wait: called with the holder before waiting for it; None refuses instead.

    Raises:
        HeldError: another process holds it, and ``on_wait`` is None.
        NoLocksError: the file system has no locks.
    """
    stream = _locked(path, on_wait)
    try:
        stream.seek(0)
        left = stream.read().strip()
        stream.truncate(0)
        stream.write(own_name())
        stream.flush()
        yield left
    finally:
        path.unlink(missing_ok=True)
        stream.close()


def own_name() -> str:
    """How a process calls itself in a lock."""
    return f"{os.getpid()} on {socket.gethostname()}"


def remove_abandoned(folders: Iterator[Path]) -> None:
    """Remove temporary folders whose process is gone (:func:`hold_folder`)."""
    for folder in folders:
        try:
            if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
                continue
            with hold_folder(folder) as is_held:
                if is_held:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


@contextmanager
def hold_folder(folder: Path) -> Iterator[bool]:
    """Mark a folder as in use by this process; False where that cannot be done."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        is_held = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_held = False
        yield is_held
    finally:
        os.close(handle)


def _locked(path: Path, on_wait: Callable[[str], None] | None) -> IO[str]:
    """The opened file, locked; opened again where its holder removed it meanwhile."""
    while True:
        was_there = path.exists()
        stream = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            _lock(stream, on_wait)
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
                return stream
        except FileNotFoundError:
            pass
        except NoLocksError:
            own = path.exists() and os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
            if own and not was_there:
                path.unlink(missing_ok=True)
            stream.close()
            raise
        except BaseException:
            stream.close()
            raise
        stream.close()


def _lock(stream: IO[str], on_wait: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip() or "unknown"
        if on_wait is None:
            raise HeldError(holder) from None
        on_wait(holder)
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocksError(error.errno, error.strerror) from error
        raise
