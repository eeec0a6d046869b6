"""Titles of items, for the .item file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dataset_prep.framework.id_columns import id_or_first
from dataset_prep.framework.report import Report
from dataset_prep.framework.text_tables import chunks, sniff
from dataset_prep.framework.tokens import as_tokens
from recbole_painvrl.errors import UserError


def read_item_table(path: Path, report: Report, encoding: str) -> pd.DataFrame:
    """``item_id:token`` and ``movie_title:token_seq`` from a table with an id and a title column.

    Raises:
        UserError: no id column or no title column.
    """
    layout = sniff(path, None, encoding)
    id_column = id_or_first(path, layout.names, advice="call it item_id in the file")
    title = next((n for n in layout.names if "title" in n.lower() or "name" in n.lower()), None)
    if title is None or title == id_column:
        raise UserError(f"{path}: no column of titles among {', '.join(layout.names[:8])}")
    table = pd.concat(chunks(layout, [id_column, title], report))
    return item_table(as_tokens(table[id_column]), table[title].tolist())


def item_table(tokens: list[str], titles: list[str]) -> pd.DataFrame:
    """RecBole's columns of an .item file; tabs and line ends in titles become spaces."""
    cleaned = [" ".join(str(title).split()) for title in titles]
    return pd.DataFrame({"item_id:token": tokens, "movie_title:token_seq": cleaned})
