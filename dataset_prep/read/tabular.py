"""Tables of named columns in text, JSON and Parquet files, read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.read.files import file_kind, readable
from dataset_prep.read.json_data import json_records
from dataset_prep.read.tables import Layout, chunks
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

ROWS_PER_FRAME = 200_000
# Records may lack a key; the columns are those of the first records.
_SAMPLED = 1000


@dataclass(frozen=True)
class Table:
    """A table in a file, with its first rows; ``layout`` is that of a text file.

    ``frames(columns, report, rows)`` yields the columns, at most about ``rows`` rows at a time; the
    index holds the line numbers. It may be called several times.
    """

    path: Path
    names: tuple[str, ...]
    sample: pd.DataFrame
    frames: Callable[[Sequence[str], Report, int], Iterator[pd.DataFrame]]
    layout: Layout | None = None

    @property
    def has_header(self) -> bool:
        """Whether the file names its columns."""
        return self.layout is None or self.layout.has_header

    def read(self, columns: Sequence[str], report: Report) -> pd.DataFrame:
        """Some columns of all rows."""
        frames = list(self.frames(columns, report, ROWS_PER_FRAME))
        return pd.concat(frames) if frames else self.sample[list(columns)]


def open_table(
    path: Path,
    encoding: str,
    what: str,
    text: Callable[[], Layout],
    pair: tuple[str, str] = ("user", "item"),
    fits: Callable[[Any], bool] = lambda value: isinstance(value, list),
) -> Table:
    """A table in a text, JSON or Parquet file; the content decides which.

    ``what`` it holds is for messages, ``text`` finds the layout of a text file; for ``pair`` and
    ``fits`` see :func:`~dataset_prep.read.json_data.json_records`.
    """
    kind = file_kind(path)
    if kind == "text":
        return text_table(text())
    if kind == "parquet":
        return _parquet_table(path)
    if kind == "json":
        return _json_table(path, lambda report: json_records(path, report, encoding, pair, fits))
    if kind in ("pickle", "torch"):
        raise UserError(f"{path}: is a pickle, which can run code; export it as CSV or Parquet")
    raise UserError(f"{path}: is a {kind} file without a table of {what}; give CSV or Parquet")


def text_table(layout: Layout, closed: Sequence[str] = ()) -> Table:
    """The table of a text file; for ``closed`` see :func:`~dataset_prep.read.tables.chunks`."""
    width = len(layout.names)
    rows = [row for row in layout.sample if len(row) == width]
    return Table(
        layout.path,
        layout.names,
        pd.DataFrame(rows, columns=list(layout.names), dtype=object),
        lambda columns, report, rows: chunks(layout, columns, report, rows, closed),
        layout,
    )


def _json_table(path: Path, records: Callable[[Report], Iterator[dict[str, Any]]]) -> Table:
    head = list(islice(records(Report()), _SAMPLED))
    names = list(dict.fromkeys(name for record in head for name in record))
    if not names:
        raise UserError(f"{path}: holds no JSON object with columns; check that it is complete")

    def frames(columns: Sequence[str], report: Report, rows: int) -> Iterator[pd.DataFrame]:
        entries = records(report)
        start = 1
        while block := list(islice(entries, rows)):
            yield _json_frame(block, columns).set_axis(pd.RangeIndex(start, start + len(block)))
            start += len(block)

    return Table(path, tuple(names), _json_frame(head, names), frames)


def _json_frame(records: Sequence[dict[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    columns = {
        name: pd.Series([_cell(record.get(name)) for record in records], dtype=object)
        for name in names
    }
    return pd.DataFrame(columns)


def _cell(value: Any) -> Any:
    """A JSON value as a cell; an object with one value, as ``{"$oid": ...}``, is that value."""
    if isinstance(value, dict):
        value = next(iter(value.values())) if len(value) == 1 else None
        return None if isinstance(value, dict | list) else value
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return [_cell(entry) for entry in value if not isinstance(entry, list)]
    return value


def _parquet_table(path: Path) -> Table:
    import pyarrow.parquet as pq

    with readable(path, "not a whole Parquet file"):
        file = pq.ParquetFile(path)

    def frames(columns: Sequence[str], report: Report, rows: int) -> Iterator[pd.DataFrame]:
        start = 1
        with readable(path, "not readable", "write it again"):
            for batch in file.iter_batches(rows, columns=list(columns)):
                frame = pd.DataFrame({name: _series(batch.column(name)) for name in columns})
                yield frame.set_axis(pd.RangeIndex(start, start + len(frame)))
                start += len(frame)

    names = tuple(file.schema_arrow.names)
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: two columns are called {name!r}; rename one")
    sample = next(frames(names, Report(), _SAMPLED), pd.DataFrame(columns=list(names)))
    return Table(path, names, sample, frames)


def _series(column: Any) -> pd.Series:
    """A column of Parquet; integers with missing values stay integers, since floats lose digits."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count and pa.types.is_integer(column.type):
        return pd.Series(column.to_pylist(), dtype=object)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    if pa.types.is_struct(column.type) or pa.types.is_map(column.type):
        return pd.Series(list(map(_cell, column.to_pylist())), dtype=object)
    found: pd.Series = column.to_pandas(date_as_object=False)
    return found
