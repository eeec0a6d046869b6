"""Interactions from CSV, TSV, Parquet, .npz and .npy files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.framework.arrays import open_archive, read_array
from dataset_prep.framework.interactions import InteractionBuilder
from dataset_prep.framework.report import Report
from dataset_prep.framework.text_tables import chunks, find_role, reason, sniff
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.reading import DAMAGED

ROLES = ("user", "item", "rating", "time", "part")
_PART_NAMES = {
    **dict.fromkeys(("0", "train", "training"), "train"),
    **dict.fromkeys(("1", "val", "valid", "validation", "dev"), "valid"),
    **dict.fromkeys(("2", "test", "testing"), "test"),
}


@dataclass(frozen=True)
class TableColumns:
    """Which columns to read: by role where the names are unusual, ``names`` without a header."""

    roles: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8-sig"


def part_name(text: str) -> str | None:
    """train, valid or test for what people call them, None for anything else."""
    return _PART_NAMES.get(text.strip().lower())


def read_interactions(
    path: Path,
    builder: InteractionBuilder,
    report: Report,
    columns: TableColumns | None = None,
    part: str | None = None,
) -> None:
    """Append the rows of a file to ``builder``.

    Raises:
        UserError: unreadable, without the needed columns, or of an unknown kind.
    """
    columns = columns or TableColumns()
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".npz":
        _read_npz(path, builder, part)
    elif kind == ".npy":
        add_pairs(path, read_array(path), builder, part)
    elif kind == ".parquet":
        _read_parquet(path, builder, report, columns, part)
    elif kind in (".pkl", ".pickle", ".pt"):
        raise UserError(f"{path}: a pickle can run code when read; export it as CSV or .npz")
    else:
        _read_text(path, builder, report, columns, part)


def choose_columns(path: Path, names: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Role -> column of those that are there; user and item must be.

    Raises:
        UserError: a wanted column is absent, or no column looks like users or items.
    """
    chosen: dict[str, str] = {}
    for role in ROLES:
        name = wanted.get(role)
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
            raise UserError(
                f"{path}: no column of {role}s among {shown}; name it with `--{role}-column`, or "
                "with `--columns user,item,...` if the first line is data"
            )
    return chosen


def _tell_columns(
    path: Path, chosen: Mapping[str, str], names: Sequence[str], report: Report
) -> None:
    """Say which columns were taken, so that a person sees a wrong guess."""
    taken = ", ".join(f"{role} = {name}" for role, name in chosen.items())
    left = [name for name in names if name not in chosen.values()]
    rest = f"; left out: {', '.join(left[:6])}" if left else ""
    report.note(f"{path.name}: {taken}{rest}")


def add_pairs(
    path: Path, pairs: npt.NDArray[Any], builder: InteractionBuilder, part: str | None
) -> None:
    """Append an integer array [n, >= 2] of users and items.

    Raises:
        UserError: another shape or type, or negative ids.
    """
    if pairs.ndim == 2 and pairs.shape[0] in (2, 3) and pairs.shape[1] > 3:
        raise UserError(f"{path}: shape {pairs.shape} holds users in one row; transpose it")
    if pairs.ndim != 2 or pairs.shape[1] < 2 or pairs.dtype.kind not in "iu":
        raise UserError(
            f"{path}: {part or 'its array'} is {pairs.dtype} {pairs.shape}; give whole numbers "
            "[n, 2], a user and an item per row"
        )
    if len(pairs) and int(pairs[:, :2].min()) < 0:
        raise UserError(
            f"{path}: {part or 'its array'} has negative ids, as after an overflow of "
            f"{pairs.dtype}; write it again with a wider type"
        )
    builder.add(pairs[:, 0], pairs[:, 1], part=part)


def _read_npz(path: Path, builder: InteractionBuilder, part: str | None) -> None:
    """Arrays named like splits ([n, 2] each), or one array per column."""
    arrays = open_archive(path)
    parts = {key: name for key in arrays if (name := part_name(key)) is not None}
    if parts:
        for key, name in parts.items():
            add_pairs(path, arrays[key], builder, part or name)
        return
    lone = [key for key, array in arrays.items() if array.ndim == 2]
    if len(lone) == 1:
        add_pairs(path, arrays[lone[0]], builder, part)
        return
    chosen = choose_columns(path, list(arrays), {})
    users, items = arrays[chosen["user"]], arrays[chosen["item"]]
    if users.ndim != 1 or users.shape != items.shape:
        raise UserError(f"{path}: users {users.shape} and items {items.shape} do not match")
    further = {role: arrays[chosen[role]] for role in ("rating", "time") if role in chosen}
    builder.add(users, items, further.get("rating"), further.get("time"), part)


def _read_text(
    path: Path, builder: InteractionBuilder, report: Report, columns: TableColumns, part: str | None
) -> None:
    layout = sniff(path, columns.names, columns.encoding, tuple(columns.roles.values()))
    if not layout.has_header and columns.names is None:
        raise UserError(
            f"{path}: its first line ({', '.join(layout.sample[0])[:60]}) is no header that is "
            "known; if it is data, name the columns, as in `--columns user,item,rating,timestamp`, "
            "else use `--user-column` and `--item-column`"
        )
    if not layout.sample:
        raise UserError(f"{path}: has a header and no row; check that it was written completely")
    chosen = choose_columns(path, layout.names, columns.roles)
    _tell_columns(path, chosen, layout.names, report)
    line = 2 if layout.has_header else 1
    for frame in chunks(layout, list(chosen.values()), report):
        frame.columns = pd.Index(list(chosen))
        _add_frame(path, frame, builder, report, part, line)
        line += len(frame)


def _read_parquet(
    path: Path, builder: InteractionBuilder, report: Report, columns: TableColumns, part: str | None
) -> None:
    file = open_parquet(path)
    chosen = choose_columns(path, file.schema_arrow.names, columns.roles)
    _tell_columns(path, chosen, file.schema_arrow.names, report)
    line = 1
    try:
        for batch in file.iter_batches(1 << 20, columns=list(chosen.values())):
            frame = batch.to_pandas()[list(chosen.values())]
            frame.columns = pd.Index(list(chosen))
            _add_frame(path, frame, builder, report, part, line)
            line += len(frame)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{path}: not readable ({reason(error)}); write it again") from error


def open_parquet(path: Path) -> Any:
    """``pyarrow.parquet.ParquetFile``.

    Raises:
        UserError: pyarrow is not installed, or the file is no Parquet file.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(f"{path}: needs pyarrow; type `pip install 'pyarrow<18'`") from error
    try:
        return pq.ParquetFile(path)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{path}: not a whole Parquet file ({reason(error)})") from error


def _add_frame(
    path: Path,
    frame: pd.DataFrame,
    builder: InteractionBuilder,
    report: Report,
    part: str | None,
    line: int,
) -> None:
    """Append rows of text; a rating or time that is no number makes a row malformed."""
    good = np.ones(len(frame), dtype=np.bool_)
    numbers: dict[str, npt.NDArray[Any]] = {}
    for role in ("rating", "time"):
        if role in frame:
            numbers[role] = _numbers(frame[role])
            good &= np.isfinite(numbers[role])
    if not good.all():
        first = int(np.argmin(good))
        shown = ", ".join(str(cell) for cell in frame.iloc[first])
        report.found(
            path.name,
            f"{int((~good).sum())} rows have a rating or time that is no number, first line "
            f"{line + first} ({shown})",
            int((~good).sum()),
            "drop-rows",
        )
        frame = frame[good]
        numbers = {role: values[good] for role, values in numbers.items()}
    if not len(frame):
        return
    groups = _groups(path, frame["part"]) if "part" in frame and part is None else {part: None}
    for name, rows in groups.items():
        taken = slice(None) if rows is None else rows
        further = {role: values[taken] for role, values in numbers.items()}
        users, items = frame["user"].to_numpy()[taken], frame["item"].to_numpy()[taken]
        builder.add(users, items, further.get("rating"), further.get("time"), name)


def _numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    """Numbers, or seconds since 1970 for dates; NaN for anything else."""
    if values.dtype.kind == "M":
        return np.asarray(values.astype("int64") / 1e9, dtype=np.float64)
    numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
    if np.isnan(numbers).all() and len(numbers):
        dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
        if dates.notna().any():
            seconds = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
            return np.asarray(seconds, dtype=np.float64)
    return numbers


def _groups(path: Path, labels: pd.Series) -> dict[str | None, npt.NDArray[np.bool_] | None]:
    """Rows of each split by its label."""
    groups: dict[str | None, npt.NDArray[np.bool_] | None] = {}
    text = labels.astype(str).str.strip()
    for label in pd.unique(text):
        name = part_name(label)
        if name is None:
            raise UserError(
                f"{path}: column `{labels.name}` holds {label!r}; it must be train, valid or test"
            )
        groups[name] = np.asarray(text == label, dtype=np.bool_)
    return groups
