"""Lists that say which item each row of a matrix belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.interactions import as_tokens
from dataset_prep.read.files import file_kind
from dataset_prep.read.ids import (
    WHOLE,
    IdSource,
    find_id,
    is_index,
    is_item_name,
    is_row_name,
    listed_names,
    nearly_rows,
    no_id_column,
    numbered_header,
    refuse_better_ids,
    row_order,
)
from dataset_prep.read.interactions import open_parquet
from dataset_prep.read.json_data import json_columns
from dataset_prep.read.matrices import Array, open_archive, read_array
from dataset_prep.read.rows import is_number
from dataset_prep.read.tables import ALIASES, chunks, simple, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_HOW = (
    "give the ids alone, one per line in the order of the rows, or a column `row` that holds 0 to "
)

Columns = Mapping[str, Sequence[Any] | Array]


def read_ids(
    path: Path, report: Report, ids: IdSource | None = None, n_rows: int | None = None
) -> list[str]:
    """The item id of each row of a matrix: a list of ids, or a table of ids and row numbers.

    Args:
        path: text, JSON, .npy, .npz or Parquet file.
        report: told of malformed lines.
        ids: name of the id column, encoding of a text file, and the items of the interactions.
        n_rows: rows of the matrix, where they are known; they tell a header from an id.
    """
    ids = ids or IdSource()
    kind = file_kind(path)
    named = True
    if kind == "npy":
        array = read_array(path)
        if array.ndim != 1 or array.dtype.kind not in "iuSUf":
            raise UserError(f"{path}: has shape {array.shape}; give one id per row")
        return as_tokens(array)
    if kind == "text":
        columns, named = _text_columns(path, report, ids, n_rows)
    elif kind == "json":
        columns = json_columns(path, ids.encoding)
    elif kind == "npz":
        columns = {key: array for key, array in open_archive(path).items() if array.ndim == 1}
    elif kind == "parquet":
        columns = open_parquet(path).read().to_pydict()
    else:
        raise UserError(f"{path}: is no list of ids ({kind}); give a text, JSON or .npy file")
    return ordered_ids(path, columns, ids, named, n_rows)


def ordered_ids(
    path: Path, columns: Columns, ids: IdSource, named: bool = True, n_rows: int | None = None
) -> list[str]:
    """The ids in the order of the rows: that of a column of row numbers, or as they stand.

    Args:
        path: file that holds them.
        columns: one or more columns, of which one holds the ids.
        ids: the name of their column, where it was given, and the items of the interactions.
        named: whether the columns have names of their own.
        n_rows: rows of the matrix, where they are known.
    """
    if len({len(values) for values in columns.values()}) != 1 or not columns:
        raise UserError(f"{path}: holds no list of ids; give one id per row")
    tokens = {name: as_tokens(values) for name, values in columns.items()}
    if len(tokens) == 1 and (ids.column is None or ids.column in tokens):
        return next(iter(tokens.values()))
    n_ids = len(next(iter(tokens.values())))
    if n_rows is not None and n_ids != n_rows:
        raise UserError(
            f"{path}: has {n_ids} ids for {n_rows} rows of the matrix; the two belong together"
        )
    orders = {name: order for name in tokens if (order := row_order(tokens[name])) is not None}
    chosen = _id_column(path, list(tokens), orders, ids.column, named)
    if ids.column is None:
        refuse_better_ids(path, chosen, tokens, ids.rated)
    order = _row_order(path, tokens, orders, chosen, ids)
    placed = [""] * n_ids
    for place, row in enumerate(order):
        placed[row] = tokens[chosen][place]
    return placed


def _id_column(
    path: Path, names: list[str], orders: Mapping[str, Any], wanted: str | None, named: bool
) -> str:
    """The column of ids; one that may number the rows only where there is no other."""
    if wanted is not None:
        if wanted not in names:
            raise no_id_column(path, names, wanted)
        return wanted
    others = [name for name in names if not (named and is_row_name(name))]
    plain = [name for name in others if name not in orders]
    found = (find_id(plain) or find_id(others)) if named else None
    left = plain or others
    if found is None and (len(left) == 1 or (left and not named)):
        found = left[0]
    if found is None:
        raise no_id_column(path, names, None)
    return found


def _row_order(
    path: Path,
    tokens: Mapping[str, list[str]],
    orders: Mapping[str, list[int]],
    chosen: str,
    ids: IdSource,
) -> list[int]:
    """Row of each id by the column that numbers the rows, else the order of the file."""
    n_ids = len(tokens[chosen])
    as_is = list(range(n_ids))
    how = f"{_HOW}{n_ids - 1}"
    rest = [name for name in tokens if name != chosen]
    # What pandas writes before a table numbers its lines; any other column says more.
    claims = {name: orders[name] for name in rest if name in orders}
    claims = {n: o for n, o in claims.items() if not (is_index(n) and o == as_is)} or claims
    said = {name: order for name, order in claims.items() if is_row_name(name)} or claims
    if len({tuple(order) for order in said.values()}) > 1:
        shown = listed_names(list(said))
        raise UserError(f"{path}: columns {shown} number the rows differently; {how}")
    if said:
        name, order = next(iter(said.items()))
        sorted_both = order == as_is and orders.get(chosen) == as_is
        known = ids.rated.issuperset(tokens[chosen]) and not ids.rated.issuperset(tokens[name])
        like_rows = chosen in orders or (nearly_rows(tokens[chosen]) and not known)
        like_rows = like_rows and not sorted_both and ids.column is None
        named = is_item_name(name) or (len(tokens) == 2 and "0" in tokens[name])
        if is_row_name(name) or (not like_rows and (named or order == as_is)):
            return order
        both = f"columns `{chosen}` and `{name}` both" if like_rows else f"column `{name}`"
        raise UserError(f"{path}: {both} may number the rows; {how}")
    for name in rest:
        _refuse_broken(path, name, tokens[name])
    if orders.get(chosen, as_is) != as_is:
        raise UserError(f"{path}: column `{chosen}` may hold ids or number the rows; {how}")
    return as_is


def _refuse_broken(path: Path, name: str, tokens: list[str]) -> None:
    """Raise :class:`UserError` where a column that seems to number the rows cannot."""
    numbers = [int(token) for token in tokens if WHOLE.fullmatch(token)]
    size, distinct = len(tokens), len(set(numbers))
    if not numbers or (is_index(name) and numbers == sorted(set(numbers)) and distinct == size):
        return
    # A column of another name, such as a year, is no matter unless it nearly numbers the rows.
    if not (is_row_name(name) or simple(name) in ALIASES["item"] or nearly_rows(tokens)):
        return
    counts = Counter(tokens)
    token = next((t for t in tokens if counts[t] > 1), None)
    wrong = next((t for t in tokens if not WHOLE.fullmatch(t) or int(t) >= size), "")
    what = f"it holds {wrong!r}" if token is None else f"{token!r} is there {counts[token]} times"
    raise UserError(
        f"{path}: column `{name}` must number the rows from 0 to {size - 1}, each once, but "
        f"{what}; correct it, or give the ids alone, one per line in the order of the rows"
    )


def _text_columns(
    path: Path, report: Report, ids: IdSource, n_rows: int | None
) -> tuple[Columns, bool]:
    """The columns of a text table, and whether its first line names them."""
    column = ids.column
    layout = sniff(path, encoding=ids.encoding, expected=[column] if column else ())
    plain = replace(layout, names=tuple(map(str, range(len(layout.names)))), has_header=False)
    table = pd.concat(chunks(plain, plain.names, report))
    first = [str(cell).strip() for cell in table.iloc[0]]
    header = layout.has_header or numbered_header([first, *layout.sample])
    known = any(is_item_name(name) or is_row_name(name) for name in first) or column in first
    if n_rows is not None and header and not known and len(table) == n_rows:
        # One id per row: the first line is one of them, whatever it looks like.
        header = False
    if n_rows is not None and not header and len(table) == n_rows + 1:
        # One line too many: a header, if it is neither an item nor a number.
        header = bool(ids.rated) and not any(c in ids.rated or is_number(c) for c in first)
    names = first if header else plain.names
    cells = [table[place].tolist()[header:] for place in plain.names]
    return dict(zip(names, cells, strict=True)), header
