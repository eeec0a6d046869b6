"""How every command ends: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from recbole_painvrl.errors import UserError, WriteError

DONE, FAILED, WRONG_INPUT = 0, 1, 2
# Packages that are called otherwise where they are installed from.
_PACKAGES = {"faiss": "faiss-cpu", "community": "python-louvain"}


def guarded(
    action: Callable[[], int | None],
    stopped: str = "stopped; the same command goes on",
    more: str = "",
) -> int:
    """Run the work of a command; returns its exit code.

    Args:
        action: the work, which may return an exit code of its own; it imports what it needs
            itself, so that help stays quick.
        stopped: line for Ctrl-C and SIGTERM, unless the interruption has a message of its own.
        more: where more is to be found after an unexpected error.
    """
    # A scheduler's SIGTERM ends a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = action()
    except UserError as error:
        return _end(f"error: {error}", WRONG_INPUT)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        return _end(
            f"error: the package `{error.name}` is needed and not installed; "
            f"type `pip install {package}`",
            WRONG_INPUT,
        )
    except KeyboardInterrupt as error:
        return _end(str(error) or stopped, FAILED)
    except WriteError as error:
        return _end(f"error: {error}", FAILED)
    except BrokenPipeError:
        # Whoever read the output has left, see `piped`.
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        return _end(f"error: {type(error).__name__}: {message}{more}", FAILED)
    return DONE if code is None else code


def piped(command: Callable[[], int]) -> int:
    """Run a command whose reader may leave before its end, as ``| head`` does.

    Returns:
        The exit code of the command, or 1 without a word where nobody reads any more.
    """
    try:
        try:
            return command()
        finally:
            # Now, not by the interpreter when it ends, whose complaint nobody could catch.
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
        return FAILED


def wants_help(argv: Sequence[str]) -> bool:
    """Whether the command was called without arguments or for its help."""
    return not argv or any(word in ("-h", "--help") for word in argv)


def _end(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code
