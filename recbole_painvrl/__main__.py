"""``python -m recbole_painvrl COMMAND``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import recbole_painvrl
from recbole_painvrl._compat import torch
from recbole_painvrl.cli import COMMANDS, LIGHT
from recbole_painvrl.cli.outcome import DONE, WRONG_INPUT, guarded, piped
from recbole_painvrl.errors import did_you_mean


def help_page() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    return f"""\
usage: python -m recbole_painvrl COMMAND [...]       (installed: recbole-painvrl COMMAND [...])

PaInvRL (MM '23) and its baselines on your data, in and out of distribution.

commands
{lines}

`python -m recbole_painvrl COMMAND --help` is a page about the command, with examples.

from a CSV and feature files to a table (docs/tutorial.md has every step)
  python -m dataset_prep table --input ratings.csv --features visual=clip.csv --output dataset/mine
  python -m recbole_painvrl doctor
  python -m recbole_painvrl run --model=PaInvRL --dataset=mine
  python -m recbole_painvrl benchmark --dataset mine --seeds 5 --protocol iid_ood
  python -m recbole_painvrl report runs/PaInvRL-mine-20260101-120000-000
  python -m recbole_painvrl tune --model=PaInvRL --dataset=mine --trials=50

Without data of your own: --dataset=ml-trailers, planted and ml-100k need no download.
exit codes: 0 done, 2 wrong input or configuration (one line says what), 1 anything else
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a command; returns the exit code."""
    return piped(lambda: _dispatch(list(sys.argv[1:] if argv is None else argv)))


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_page())
        return DONE
    if arguments[0] == "--version":
        print(recbole_painvrl.__version__)
        return DONE
    name = arguments[0]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        print(f"error: unknown command `{name}`{hint}", file=sys.stderr)
        return WRONG_INPUT
    module = importlib.import_module(f"recbole_painvrl.cli.{name}")
    if name not in LIGHT and not {"-h", "--help"} & set(arguments):
        started = guarded(recbole_painvrl.start, stopped="stopped before the command began")
        if started != DONE:
            return started
        torch.step_without_compiler()
    code: int = module.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
