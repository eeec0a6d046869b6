"""``python -m recbole_painvrl COMMAND``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from recbole_painvrl.commands import COMMANDS
from recbole_painvrl.commands.outcome import DONE, WRONG_INPUT
from recbole_painvrl.errors import did_you_mean


def help_page() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    return f"""\
usage: python -m recbole_painvrl COMMAND [...]

commands:
{lines}

`python -m recbole_painvrl COMMAND --help` is a page about the command, with examples.
Datasets are made and checked by `python -m dataset_prep`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_page())
        return DONE
    name = arguments[0]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        print(f"error: unknown command `{name}`{hint}", file=sys.stderr)
        return WRONG_INPUT
    module = importlib.import_module(f"recbole_painvrl.commands.{name}")
    code: int = module.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
