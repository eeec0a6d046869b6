"""Tables of texts in CSV, TSV, JSON or Parquet, and titles of items for the .item file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.interactions import as_tokens
from dataset_prep.read.files import file_kind, readable
from dataset_prep.read.ids import id_or_first
from dataset_prep.read.interactions import open_parquet
from dataset_prep.read.json_data import json_records
from dataset_prep.read.tables import chunks, find_role, simple, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_ROWS = 1 << 14
# A longer cell is a title rather than the name of a column of titles.
_LONGEST_NAME = 30


@dataclass(frozen=True)
class ContentTable:
    """A table with its columns' ``names``; ``frames`` gives chosen columns, piece by piece."""

    names: list[str]
    frames: Callable[[list[str]], Iterator[pd.DataFrame]]


def open_content(
    path: Path,
    report: Report,
    encoding: str,
    expected: Sequence[str] = (),
    what: str = "texts",
    header: Callable[[list[str]], list[str]] = lambda first: [],
) -> ContentTable:
    """A table by its content.

    Args:
        path: the file.
        report: told of malformed lines.
        encoding: of a text file.
        expected: names that show the first line to be a header.
        what: the table holds, for messages.
        header: names in a first line without known ones that show it to be a header all the same.
    """
    kind = file_kind(path)
    if kind == "json":
        records = list(json_records(path, report, encoding))
        names = list(dict.fromkeys(name for record in records for name in record))
        if not names:
            raise UserError(f"{path}: holds no JSON object with columns; check that it is complete")
        return ContentTable(
            names, lambda wanted: iter([pd.DataFrame(records, columns=wanted, dtype=object)])
        )
    if kind == "parquet":
        file = open_parquet(path)
        return ContentTable(
            file.schema_arrow.names, lambda wanted: _parquet_frames(path, file, wanted)
        )
    if kind != "text":
        raise UserError(f"{path}: holds no table of {what}; give CSV, TSV, JSON or Parquet")
    layout = sniff(path, None, encoding, expected)
    if not layout.has_header:
        first = [cell.strip() for cell in layout.sample[0]]
        if not (said := header(first)):
            shown = ", ".join(first)[:60]
            raise UserError(
                f"{path}: its first line ({shown}) is no header; name its columns, as in "
                f"item_id,title{',plot' if what == 'texts' else ''}"
            )
        layout = sniff(path, None, encoding, said)
    return ContentTable(list(layout.names), lambda wanted: chunks(layout, wanted, report))


def _parquet_frames(path: Path, file: Any, wanted: list[str]) -> Iterator[pd.DataFrame]:
    with readable(path, "not readable", "write it again"):
        for batch in file.iter_batches(_ROWS, columns=wanted):
            yield pd.DataFrame(batch.to_pydict(), dtype=object)


def as_text(value: object) -> str:
    """Text of a cell: words of lists are joined, and a missing value is empty."""
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(as_text, value)))
    return "" if value is None or value != value else str(value)


def read_item_table(path: Path, report: Report, encoding: str) -> pd.DataFrame:
    """The .item table of RecBole from a table with an id and a title column."""
    table = open_content(path, report, encoding, what="titles", header=_title_names)
    chosen = _choose(path, table.names, report)
    return item_table(pd.concat(table.frames(list(chosen))), *chosen)


def item_table(table: pd.DataFrame, item: str, title: str) -> pd.DataFrame:
    """RecBole's columns of an .item file; tabs and line ends in titles become spaces."""
    titles = ["" if t is None or t != t else " ".join(str(t).split()) for t in table[title]]
    return pd.DataFrame({"item_id:token": as_tokens(table[item]), "movie_title:token_seq": titles})


def _title_names(first: list[str]) -> list[str]:
    """A first line of text alone is a header if it says title."""
    short = [name for name in first if len(name) <= _LONGEST_NAME]
    return [name for name in short if simple(name).endswith(("title", "name"))]


def _choose(path: Path, names: Sequence[str], report: Report) -> tuple[str, str]:
    """The columns of ids and titles."""
    id_column = id_or_first(path, names, advice="call it item_id in the file")
    others = [name for name in names if name != id_column]
    title = find_role(others, "title")
    for word, unfit in (("title", "original"), ("title", "\0"), ("name", "user"), ("name", "\0")):
        like = [name for name in others if word in name.lower() and unfit not in name.lower()]
        title = title or next(iter(like), None)
    if title is None:
        raise UserError(
            f"{path}: no column of titles among {', '.join(names[:8])}; call it title in the file"
        )
    report.note(f"{path.name}: item = {id_column}, title = {title}")
    return id_column, title
