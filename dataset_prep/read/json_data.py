"""JSON of any common form (lines, lists, columns, maps) as records, values or columns of ids."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dataset_prep.interactions import as_tokens
from dataset_prep.read.files import bar, check_there, open_bytes, readable, text_sample
from dataset_prep.read.ids import WHOLE, is_item_name, nearly_rows, row_order
from dataset_prep.read.tables import find_role
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_MARK = b"\xef\xbb\xbf"
_NO_LITERAL = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)
# Parsed values take several times the room of their text.
_MOST = 1 << 30
_HEAD = 50


class Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, with keys that are there twice."""


def no_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of pairs; ValueError where a key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is there twice")
    return found


def whole_value(path: Path, encoding: str, pairs: Callable[[Any], Any] = no_twice) -> Any:
    """The one value of a file; ``pairs`` makes what stands for an object."""
    with readable(path, "cut or no JSON"), open_bytes(path) as stream:
        content = stream.read(_MOST + 1)
        if len(content) > _MOST:
            raise UserError(f"{path}: is one JSON value of more than 1 GB; write JSON lines")
        return json.loads(content.decode(encoding), object_pairs_hook=pairs)


def json_lines(path: Path, report: Report, python: bool = False) -> Iterator[dict[str, Any]]:
    """The object of every line; malformed lines are counted (``drop-rows``).

    With ``python`` also lines that are Python literals, as in Amazon's 2014 metadata. They are
    parsed as constants and never evaluated.
    """
    check_there(path)
    lines = bad = first = last = number = 0
    whole = True
    with (
        readable(path),
        open_bytes(path) as stream,
        bar(path.stat().st_size, path.name) as progress,
    ):
        for number, line in enumerate(stream, start=1):
            whole = line.endswith(b"\n")
            progress.update(len(line))
            text = line.removeprefix(_MARK).strip() if number == 1 else line.strip()
            if not text:
                continue
            if not lines and text.startswith(b"["):
                raise UserError(f"{path}: is one JSON array; write one object per line instead")
            lines += 1
            found = _object(text, python)
            if found is None:
                bad, first, last = bad + 1, first or number, number
            else:
                yield found
    if not lines:
        raise UserError(f"{path}: is empty; check that it was copied completely")
    cut = not whole and last == number
    if cut:
        report.found(path.name, "is cut in its last line", 1, "drop-rows")
    if bad > cut:
        what = f"{bad - cut} lines hold no JSON object, first line {first}"
        report.found(path.name, what, bad - cut, "drop-rows")


def _object(text: bytes | str, python: bool = False) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            literal = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            found = ast.literal_eval(literal) if python else None
        except _NO_LITERAL:
            return None
    return found if isinstance(found, dict) else None


def first_of(found: dict[str, Any], names: Sequence[str]) -> Any:
    """Value of the first of several names that is there, else None."""
    return next((found[name] for name in names if name in found), None)


def json_records(path: Path, report: Report, encoding: str) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines, or of one JSON value."""
    lines = [line for line in text_sample(path, encoding).lines if line.strip()][:_HEAD]
    objects = sum(_object(line.strip()) is not None for line in lines)
    if len(lines) > 1 and 2 * objects >= len(lines):
        yield from json_lines(path, report)
    else:
        yield from _records(path, whole_value(path, encoding))


def _records(path: Path, value: Any) -> Iterator[dict[str, Any]]:
    """Records of a parsed value: a list of them, columns, or a map of users to lists of items."""
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        yield from value
        return
    if isinstance(value, dict) and value:
        lists = all(isinstance(entry, list) for entry in value.values())
        if find_role(list(value), "user") and find_role(list(value), "item"):
            yield from _from_columns(path, value)
            return
        if lists and not any(isinstance(e, list | dict) for entry in value.values() for e in entry):
            yield from ({"user": user, "item": items} for user, items in value.items())
            return
        if len(value) == 1 and lists:
            yield from _records(path, next(iter(value.values())))
            return
    raise UserError(
        f"{path}: is JSON of another form; give one object per line, as in "
        '{"user_id": 1, "item_id": 2}'
    )


def _from_columns(path: Path, columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records of ``{"user": [...], "item": [...]}``, or with ``{"0": ..., "1": ...}`` inside."""
    if not any(isinstance(entry, list | dict) for entry in columns.values()):
        yield columns
        return
    first = next(iter(columns.values()))
    for name, entry in columns.items():
        if not isinstance(entry, list | dict) or len(entry) != len(first):
            raise UserError(f"{path}: its column {name!r} has another length; write it again")
        if isinstance(entry, dict) and list(entry) != list(first):
            raise UserError(f"{path}: its column {name!r} has other row labels; write it again")
    values = [list(e.values()) if isinstance(e, dict) else e for e in columns.values()]
    yield from (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))


def json_values(path: Path, encoding: str, report: Report | None = None) -> Iterator[Any]:
    """The one value of a file, or the value of every line; objects are :class:`Pairs`.

    Malformed lines are a fault of the report (``drop-rows``), or an error without one.
    """
    with readable(path, "cut or no JSON"), open_bytes(path) as stream:
        start = stream.readline()
        more = any(line.strip() for line in stream)
    if not more or _value(start, encoding) is None:
        yield whole_value(path, encoding, Pairs)
        return
    bad = first = 0
    with readable(path, "cut or no JSON"), open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            value = _value(line, encoding) if line.strip() else None
            if value is not None:
                yield value
            elif line.strip():
                bad, first = bad + 1, first or number
    if bad:
        what = f"{bad} lines hold no JSON, first line {first}"
        if report is None:
            raise UserError(f"{path}: {what}; correct them")
        report.found(path.name, what, bad, "drop-rows")


def _value(line: bytes, encoding: str) -> Any:
    try:
        return json.loads(line.decode(encoding), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None


def json_columns(path: Path, encoding: str) -> dict[str, list[Any]]:
    """A list of ids, a map of ids and row numbers, or records, as columns."""
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
            return _row_map(path, value)
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


def _row_map(path: Path, pairs: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    keys, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if not keys or not all(map(_is_plain, [*keys, *values])):
        raise UserError(f"{path}: is JSON, but no map of each id to its row; correct it")
    if len(set(map(str, keys))) < len(keys):
        twice = Counter(map(str, keys)).most_common(1)[0][0]
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
