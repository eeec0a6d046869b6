"""Options that name the columns of interaction tables."""

from __future__ import annotations

import argparse

from dataset_prep.framework.read_interactions import ROLES, TableColumns


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Options for sources whose interactions are tables with named columns."""
    group = parser.add_argument_group("columns")
    group.add_argument(
        "--columns", metavar="NAME,...", help="names of all columns of files without a header"
    )
    for role in ROLES:
        group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}")


def columns_of(arguments: argparse.Namespace) -> TableColumns:
    """The columns that were named."""
    roles = {
        role: getattr(arguments, f"{role}_column")
        for role in ROLES
        if getattr(arguments, f"{role}_column")
    }
    names = tuple(arguments.columns.split(",")) if arguments.columns else None
    return TableColumns(roles, names, arguments.encoding)
