"""Interactions from CSV, TSV, JSON, Parquet, .npz and .npy files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.interactions import InteractionBuilder, exact_below
from dataset_prep.read.files import file_kind, text_sample
from dataset_prep.read.frames import add_frames, part_name
from dataset_prep.read.ids import listed_names
from dataset_prep.read.matrices import open_archive, read_array
from dataset_prep.read.rows import is_number
from dataset_prep.read.tables import Layout, find_role, simple, sniff
from dataset_prep.read.tabular import ROWS_PER_FRAME, open_table, text_table
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError, did_you_mean

ROLES = ("user", "item", "rating", "time", "part")
# After the name of a column of RecBole.
_TYPES = ("", "token", "token_seq", "float", "float_seq")
# Larger than any rating, and smaller than any time since 1970.
_LARGEST_RATING = 1e6


@dataclass(frozen=True)
class TableColumns:
    """Which columns to read.

    ``roles`` maps a role to its column, or to an empty name for none; ``names`` are all columns of
    a file without a header; ``options`` says whether the source has options that name columns.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8-sig"
    separator: str | None = None
    options: bool = False

    def advice(self, text: bool) -> str:
        """What to do if a column is missing in a file of text or of another kind."""
        if not self.options:
            return "call them user_id and item_id in the file"
        headless = ", or with `--columns user,item,...` if its first line is data" if text else ""
        return f"name the columns with `--user-column` and `--item-column`{headless}"

    def unknown_header(self) -> str:
        """What to do if the first line of a text file is no header with known names."""
        if not self.options:
            return self.advice(text=True)
        return (
            "if it is data, name all columns in order with `--columns user,item,...`; if it is a "
            "header, name two of its columns with `--user-column` and `--item-column`"
        )


@dataclass(frozen=True)
class _File:
    """A file that is being read, and what receives its rows."""

    path: Path
    builder: InteractionBuilder
    report: Report
    columns: TableColumns
    part: str | None

    def choose(self, names: Sequence[str], text: bool = False) -> dict[str, str]:
        """Role -> column, with a note so that a wrong choice is noticed."""
        chosen = choose_columns(self.path, names, self.columns, text)
        taken = ", ".join(f"{role} = {name}" for role, name in chosen.items())
        left = [name for name in names if name not in chosen.values()]
        rest = f"; left out: {listed_names(left)}" if left else ""
        self.report.note(f"{self.path.name}: {taken}{rest}")
        return chosen

    def add(self, frames: Any, chosen: Mapping[str, str]) -> None:
        """Append the rows of all pieces."""
        named = self.columns.roles
        add_frames(self.path, frames, chosen, named, self.builder, self.report, self.part)


def read_interactions(
    path: Path,
    builder: InteractionBuilder,
    report: Report,
    columns: TableColumns | None = None,
    part: str | None = None,
) -> None:
    """Append the rows of a file to ``builder``."""
    file = _File(path, builder, report, columns or TableColumns(), part)
    kind = file_kind(path)
    if kind == "npz":
        _read_npz(file)
    elif kind == "npy":
        add_pairs(path, read_array(path), builder, part)
    else:
        _read_table(file)


def choose_columns(
    path: Path, names: Sequence[str], columns: TableColumns, text: bool = False
) -> dict[str, str]:
    """Role -> column of the roles that are there; user and item are required."""
    chosen: dict[str, str] = {}
    wanted = columns.roles
    for role in ROLES:
        name = wanted.get(role)
        if name == "" and role not in ("user", "item"):
            continue
        if name is not None and name not in names:
            name = next((known for known in names if known.partition(":")[0] == name), None)
            if name is None:
                raise UserError(
                    f"{path}: no column `{wanted[role]}`"
                    f"{did_you_mean(wanted[role], names)}; it has {', '.join(names)}"
                )
        name = name or find_role([n for n in names if n not in wanted.values()], role)
        if name is not None:
            chosen[role] = name
    for role in ("user", "item"):
        if role not in chosen:
            shown = ", ".join(names[:12])
            raise UserError(f"{path}: no column of {role}s among {shown}; {columns.advice(text)}")
    return chosen


def add_pairs(
    path: Path, pairs: npt.NDArray[Any], builder: InteractionBuilder, part: str | None
) -> None:
    """Append an array [n, 2 to 4] of users, items and optional ratings and times."""
    what = part or "its array"
    width = pairs.shape[1] if pairs.ndim == 2 else 0
    whole = pairs.dtype.kind in "iu"
    if width in (3, 4) and pairs.dtype.kind == "f":
        ids = pairs[:, :2]
        # Of larger whole numbers several are stored as one.
        exact = exact_below(pairs.dtype)
        whole = bool(((np.floor(ids) == ids) & (np.abs(ids) < exact)).all())
    flat = pairs.ndim == 2 and pairs.shape[0] in (2, 3) and width > 4
    if not whole or width not in (2, 3, 4) or (len(pairs) and int(pairs[:, :2].min()) < 0):
        raise UserError(
            f"{path}: {what} is {pairs.dtype} {pairs.shape}{' with users in one row' * flat}; give "
            "whole numbers >= 0 [n, 2], a user and an item per row (ratings and times in columns "
            "3 and 4)"
        )
    extra = list(pairs[:, 2:].T)
    if not all(np.isfinite(column).all() for column in extra):
        raise UserError(f"{path}: {what} holds NaN or Inf; remove those rows")
    roles = ["rating", "time"][: len(extra)]
    if len(extra) == 1 and len(pairs) and extra[0].max() > _LARGEST_RATING:
        roles = ["time"]
    found = dict(zip(roles, extra, strict=True))
    ids = pairs[:, :2].astype(np.int64) if pairs.dtype.kind == "f" else pairs[:, :2]
    builder.add(ids[:, 0], ids[:, 1], found.get("rating"), found.get("time"), part)


def _read_npz(file: _File) -> None:
    """Arrays named like splits ([n, 2] each), or one array per column."""
    path, arrays = file.path, open_archive(file.path)
    parts = {key: name for key in arrays if (name := part_name(key)) is not None}
    matrices = [key for key, array in arrays.items() if array.ndim == 2]
    if parts or len(matrices) == 1:
        for key in parts or matrices:
            add_pairs(path, arrays[key], file.builder, file.part or parts.get(key))
        return
    chosen = file.choose(list(arrays))
    taken = {name: arrays[name] for name in chosen.values()}
    if len({array.shape for array in taken.values()}) > 1 or taken[chosen["user"]].ndim != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in taken.items())
        raise UserError(f"{path}: {shapes} do not match; give one value per row in each")
    frame = pd.DataFrame(taken)
    file.add(lambda _: iter((frame,)), chosen)


def _read_table(file: _File) -> None:
    encoding = file.columns.encoding
    table = open_table(file.path, encoding, "interactions", lambda: _layout(file))
    chosen = file.choose(table.names, text=table.layout is not None)
    if table.layout is not None and table.layout.separator != "\t":
        # Tab-separated tables are published without quoting; elsewhere an open mark is damage.
        table = text_table(table.layout, closed=[chosen["user"], chosen["item"]])
    taken = list(dict.fromkeys(chosen.values()))
    file.add(lambda report: table.frames(taken, report, ROWS_PER_FRAME), chosen)


def _layout(file: _File) -> Layout:
    """The layout of a text file, which must have a header or named columns, and rows."""
    path, columns = file.path, file.columns
    named = tuple(columns.roles.values())
    layout = sniff(path, columns.names, columns.encoding, named, columns.separator)
    if columns.options and columns.names is not None:
        _check_named(file, layout, columns.names)
    if not layout.has_header and columns.names is None:
        lines = text_sample(path, columns.encoding).lines if layout.separator == " " else []
        if len({len(line.split()) for line in lines if line.strip()}) > 1:
            raise UserError(
                f"{path}: its lines differ in length, as lists of a user and the user's items do; "
                "read it with `python -m dataset_prep ultragcn --input FILE`"
            )
        raise UserError(
            f"{path}: its first line ({', '.join(layout.sample[0])[:60]}) is not a known header; "
            f"{columns.unknown_header()}"
        )
    if not layout.sample:
        raise UserError(f"{path}: has a header and no row; check that it was written completely")
    return layout


def _check_named(file: _File, layout: Layout, given: Sequence[str]) -> None:
    """Refuse named columns that contradict a header; note where the first row may be one."""
    path, own, wanted = file.path, [*map(simple, layout.names)], [*map(simple, given)]
    if layout.has_header:
        if own != wanted and sorted(own) == sorted(wanted):
            raise UserError(
                f"{path}: its header has the columns in another order "
                f"({', '.join(layout.names)}) than `--columns`; leave `--columns` out"
            )
        return
    first, *rows = layout.sample or [()]
    if any(map(is_number, first)):
        return
    shown = ", ".join(first)[:60]
    known = sum(
        cell.partition(":")[2] in _TYPES and any(find_role([cell], role) for role in ROLES)
        for cell in map(str.strip, first)
    )
    if known > 1:
        raise UserError(
            f"{path}: its first line ({shown}) is a header; leave `--columns` out, or name the "
            "columns with `--user-column` and `--item-column`"
        )
    if known or any(all(map(is_number, cells)) for cells in zip(*rows, strict=False)):
        file.report.note(
            f"{path.name}: its first line ({shown}) is read as an interaction; if it is a header, "
            "give `--user-column` and `--item-column` in place of `--columns`"
        )
