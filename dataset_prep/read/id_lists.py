"""Lists that say which item each row of a matrix belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.interactions import as_tokens, refuse_rounded
from dataset_prep.read.files import file_kind, open_lines, text_sample
from dataset_prep.read.ids import (
    WHOLE,
    IdSource,
    find_id,
    is_index,
    is_item_name,
    is_row_name,
    is_sure_id,
    listed_names,
    no_id_column,
    numbered_header,
)
from dataset_prep.read.matrices import Array, open_archive, read_array
from dataset_prep.read.rows import SEPARATORS, is_number, split_any
from dataset_prep.read.tables import chunks, simple, sniff
from dataset_prep.read.tabular import open_table
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_HOW = "give the ids alone, one per line in the order of the rows, or columns item_id and row"

Columns = Mapping[str, Sequence[Any] | Array]


def read_ids(
    path: Path, report: Report, ids: IdSource | None = None, n_rows: int | None = None
) -> list[str]:
    """The item id of each row of a matrix: a list of ids, or a table of ids and row indices.

    ``n_rows``, the rows of the matrix if known, distinguish a header from an id.
    """
    ids = ids or IdSource()
    kind = file_kind(path)
    named = True
    if kind == "npy":
        array = read_array(path)
        if array.ndim != 1 or array.dtype.kind not in "iuSUf":
            raise UserError(f"{path}: has shape {array.shape}; give one id per row")
        refuse_rounded(array, path)
        return as_tokens(array)
    if kind == "npz":
        arrays = open_archive(path)
        columns: Columns = {name: array for name, array in arrays.items() if array.ndim == 1}
        refuse_unread_ids(path, arrays, columns, ids)
    elif kind == "text":
        columns, named = _text_columns(path, report, ids, n_rows)
    else:
        columns = _table_columns(path, report, ids)
    return ordered_ids(path, columns, ids, named, n_rows)


def _table_columns(path: Path, report: Report, ids: IdSource) -> Columns:
    """The columns of JSON or Parquet; a JSON map of ids and rows may have either as its keys."""
    pair = ("key", "value")
    table = open_table(path, ids.encoding, "ids", lambda: sniff(path), pair, _is_plain)
    plain = [name for name in table.names if table.sample[name].dropna().map(_is_plain).all()]
    refuse_unread_ids(path, table.names, plain, ids)
    frame = table.read(plain, report)
    if plain != ["key", "value"]:
        return {name: frame[name].to_numpy() for name in plain}
    columns = {name: as_tokens(frame[name].tolist()) for name in plain}
    rows = [name for name in plain if row_order(columns[name]) is not None]
    # Rows count from 0; ids that count from 1 cannot be rows.
    rows = [name for name in rows if "0" in columns[name]] if len(rows) > 1 else rows
    if len(rows) != 1:
        raise UserError(f"{path}: does not map ids to row indices in one way; {_HOW}")
    return {"item_id": columns["key" if rows == ["value"] else "value"], "row": columns[rows[0]]}


def refuse_unread_ids(
    path: Path, names: Iterable[str], read: Collection[str], ids: IdSource
) -> None:
    """Raise :class:`UserError` if a column of ids is not read; row indices would pass for them."""
    others = any(map(is_item_name, read))
    for name in names:
        holds_ids = is_sure_id(name) or (is_item_name(name) and not others)
        if name not in read and (holds_ids or name == ids.column):
            raise UserError(f"{path}: `{name}` does not hold one id per row; {_HOW}")


def _is_plain(value: object) -> bool:
    return not isinstance(value, list | np.ndarray | dict | bool) and value is not None


def row_order(tokens: Sequence[str]) -> list[int] | None:
    """Row of each entry if the entries are 0 to n - 1, or 1 to n, in any order."""
    if not tokens or not all(map(WHOLE.fullmatch, tokens)):
        return None
    numbers = [int(token) for token in tokens]
    low = min(numbers)
    if low > 1 or sorted(numbers) != list(range(low, low + len(numbers))):
        return None
    return [number - low for number in numbers]


def nearly_rows(tokens: Sequence[str]) -> bool:
    """Whether most entries could be row indices, although some are missing or repeated."""
    numbers = {int(token) for token in tokens if WHOLE.fullmatch(token)}
    return 2 * sum(number <= len(tokens) for number in numbers) > len(tokens)


def ordered_ids(
    path: Path, columns: Columns, ids: IdSource, named: bool = True, n_rows: int | None = None
) -> list[str]:
    """The ids in the order of the rows: by a column of row indices, or in the given order.

    ``named`` says whether the columns have names of their own, ``n_rows`` is the number of rows of
    the matrix, if known.
    """
    if len({len(values) for values in columns.values()}) != 1 or not columns:
        raise UserError(f"{path}: holds no list of ids; give one id per row")
    tokens = {name: as_tokens(values) for name, values in columns.items()}
    n_ids = len(next(iter(tokens.values())))
    if len(tokens) == 1 and (ids.column is None or ids.column in tokens):
        refuse_rounded(next(iter(columns.values())), path)
        return next(iter(tokens.values()))
    if n_rows is not None and n_ids != n_rows:
        raise UserError(
            f"{path}: has {n_ids} ids for {n_rows} rows of the matrix; the two belong together"
        )
    orders = {name: order for name in tokens if (order := row_order(tokens[name])) is not None}
    chosen = _id_column(path, list(tokens), orders, ids.column, named)
    refuse_rounded(columns[chosen], path)
    if ids.column is None:
        _refuse_better_ids(path, chosen, tokens, ids)
    order = _order(tokens, orders, chosen, ids)
    if order is None:
        raise UserError(
            f"{path}: cannot tell the row of each item from {listed_names(list(tokens))}; {_HOW}"
        )
    ordered = [""] * n_ids
    for token, row in zip(tokens[chosen], order, strict=True):
        ordered[row] = token
    return ordered


def _id_column(
    path: Path, names: list[str], orders: Mapping[str, Any], wanted: str | None, named: bool
) -> str:
    """The column of ids; one that could hold row indices only if there is no other."""
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


def _refuse_better_ids(
    path: Path, chosen: str, tokens: Mapping[str, Sequence[str]], ids: IdSource
) -> None:
    """Raise :class:`UserError` if another column holds many more items of the interactions."""
    met = {name: len(ids.rated.intersection(values)) for name, values in tokens.items()}
    best = max(met, key=lambda name: met[name])
    # Small numbers of any kind match some items by chance.
    if met[best] > met[chosen] * (1 if is_item_name(best) else 2):
        raise UserError(
            f"{path}: column `{best}` holds {met[best]} items of the interactions, `{chosen}` only "
            f"{met[chosen]}; name the id column with `--feature-id-column`"
        )


def _order(
    tokens: Mapping[str, list[str]], orders: Mapping[str, list[int]], chosen: str, ids: IdSource
) -> list[int] | None:
    """Row of each id by a column of row indices, else the order of the file; None if unclear."""
    as_is = list(range(len(tokens[chosen])))
    others = [name for name in tokens if name != chosen]
    # An index that pandas wrote ascends with the lines, even if some were filtered out. If it does
    # not, the table was sorted or sampled, and the matrix may be in either order.
    reset = next(iter(tokens))
    indices = [n for n in others if is_index(n) or (n == reset and simple(n) == "index")]
    if not all(_ascends(tokens[name]) for name in indices):
        return None
    named = [n for n in others if is_row_name(n) and n not in indices]
    claims = named or [name for name in others if nearly_rows(tokens[name])]
    found = [orders.get(name) for name in claims]
    if not found:
        return as_is if orders.get(chosen, as_is) == as_is else None
    if any(order != found[0] for order in found):
        return None
    if not named and found[0] != as_is:
        # Without a usual name, the column must be the only one that can hold row indices.
        alone = len(tokens) == 2 and "0" in tokens[claims[0]]
        if not alone or (ids.column is None and nearly_rows(tokens[chosen])):
            return None
    return found[0]


def _ascends(tokens: Sequence[str]) -> bool:
    numbers = [int(token) for token in tokens if WHOLE.fullmatch(token)]
    return len(numbers) == len(tokens) and numbers == sorted(set(numbers))


def _text_columns(
    path: Path, report: Report, ids: IdSource, n_rows: int | None
) -> tuple[Columns, bool]:
    """The columns of a text table, and whether its first line names them."""
    column = ids.column
    whole = _whole_lines(path, report, ids, n_rows)
    if whole is not None:
        return whole, False
    layout = sniff(path, encoding=ids.encoding, expected=[column] if column else ())
    if n_rows is not None and len(layout.names) == 1:
        _refuse_gaps(path, _raw_lines(path, ids.encoding)[0])
    plain = replace(layout, names=tuple(map(str, range(len(layout.names)))), has_header=False)
    table = pd.concat(chunks(plain, plain.names, report))
    first = [str(cell).strip() for cell in table.iloc[0]]
    header = layout.has_header or numbered_header([first, *layout.sample])
    known = any(is_item_name(name) or is_row_name(name) for name in first) or column in first
    if n_rows is not None and header and not known and len(table) == n_rows:
        # As many lines as rows: the first line is an id, whatever it looks like.
        header = False
    if n_rows is not None and not header and len(table) == n_rows + 1:
        # One more line than rows: a header, unless it is an item or a number.
        header = bool(ids.rated) and not any(c in ids.rated or is_number(c) for c in first)
    names = first if header else plain.names
    cells = [table[name].tolist()[header:] for name in plain.names]
    return dict(zip(names, cells, strict=True)), header


def _whole_lines(
    path: Path, report: Report, ids: IdSource, n_rows: int | None
) -> dict[str, list[str]] | None:
    """One id per line where ids hold separators or quote marks; None if lines have cells.

    The items of the interactions decide: at least as many must be whole lines as are cells of one
    column.
    """
    if n_rows is None or not ids.rated:
        return None
    raw, end = _raw_lines(path, ids.encoding)
    lines = list(filter(None, map(str.strip, raw)))
    items = ids.rated.intersection(lines)
    # In rated items, since a CSV writer encloses ids with separators in quote marks.
    marked = any(mark in item for item in items for mark in ('"', *SEPARATORS))
    if not marked or len(items) < _most_in_a_column(lines, ids.rated):
        return None
    _refuse_gaps(path, raw)
    if not raw[-1].endswith(end):
        report.note(f"{path.name}: has no end of line at its end; make sure that it is complete")
    first = lines[0]
    named = is_item_name(first) or is_row_name(first) or first == ids.column
    # One more line than rows: a header, unless it is an item or a number.
    named = named or (len(lines) == n_rows + 1 and not is_number(first))
    header = named and first not in ids.rated
    return {first if header else "0": lines[header:]}


def _raw_lines(path: Path, encoding: str) -> tuple[list[str], str]:
    """All lines of a text file with their ends, and what ends them."""
    sample = text_sample(path, encoding)
    with open_lines(path, sample.encoding, sample.end) as stream:
        return list(stream), sample.end


def _refuse_gaps(path: Path, lines: Sequence[str]) -> None:
    """Raise :class:`UserError` for a blank line above an id: it may stand for a row."""
    filled = [bool(line.strip()) for line in lines]
    gap = filled.index(False) if False in filled else len(filled)
    if any(filled[gap:]):
        raise UserError(
            f"{path}: line {gap + 1} is blank, so that the row of the ids below it is "
            f"not known; {_HOW}"
        )


def _most_in_a_column(lines: Sequence[str], rated: Collection[str]) -> int:
    """The largest number of distinct ``rated`` items in one column, over all separators."""
    best = 0
    for separator in SEPARATORS:
        met: defaultdict[int, set[str]] = defaultdict(set)
        for line in lines:
            for column, cell in enumerate(split_any(line, separator)):
                if (token := cell.strip()) in rated:
                    met[column].add(token)
        best = max([best, *map(len, met.values())])
    return best
