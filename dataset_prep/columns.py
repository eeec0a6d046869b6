"""Options that name the columns of interaction tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.read.interactions import ROLES, TableColumns
from recbole_painvrl.errors import UserError


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Options for sources whose interactions are tables with named columns."""
    group = parser.add_argument_group("columns")
    group.add_argument(
        "--columns", metavar="NAME,...", help="names of all columns of files without a header"
    )
    group.add_argument(
        "--separator",
        type=separator_text,
        metavar="TEXT",
        help="between the cells of a line (default: found), as in ';', '\\t', tab, blank or ::",
    )
    for role in ROLES:
        none = "" if role in ("user", "item") else " ('' for none)"
        group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}{none}")


def separator_text(text: str) -> str:
    """A separator as typed in a shell, where a tab is hard to type."""
    separator = {"\\t": "\t", "tab": "\t", "blank": " ", "space": " "}.get(text, text)
    if len(separator) != 1 and separator != "::":
        raise argparse.ArgumentTypeError(f"{text!r} is no separator; give one character, tab or ::")
    if separator in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} cannot separate cells")
    return separator


def columns_of(arguments: argparse.Namespace) -> TableColumns:
    """The columns that were named."""
    roles = {
        role: getattr(arguments, f"{role}_column")
        for role in ROLES
        if getattr(arguments, f"{role}_column") is not None
    }
    names = tuple(arguments.columns.split(",")) if arguments.columns else None
    return TableColumns(roles, names, arguments.encoding, arguments.separator, options=True)


def refuse_columns(arguments: argparse.Namespace, path: Path) -> None:
    """Raise :class:`UserError` where an option names columns of a file that has none."""
    names = ["columns", "separator", *(f"{role}_column" for role in ROLES)]
    given = [f"--{n.replace('_', '-')}" for n in names if getattr(arguments, n) is not None]
    if given:
        raise UserError(f"{path}: has no columns; leave out {' and '.join(given)}")
