"""Tables of texts in CSV, TSV, JSON or Parquet, as frames of the columns that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dataset_prep.read.file_kind import file_kind
from dataset_prep.read.interactions import open_parquet
from dataset_prep.read.json_records import json_records
from dataset_prep.read.text_tables import chunks, reason, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED

_ROWS = 1 << 14


@dataclass(frozen=True)
class ContentTable:
    """A table whose columns are read by name.

    Attributes:
        names: of its columns.
        frames: the given columns, a bounded number of rows at a time.
    """

    names: list[str]
    frames: Callable[[list[str]], Iterator[pd.DataFrame]]


def open_content(
    path: Path, report: Report, encoding: str, expected: Sequence[str] = ()
) -> ContentTable:
    """A table of texts by its content; ``expected`` names show the first line to be a header.

    Raises:
        UserError: unreadable, without names of columns, or no table.
    """
    kind = file_kind(path)
    if kind == "json":
        records = list(json_records(path, report, encoding))
        names = list(dict.fromkeys(name for record in records for name in record))
        return ContentTable(
            names, lambda wanted: iter([pd.DataFrame(records, columns=wanted, dtype=object)])
        )
    if kind == "parquet":
        file = open_parquet(path)
        return ContentTable(
            file.schema_arrow.names, lambda wanted: _parquet_frames(path, file, wanted)
        )
    if kind != "text":
        raise UserError(f"{path}: holds no table of texts; give CSV, TSV, JSON or Parquet")
    layout = sniff(path, None, encoding, expected)
    if not layout.has_header:
        raise UserError(f"{path}: has no header; name its columns, as in item_id,title,plot")
    return ContentTable(list(layout.names), lambda wanted: chunks(layout, wanted, report))


def _parquet_frames(path: Path, file: object, wanted: list[str]) -> Iterator[pd.DataFrame]:
    try:
        for batch in file.iter_batches(_ROWS, columns=wanted):  # type: ignore[attr-defined]
            yield pd.DataFrame(batch.to_pydict(), dtype=object)
    except DAMAGED as error:
        raise UserError(f"{path}: not readable ({reason(error)}); write it again") from error


def as_text(value: object) -> str:
    """Text of a cell: words of lists are joined, and a missing value is empty."""
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(as_text, value)))
    return "" if value is None or value != value else str(value)
