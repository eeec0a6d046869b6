"""Command line of the dataset preparation: ``python -m dataset_prep SOURCE --output FOLDER``.

A source is a module with ``add_parser(subparsers)``, which sets the default ``run``, and
``run(arguments) -> int``, the exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dataset_prep import planted, table
from recbole_painvrl.errors import UserError

SOURCES = (table, planted)


def build_parser() -> argparse.ArgumentParser:
    """Parser with one subcommand per source."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_prep",
        description="Prepare a checked dataset folder from a source of data.",
        epilog="example: python -m dataset_prep planted --output dataset/planted-small --users 500",
    )
    subparsers = parser.add_subparsers(title="sources", metavar="SOURCE", required=True)
    for source in SOURCES:
        source.add_parser(subparsers)
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
