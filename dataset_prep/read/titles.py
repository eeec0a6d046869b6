"""Titles of items, for the .item file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.read.file_kind import file_kind
from dataset_prep.read.id_columns import id_or_first
from dataset_prep.read.interactions import open_parquet
from dataset_prep.read.json_records import json_records
from dataset_prep.read.text_tables import Layout, chunks, find_role, reason, simple, sniff
from dataset_prep.report import Report
from dataset_prep.tokens import as_tokens
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED

# A longer cell is a title rather than the name of a column of titles.
_LONGEST_NAME = 30


def read_item_table(path: Path, report: Report, encoding: str) -> pd.DataFrame:
    """``item_id:token`` and ``movie_title:token_seq`` from a table with an id and a title column.

    Raises:
        UserError: no header, no id column or no title column.
    """
    kind = file_kind(path)
    if kind == "json":
        tokens, titles = _from_json(path, report, encoding)
    elif kind == "parquet":
        tokens, titles = _from_parquet(path, report)
    elif kind == "text":
        layout = _layout(path, encoding)
        chosen = _choose(path, layout.names, report)
        table = pd.concat(chunks(layout, chosen, report))
        tokens, titles = table[chosen[0]].tolist(), table[chosen[1]].tolist()
    else:
        raise UserError(f"{path}: holds no table of titles; give CSV, TSV, JSON or Parquet")
    return item_table(as_tokens(tokens), titles)


def item_table(tokens: list[str], titles: list[str]) -> pd.DataFrame:
    """RecBole's columns of an .item file; tabs and line ends in titles become spaces."""
    cleaned = ["" if title is None else " ".join(str(title).split()) for title in titles]
    return pd.DataFrame({"item_id:token": tokens, "movie_title:token_seq": cleaned})


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


def _layout(path: Path, encoding: str) -> Layout:
    """A first line of text alone is a header if it says title."""
    layout = sniff(path, None, encoding)
    if layout.has_header:
        return layout
    names = [cell.strip() for cell in layout.sample[0]]
    said = [n for n in names if len(n) <= _LONGEST_NAME and simple(n).endswith(("title", "name"))]
    if not said:
        raise UserError(
            f"{path}: its first line ({', '.join(names)[:60]}) is no header; name its columns, as "
            "in item_id,title"
        )
    return sniff(path, None, encoding, expected=said)


def _from_json(path: Path, report: Report, encoding: str) -> tuple[list[Any], list[Any]]:
    records = list(json_records(path, report, encoding))
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names:
        raise UserError(f"{path}: holds no JSON object with columns; check that it is complete")
    id_column, title = _choose(path, names, report)
    return [r.get(id_column) for r in records], [r.get(title) for r in records]


def _from_parquet(path: Path, report: Report) -> tuple[list[Any], list[Any]]:
    file = open_parquet(path)
    id_column, title = _choose(path, file.schema_arrow.names, report)
    try:
        columns = file.read(columns=[id_column, title]).to_pydict()
    except DAMAGED as error:
        raise UserError(f"{path}: not readable ({reason(error)}); write it again") from error
    return columns[id_column], columns[title]
