"""Files that are whole or absent: temporary file in the same folder, fsync, ``os.replace``."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from recbole_painvrl.errors import UserError, WriteError

# Reasons for which a file cannot be written, each with what to do about it.
_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`)",
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make its folder writable"),
}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` and put it in place only after a clean exit.

    Raises:
        WriteError: disk full, quota, a folder that cannot be written; ``path`` is as it was.
    """
    # The process id alone is not enough: hosts that share a disk may have the same one.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        sync_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn system errors inside the block into failures to write ``path``.

    Raises:
        WriteError: in place of the system's own error, which may not name the file.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno is not None and not is_write_failure(error):
            raise
        raise write_failure(path, error) from error


def write_failure(path: Path, error: OSError) -> WriteError:
    """The error of the system as one line that says what to do and names ``path``."""
    if isinstance(error, WriteError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return WriteError(
        f"{path}: cannot be written ({error.strerror or error}); what was there before is "
        f"unchanged; {_ADVICE.get(error.errno or 0, 'check the disk')}"
    )


def is_write_failure(error: OSError) -> bool:
    """Whether the system refused for one of these reasons: full, quota, limit or no permission."""
    return error.errno in _ADVICE


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path, option: str, exist_ok: bool = True) -> None:
    """Make the folder that an option names, with its parents.

    Raises:
        UserError: it cannot be made.
        FileExistsError: a folder is there, and ``exist_ok`` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            raise
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another `{option}`"
        ) from error


def remove_temporary(folder: Path) -> list[str]:
    """Remove what a killed process left half-written below a folder that nobody else writes."""
    left = sorted(path for path in folder.rglob(".*.tmp") if path.is_file())
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_file(path) as stream:
        stream.write(content)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, none of which is replaced before all are written."""
    with ExitStack() as files:
        for path, content in contents.items():
            stream = files.enter_context(atomic_file(path))
            with writing(path):
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; non-finite numbers are refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_with(path: Path, writer: Callable[[BinaryIO], None]) -> None:
    """Let ``writer`` fill the temporary file (``np.save``, ``np.savez``, ``to_parquet``...)."""
    with atomic_file(path) as stream:
        writer(stream)
