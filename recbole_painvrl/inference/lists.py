"""Lists of the user's own ids: which users, which items, which items of new users."""

from __future__ import annotations

import csv
from pathlib import Path

from recbole_painvrl.errors import UserError
from recbole_painvrl.quoting import is_quoted, split_rows, text_lines

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_ids(path: Path, column: str) -> list[str]:
    """Distinct ids of a file, in its order.

    Args:
        path: ``.csv`` or ``.tsv`` with a header that has ``column``; any other file has one id
            per line, with or without ``column`` as the first line.
        column: ``user_id`` or ``item_id``.

    Raises:
        UserError: the file cannot be read, lacks the column or holds no id.
    """
    if path.suffix in _DELIMITERS:
        ids = [row[0] for row in _read_columns(path, [column])]
    else:
        ids = [line.strip() for line in _lines(path) if line.strip()]
        ids = ids[1:] if ids and ids[0] == column else ids
    if not ids:
        raise UserError(f"{path}: holds no id; give one `{column}` per line")
    return list(dict.fromkeys(ids))


def read_histories(path: Path) -> dict[str, list[str]]:
    """Distinct items of every user of a ``.csv`` or ``.tsv`` file, in its order.

    Raises:
        UserError: the file cannot be read, lacks a column or holds no row.
    """
    if path.suffix not in _DELIMITERS:
        raise UserError(f"{path}: expected a .csv or .tsv file with the columns user_id, item_id")
    histories: dict[str, dict[str, None]] = {}
    for user, item in _read_columns(path, ["user_id", "item_id"]):
        histories.setdefault(user, {})[item] = None
    if not histories:
        raise UserError(f"{path}: holds no row; give one user_id and item_id per line")
    return {user: list(items) for user, items in histories.items()}


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as stream:
            return list(text_lines(stream))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; ids are given in a file, one per line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 text; save it as such") from error


def _read_columns(path: Path, columns: list[str]) -> list[list[str]]:
    try:
        lines, separator = _lines(path), _DELIMITERS[path.suffix]
        rows = list(split_rows(lines, separator, is_quoted(lines, separator)))
    except csv.Error as error:
        raise UserError(f"{path}: not readable as a table ({error})") from error
    header = [name.partition(":")[0].strip() for name in rows[0]] if rows else []
    absent = [name for name in columns if name not in header]
    if absent:
        raise UserError(
            f"{path}: no column `{absent[0]}` in the header, found {', '.join(header) or 'nothing'}"
        )
    places = [header.index(name) for name in columns]
    found = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(places) or not all(row[place].strip() for place in places):
            raise UserError(f"{path}: row {number} lacks {' or '.join(columns)}: {row!r:.80}")
        found.append([row[place].strip() for place in places])
    return found
