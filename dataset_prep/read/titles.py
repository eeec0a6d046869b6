"""Tables of texts in CSV, TSV, JSON or Parquet, and titles of items for the .item file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from dataset_prep.interactions import as_tokens
from dataset_prep.read.files import readable
from dataset_prep.read.ids import id_or_first
from dataset_prep.read.tables import Layout, find_role, simple, sniff
from dataset_prep.read.tabular import Table, open_table
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

# A longer cell is a title rather than the name of a column of titles.
_LONGEST_NAME = 30


def open_texts(
    path: Path,
    encoding: str,
    expected: Sequence[str] = (),
    what: str = "texts",
    header: Callable[[list[str]], list[str]] = lambda first: [],
) -> Table:
    """A table of texts.

    ``expected`` names identify the first line as a header; if no usual name does, ``header`` gives
    the cells of a first line that do. ``what`` the table holds is for messages.
    """

    def layout() -> Layout:
        found = sniff(path, None, encoding, expected)
        if found.has_header:
            return found
        first = [cell.strip() for cell in found.sample[0]]
        if names := header(first):
            return sniff(path, None, encoding, names)
        raise UserError(
            f"{path}: its first line ({', '.join(first)[:60]}) is not a header; name its columns, "
            f"as in item_id,title{',plot' if what == 'texts' else ''}"
        )

    return open_table(path, encoding, what, layout)


def as_text(value: object) -> str:
    """Text of a cell: words of lists are joined, and a missing value is empty."""
    if isinstance(value, str):
        return value
    if hasattr(value, "__iter__"):
        return " ".join(filter(None, map(as_text, value)))
    return "" if value is None or value != value else str(value)


def read_item_table(path: Path, report: Report, encoding: str) -> pd.DataFrame:
    """The .item table of RecBole from a table with an id and a title column."""
    table = open_texts(path, encoding, what="titles", header=_title_names)
    chosen = _choose(path, table.names, report)
    with readable(path, "not a table of titles", "write one title per cell"):
        return item_table(table.read(chosen, report), *chosen)


def item_table(table: pd.DataFrame, item: str, title: str) -> pd.DataFrame:
    """RecBole's columns of an .item file; tabs and line ends in titles become spaces."""
    titles = [" ".join(as_text(cell).split()) for cell in table[title]]
    return pd.DataFrame({"item_id:token": as_tokens(table[item]), "movie_title:token_seq": titles})


def _title_names(first: list[str]) -> list[str]:
    """Cells of a first line of text that contain the word title or name."""
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
