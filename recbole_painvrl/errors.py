"""The one exception that means: the user's input or configuration is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input or configuration; its message is one line: what was found and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


class InterruptedRunError(KeyboardInterrupt):
    """Ctrl-C inside a run; its message says how to go on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean `x`?"`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""
