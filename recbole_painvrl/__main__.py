"""``python -m recbole_painvrl COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

HELP = """\
usage: python -m recbole_painvrl COMMAND [...]

commands:
  run    train and evaluate one model (the same as run_recbole.py)

`python -m recbole_painvrl run --help` shows examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if arguments[0] != "run":
        print(f"error: unknown command `{arguments[0]}`, expected `run`", file=sys.stderr)
        return 2
    from recbole_painvrl.commands.run import main as run

    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
