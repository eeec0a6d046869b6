"""JSON files of ids and vectors: maps, lists, and one value per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_prep.read.id_columns import WHOLE, is_item_name, nearly_rows, row_order
from dataset_prep.read.text_tables import READ_ERRORS, open_bytes, reason
from dataset_prep.report import Report
from dataset_prep.tokens import as_tokens
from recbole_painvrl.errors import UserError

# Parsed numbers take about twice the room of their text.
_MOST = 1 << 30


class Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, with keys that are there twice."""


def json_values(path: Path, encoding: str, report: Report | None = None) -> Iterator[Any]:
    """The one value of a file, or the value of every line; objects are :class:`Pairs`.

    Args:
        path: the file, ``.gz`` allowed.
        encoding: of its text.
        report: told of malformed lines (``drop-rows``); without it they are an error.

    Raises:
        UserError: unreadable, cut, no JSON, or too large to be parsed as one value.
    """
    try:
        with open_bytes(path) as stream:
            first = stream.readline()
            more = next((line for line in stream if line.strip()), b"")
        if more and _parsed(first, encoding) is not None:
            yield from _lines(path, encoding, report)
            return
        with open_bytes(path) as stream:
            content = stream.read(_MOST + 1)
        if len(content) > _MOST:
            raise UserError(f"{path}: is JSON of more than 1 GB; write one object per line")
        yield json.loads(content.decode(encoding), object_pairs_hook=Pairs)
    except UserError:
        raise
    except (RecursionError, *READ_ERRORS) as error:
        raise UserError(f"{path}: cut or no JSON ({reason(error)}); copy it again") from error


def _parsed(line: bytes, encoding: str) -> Any:
    try:
        return json.loads(line.decode(encoding), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None


def _lines(path: Path, encoding: str, report: Report | None) -> Iterator[Any]:
    bad = first = 0
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            value = _parsed(line, encoding) if line.strip() else None
            if value is not None:
                yield value
            elif line.strip():
                bad, first = bad + 1, first or number
    if bad:
        what = f"{bad} lines hold no JSON, first line {first}"
        if report is None:
            raise UserError(f"{path}: {what}; correct them")
        report.found(path.name, what, bad, "drop-rows")


def json_columns(path: Path, encoding: str) -> dict[str, list[Any]]:
    """A list of ids, a map of ids and row numbers, or records, as columns.

    Raises:
        UserError: as :func:`json_values`, or of another form.
    """
    values = list(json_values(path, encoding))
    value: Any = values[0] if len(values) == 1 else values
    if isinstance(value, Pairs):
        if any(isinstance(entry, list) and is_item_name(key) for key, entry in value):
            return _table(path, dict(value))
        return _row_map(path, value)
    if isinstance(value, list) and value:
        if all(isinstance(entry, Pairs) for entry in value):
            records = [dict(entry) for entry in value]
            names = list(records[0])
            if all(list(record) == names for record in records):
                return _table(path, {n: [record[n] for record in records] for n in names})
        elif all(_is_plain(entry) for entry in value):
            return {"item_id": value}
        elif all(isinstance(entry, list) and len(entry) == 2 for entry in value):
            return _row_map(path, Pairs((entry[0], entry[1]) for entry in value))
    raise UserError(
        f"{path}: is JSON of another form; give a list of ids, or a map of each id to its row"
    )


def _table(path: Path, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    plain = {
        name: values
        for name, values in columns.items()
        if isinstance(values, list) and all(value is None or _is_plain(value) for value in values)
    }
    if not plain:
        raise UserError(f"{path}: is JSON without ids; give a list of ids, or a map to rows")
    return plain


def _row_map(path: Path, pairs: Pairs) -> dict[str, list[Any]]:
    keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    if not keys or not all(map(_is_plain, [*keys, *values])):
        raise UserError(f"{path}: is JSON, but no map of each id to its row; correct it")
    if len({str(key) for key in keys}) < len(keys):
        seen: set[str] = set()
        twice = next(k for k in map(str, keys) if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise UserError(f"{path}: is JSON that holds {twice!r} twice; keep one of them")
    rows, items = row_order(as_tokens(values)), row_order(as_tokens(keys))
    if rows is not None and items is not None:
        there = dict(zip(as_tokens(keys), as_tokens(values), strict=True))
        clear = "0" in there.values() and "0" not in there
        if not clear and any(there.get(value) != key for key, value in there.items()):
            raise UserError(
                f"{path}: may map ids to rows or rows to ids; give a JSON list of the ids instead"
            )
    elif rows is None and items is None and not any(map(WHOLE.fullmatch, as_tokens(values))):
        raise UserError(f"{path}: is JSON, but maps no id to a row number; correct it")
    elif items is not None and not nearly_rows(as_tokens(values)):
        keys, values = values, keys
    return {"item_id": keys, "row": values}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
