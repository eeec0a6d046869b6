"""Interactions from CSV, TSV, JSON, Parquet, .npz and .npy files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.interactions import InteractionBuilder
from dataset_prep.read.files import file_kind, readable, text_sample
from dataset_prep.read.frames import Frames, add_frames, part_name
from dataset_prep.read.json_data import json_records
from dataset_prep.read.matrices import open_archive, read_array
from dataset_prep.read.tables import chunks, find_role, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError, did_you_mean

ROLES = ("user", "item", "rating", "time", "part")
_RECORDS_PER_FRAME = 100_000
# Records may lack a key; those of the first ones are known.
_RECORDS_LOOKED_AT = 1000
# No rating is that large, and no time since 1970 so small.
_LARGEST_RATING = 1e6


@dataclass(frozen=True)
class TableColumns:
    """Which columns to read: by role where the names are unusual, ``names`` without a header.

    Attributes:
        roles: role -> column that was named, or nothing where there is to be none.
        names: of all columns of a file without a header.
        encoding: of text.
        separator: between the cells of a line; None finds it.
        options: whether the source has options that name columns.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8-sig"
    separator: str | None = None
    options: bool = False

    def advice(self, text: bool) -> str:
        """What to do where a needed column is not found, in a file of text or of another kind."""
        if not self.options:
            return "call them user_id and item_id in the file"
        headless = ", or with `--columns user,item,...` if its first line is data" if text else ""
        return f"name the columns with `--user-column` and `--item-column`{headless}"


@dataclass(frozen=True)
class _File:
    """A file that is being read, and what takes its rows."""

    path: Path
    builder: InteractionBuilder
    report: Report
    columns: TableColumns
    part: str | None

    def choose(self, names: Sequence[str], text: bool = False) -> dict[str, str]:
        """Role -> column, with a note from which a person sees a wrong guess."""
        chosen = choose_columns(self.path, names, self.columns, text)
        taken = ", ".join(f"{role} = {name}" for role, name in chosen.items())
        left = [name for name in names if name not in chosen.values()]
        rest = f"; left out: {', '.join(left[:6])}" if left else ""
        self.report.note(f"{self.path.name}: {taken}{rest}")
        return chosen

    def add(self, frames: Frames, chosen: Mapping[str, str]) -> None:
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
    elif kind == "parquet":
        _read_parquet(file)
    elif kind == "json":
        _read_json(file)
    elif kind in ("pickle", "torch"):
        raise UserError(f"{path}: a pickle can run code when read; export it as CSV or .npz")
    elif kind == "hdf5":
        raise UserError(f"{path}: is HDF5; export its interactions as CSV or Parquet")
    else:
        _read_text(file)


def choose_columns(
    path: Path, names: Sequence[str], columns: TableColumns, text: bool = False
) -> dict[str, str]:
    """Role -> column of those that are there; user and item must be."""
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
    """Append an array [n, 2 to 4] of users, items and, where they are there, ratings, times."""
    what = part or "its array"
    if pairs.ndim == 2 and pairs.shape[0] in (2, 3) and pairs.shape[1] > 4:
        raise UserError(f"{path}: shape {pairs.shape} holds users in one row; transpose it")
    width = pairs.shape[1] if pairs.ndim == 2 else 0
    whole = pairs.dtype.kind in "iu" or (
        width in (3, 4) and pairs.dtype.kind == "f" and bool((pairs[:, :2] % 1 == 0).all())
    )
    if not whole or width not in (2, 3, 4):
        raise UserError(
            f"{path}: {what} is {pairs.dtype} {pairs.shape}; give whole numbers [n, 2], a user and "
            "an item per row (and ratings, times in columns 3 and 4)"
        )
    if len(pairs) and int(pairs[:, :2].min()) < 0:
        raise UserError(
            f"{path}: {what} has negative ids, as after an overflow of {pairs.dtype}; write it "
            "again with a wider type"
        )
    extra = list(pairs[:, 2:].T)
    if not all(np.isfinite(column).all() for column in extra):
        raise UserError(f"{path}: {what} holds NaN or Inf; remove those rows")
    roles = ["rating", "time"][: len(extra)]
    if len(extra) == 1 and len(pairs) and extra[0].max() > _LARGEST_RATING:
        roles = ["time"]
    found = dict(zip(roles, extra, strict=True))
    ids = pairs[:, :2].astype(np.int64)
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
    shape = taken[chosen["user"]].shape
    odd = next((n for n, a in taken.items() if a.ndim != 1 or a.shape != shape), None)
    if odd is not None:
        raise UserError(
            f"{path}: {chosen['user']} {shape} and {odd} {taken[odd].shape} do not match; give "
            "one value per row in each"
        )
    frame = pd.DataFrame(taken)
    file.add(lambda _: iter((frame,)), chosen)


def _read_text(file: _File) -> None:
    path, columns = file.path, file.columns
    named = tuple(columns.roles.values())
    layout = sniff(path, columns.names, columns.encoding, named, columns.separator)
    if not layout.has_header and columns.names is None:
        lines = text_sample(path, columns.encoding).lines if layout.separator == " " else []
        if len({len(line.split()) for line in lines if line.strip()}) > 1:
            raise UserError(
                f"{path}: its lines differ in length, as lists of a user and the user's items do; "
                "read it with `python -m dataset_prep ultragcn --input FILE`"
            )
        raise UserError(
            f"{path}: its first line ({', '.join(layout.sample[0])[:60]}) is no header that is "
            + ("known; if it is data, " if columns.options else "known; ")
            + columns.advice(text=True)
        )
    if not layout.sample:
        raise UserError(f"{path}: has a header and no row; check that it was written completely")
    chosen = file.choose(layout.names, text=True)
    taken = list(dict.fromkeys(chosen.values()))
    # Tab-separated tables are published without quoting; elsewhere an open mark is damage.
    ids = [] if layout.separator == "\t" else [chosen["user"], chosen["item"]]
    file.add(lambda report: chunks(layout, taken, report, closed=ids), chosen)


def _read_json(file: _File) -> None:
    path, encoding = file.path, file.columns.encoding
    head = islice(json_records(path, Report(), encoding), _RECORDS_LOOKED_AT)
    names = list(dict.fromkeys(name for record in head for name in record))
    if not names:
        raise UserError(f"{path}: holds no JSON object with columns; check that it is complete")
    chosen = file.choose(names)
    taken = list(dict.fromkeys(chosen.values()))

    def frames(report: Report) -> Iterator[pd.DataFrame]:
        records = json_records(path, report, encoding)
        start = 1
        while rows := list(islice(records, _RECORDS_PER_FRAME)):
            cells = {n: pd.Series([_cell(row.get(n)) for row in rows], dtype=object) for n in taken}
            yield pd.DataFrame(cells).set_axis(pd.RangeIndex(start, start + len(rows)))
            start += len(rows)

    file.add(frames, chosen)


def _cell(value: Any) -> Any:
    """A value of JSON as a cell; an object counts as the one value in it (``{"$oid": ...}``)."""
    if isinstance(value, dict):
        value = next(iter(value.values())) if len(value) == 1 else None
        return None if isinstance(value, dict | list) else value
    if isinstance(value, list):
        return [_cell(entry) for entry in value if not isinstance(entry, list)]
    return value


def _read_parquet(file: _File) -> None:
    path, table = file.path, open_parquet(file.path)
    schema = table.schema_arrow
    chosen = file.choose(schema.names)
    taken = list(dict.fromkeys(chosen.values()))
    for role, name in chosen.items():
        kind = str(schema.field(name).type)
        if kind.startswith(("struct", "map")) or (role in ("user", "part") and "list" in kind):
            raise UserError(f"{path}: column `{name}` holds {kind[:60]}; write one value per cell")

    def frames(_: Report) -> Iterator[pd.DataFrame]:
        start = 1
        for batch in table.iter_batches(1 << 18, columns=taken):
            frame = pd.DataFrame({name: _series(batch.column(name)) for name in taken})
            yield frame.set_axis(pd.RangeIndex(start, start + len(frame)))
            start += len(frame)

    with readable(path, "not readable", "write it again"):
        file.add(frames, chosen)


def _series(column: Any) -> pd.Series:
    """A column of Parquet as pandas has it; whole numbers with gaps become text, not floats."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type) or (column.null_count and pa.types.is_integer(column.type)):
        column = column.cast(pa.string())
    found: pd.Series = column.to_pandas(date_as_object=False)
    return found


def open_parquet(path: Path) -> Any:
    """``pyarrow.parquet.ParquetFile``."""
    import pyarrow.parquet as pq

    with readable(path, "not a whole Parquet file"):
        return pq.ParquetFile(path)
