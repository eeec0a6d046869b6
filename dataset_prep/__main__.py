"""Command line: ``python -m dataset_prep SOURCE ... --output FOLDER``, ``check``, ``describe``.

A source is a module with ``add_parser(subparsers)``, which sets the default ``run``, and
``run(arguments) -> int``, the exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dataset_prep import (
    amazon,
    check,
    describe,
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
from recbole_painvrl.errors import UserError

SOURCES = (
    *(movielens, mmgcn, diffmm, ultragcn, table, planted),
    *(tiktok, kwai, mmrec, lattice, amazon, microlens, extract),
)
COMMANDS = (check, describe)


def build_parser() -> argparse.ArgumentParser:
    """Parser with one subcommand per source."""
    parser = argparse.ArgumentParser(
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one source; exit code 0 when done, 2 (and one line) when the input is wrong."""
    arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
