"""JSON in its common forms (lines, list of objects, columns, map) as records."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_prep.read.files import bar, open_bytes, readable, text_sample
from dataset_prep.read.ids import is_item_name
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_NOT_A_LITERAL = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)
# Parsed values take several times the memory of their text.
_MAX_BYTES = 1 << 30
_HEAD = 50


def _no_repeated_key(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of pairs; ValueError if a key occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds {repeated[:40]!r} twice")
    return found


def whole_value(path: Path, encoding: str) -> Any:
    """The value of a file that is one JSON value."""
    with readable(path, "cut or not JSON"), open_bytes(path) as stream:
        content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UserError(f"{path}: is one JSON value of more than 1 GB; write JSON lines")
        return json.loads(content.decode(encoding), object_pairs_hook=_no_repeated_key)


def json_lines(
    path: Path, report: Report, encoding: str = "utf-8-sig", python: bool = False
) -> Iterator[dict[str, Any]]:
    """The object of every line; malformed lines are counted (``drop-rows``).

    With ``python``, lines may also be Python literals, as in Amazon's 2014 metadata. They are
    parsed as constants and never evaluated.
    """
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
            text = line.strip()
            if not text:
                continue
            if not lines and text.startswith(b"["):
                raise UserError(f"{path}: is one JSON array; write one object per line instead")
            lines += 1
            found = _object(text, encoding, python)
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


def _object(line: bytes, encoding: str, python: bool = False) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode(encoding))
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(line.decode(encoding, "replace")) if python else None
        except _NOT_A_LITERAL:
            return None
    return found if isinstance(found, dict) else None


def first_of(found: dict[str, Any], names: Sequence[str]) -> Any:
    """Value of the first of several names that is there, else None."""
    return next((found[name] for name in names if name in found), None)


def json_records(
    path: Path,
    report: Report,
    encoding: str,
    pair: tuple[str, str] = ("user", "item"),
    fits: Callable[[Any], bool] = lambda value: isinstance(value, list),
) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines, or of one JSON value.

    ``pair`` names the keys and values of a map such as ``{"user": [items]}``, whose values must
    fit; lists without keys get the second name.
    """
    lines = [line for line in text_sample(path, encoding).lines if line.strip()][:_HEAD]
    objects = sum(_object(line.strip().encode(), "utf-8-sig") is not None for line in lines)
    if len(lines) > 1 and 2 * objects >= len(lines):
        yield from json_lines(path, report, encoding)
        return
    with readable(path, "not a table in JSON", "write one object per line"):
        yield from _records(path, whole_value(path, encoding), pair, fits)


def _records(
    path: Path, value: Any, pair: tuple[str, str], fits: Callable[[Any], bool]
) -> Iterator[dict[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        yield from value
    elif isinstance(value, list) and value and all(map(fits, value)):
        yield from ({pair[1]: entry} for entry in value)
    elif isinstance(value, dict) and any(map(is_item_name, value)):
        # Columns; pandas refuses those of different lengths.
        single = not any(isinstance(entry, list | dict) for entry in value.values())
        columns = {name: [entry] for name, entry in value.items()} if single else value
        frame: Any = pd.DataFrame(columns, dtype=object)
        yield from frame.to_dict("records")
    elif isinstance(value, dict) and len(value) == 1 and _holds_objects(value):
        yield from _records(path, next(iter(value.values())), pair, fits)
    elif isinstance(value, dict) and value and all(map(fits, value.values())):
        yield from (dict(zip(pair, entry, strict=True)) for entry in value.items())
    else:
        raise UserError(
            f"{path}: is JSON of another form; give one object per line, as in "
            '{"user_id": 1, "item_id": 2}'
        )


def _holds_objects(value: dict[str, Any]) -> bool:
    (entry,) = value.values()
    return isinstance(entry, list) and bool(entry) and isinstance(entry[0], dict)
