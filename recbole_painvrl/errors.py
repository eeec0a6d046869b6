"""The one exception that means: the user's input or configuration is wrong."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """Wrong input or configuration; its message is one line: what was found and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


class WriteError(OSError):
    """A file could not be written; what was there before is unchanged.

    Its message is one line that names the file, the reason and what to do; the command line
    prints it without a traceback and exits with code 1.
    """


class NonFiniteLossError(RuntimeError):
    """Training met a number that is NaN or infinite; no checkpoint is written from there on."""


class BadNumberError(ArithmeticError):
    """A loss or gradient is NaN or infinite; the caller adds where in the run it happened.

    Args:
        what: the loss term or gradient, and its value.
        columns: tensors ``[..., d]`` among whose columns the cause may be, by name.
        batch: batch of the epoch, from 1, where it is known.
    """

    def __init__(self, what: str, columns: Mapping[str, Any], batch: int | None = None) -> None:
        super().__init__(what)
        self.columns, self.batch = columns, batch


class PeerError(RuntimeError):
    """Another process of the same run has ended, and this one ends with it."""


class InterruptedRunError(KeyboardInterrupt):
    """Ctrl-C inside a run; its message says how to go on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean `x`?"`` for the closest known name in any case, or an empty string."""
    by_lower = {one.lower(): one for one in sorted(known)}
    close = difflib.get_close_matches(name.lower(), sorted(by_lower), n=1, cutoff=0.6)
    return f"; did you mean `{by_lower[close[0]]}`?" if close else ""


def short(value: Any) -> str:
    """One line for a value of any length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def place_of(error: BaseException, skip: int = 0, packages: Iterable[str] = ()) -> str:
    """``FILE, line N`` in this package or the user's code where an error came from, or nothing.

    Of a syntax error it is the file that could not be compiled.

    Args:
        error: a caught error.
        skip: outermost frames, from that which caught it on, that are not meant.
        packages: folders and files of the user's code that may be installed packages.
    """
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    package = str(Path(__file__).parent)
    installed = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    others = (*installed, sysconfig.get_path("stdlib"), "<")
    frames = traceback.extract_tb(error.__traceback__)[skip:]
    meant = (package, *packages)
    own = [
        one
        for one in frames
        if one.filename.startswith(meant) or not one.filename.startswith(others)
    ]
    # The user's code may be an installed package, too, which is not known before its import.
    outer = [one for one in frames if one.filename.startswith(installed)]
    place = next(iter(own[-1:] + outer), None)
    return "" if place is None else f"{place.filename}, line {place.lineno}"
