"""Command line: ``python -m dataset_prep SOURCE ... --output FOLDER``, ``check``, ``describe``.

A source is a module with ``add_parser(subparsers)``, which sets the default ``run``, and
``run(arguments) -> int``, the exit code.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

from dataset_prep import check, describe
from dataset_prep.one_line import OneLineParser
from dataset_prep.sources import (
    amazon,
    diffmm,
    extract,
    kwai,
    lattice,
    microlens,
    mmgcn,
    mmrec,
    movielens,
    planted,
    table,
    tiktok,
    ultragcn,
)
from recbole_painvrl.errors import UserError, WriteError, did_you_mean

SOURCES = (
    *(movielens, mmgcn, diffmm, ultragcn, table, planted),
    *(tiktok, kwai, mmrec, lattice, amazon, microlens, extract),
)
COMMANDS = (check, describe)


def build_parser() -> argparse.ArgumentParser:
    """Parser with one subcommand per source."""
    parser = OneLineParser(
        prog="python -m dataset_prep",
        description="Prepare a checked dataset folder from a source of data.",
        epilog="python -m dataset_prep NAME --help shows a full example of each",
    )
    subparsers = parser.add_subparsers(
        title="sources and commands", metavar="SOURCE", required=True
    )
    for module in (*SOURCES, *COMMANDS):
        module.add_parser(subparsers)
    return parser


def _refuse_unknown(first: Sequence[str]) -> None:
    """Raise :class:`UserError` where the first word is neither option, source nor command."""
    known = [module.__name__.rpartition(".")[2] for module in (*SOURCES, *COMMANDS)]
    for name in first:
        if name not in known and not name.startswith("-"):
            raise UserError(
                f"{name}: no such source or command{did_you_mean(name, known)}; there are "
                f"{', '.join(known)}"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one source; exit code 0 when done, 2 (and one line) when the input is wrong, 1 else."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        _refuse_unknown(given[:1])
        arguments = build_parser().parse_args(given)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except WriteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; check permission and free space, also of "
            "the temporary folder (TMPDIR)",
            file=sys.stderr,
        )
        return 2
    return code


class _Patient(io.TextIOBase):
    """Standard output whose reader may leave (`| head`): the work goes on, unseen."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, as long as somebody reads."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Flush, as long as somebody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor below."""
        return self._stream.fileno()

    def _leave(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


if __name__ == "__main__":
    sys.stdout, sys.stderr = _Patient(sys.stdout), _Patient(sys.stderr)
    # As after Ctrl-C, temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
