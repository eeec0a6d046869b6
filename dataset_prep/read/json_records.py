"""JSON of any common form as records: lines, lists, columns, and maps of users to items."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dataset_prep.progress import bar
from dataset_prep.read.text_files import READ_ERRORS, open_bytes, reason, text_sample
from dataset_prep.read.text_tables import find_role
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_MARK = b"\xef\xbb\xbf"
_NO_LITERAL = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)
# Parsed values take several times the room of their text.
_MOST = 1 << 29
_HEAD = 50


def json_lines(path: Path, report: Report, python: bool = False) -> Iterator[dict[str, Any]]:
    """The object of every line; malformed lines are counted (``drop-rows``).

    Args:
        path: the file, ``.gz`` allowed.
        report: told of malformed and cut lines.
        python: also take lines that are Python literals, as in Amazon's 2014 metadata. They are
            parsed as constants and never evaluated.

    Raises:
        UserError: no such file, unreadable, cut inside its compression, without any line, or one
            JSON array.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    lines = bad = first = last = 0
    whole = True
    try:
        with open_bytes(path) as stream, bar(path.stat().st_size, path.name) as progress:
            for number, line in enumerate(stream, start=1):
                whole = line.endswith(b"\n")
                progress.update(len(line))
                text = line.removeprefix(_MARK).strip() if number == 1 else line.strip()
                if not text:
                    continue
                if not lines and text.startswith(b"["):
                    raise UserError(f"{path}: is one JSON array; write one object per line instead")
                lines += 1
                found = _parse(text, python)
                if found is None:
                    bad, first, last = bad + 1, first or number, number
                else:
                    yield found
            if not lines:
                raise UserError(f"{path}: is empty; check that it was copied completely")
            _tell(path, report, bad, first, cut=not whole and last == number)
    except UserError:
        raise
    except READ_ERRORS as error:
        raise UserError(f"{path}: cut or not readable ({reason(error)}); copy it again") from error


def json_records(path: Path, report: Report, encoding: str) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines, or of one JSON value.

    Raises:
        UserError: unreadable, cut, too large to be parsed as one value, or of another form.
    """
    lines = [line for line in text_sample(path, encoding).lines if line.strip()][:_HEAD]
    objects = sum(_parse(line.strip(), python=False) is not None for line in lines)
    if len(lines) > 1 and 2 * objects >= len(lines):
        yield from json_lines(path, report)
    else:
        yield from _records(path, _whole(path, encoding))


def first_of(found: dict[str, Any], names: Sequence[str]) -> Any:
    """Value of the first of several names that is there, else None."""
    return next((found[name] for name in names if name in found), None)


def _whole(path: Path, encoding: str) -> Any:
    try:
        with open_bytes(path) as stream:
            content = stream.read(_MOST + 1)
        if len(content) > _MOST:
            raise UserError(f"{path}: is one JSON value of more than 512 MB; write JSON lines")
        return json.loads(content.decode(encoding), object_pairs_hook=_no_twice)
    except UserError:
        raise
    except (RecursionError, *READ_ERRORS) as error:
        raise UserError(f"{path}: cut or no JSON ({reason(error)}); copy it again") from error


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is there twice")
    return found


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
    for name, entry in columns.items():
        if not isinstance(entry, list | dict) or len(entry) != len(next(iter(columns.values()))):
            raise UserError(f"{path}: its column {name!r} has another length; write it again")
        if isinstance(entry, dict) and list(entry) != list(next(iter(columns.values()))):
            raise UserError(f"{path}: its column {name!r} has other row labels; write it again")
    values = [list(e.values()) if isinstance(e, dict) else e for e in columns.values()]
    yield from (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))


def _tell(path: Path, report: Report, bad: int, first: int, cut: bool) -> None:
    if cut:
        report.found(path.name, "is cut in its last line", 1, "drop-rows")
    if bad > cut:
        what = f"{bad - cut} lines hold no JSON object, first line {first}"
        report.found(path.name, what, bad - cut, "drop-rows")


def _parse(text: bytes | str, python: bool) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if not python:
            return None
        try:
            literal = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            found = ast.literal_eval(literal)
        except _NO_LITERAL:
            return None
    return found if isinstance(found, dict) else None
