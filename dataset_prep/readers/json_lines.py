"""JSON lines, plain or .gz: one object per line, a bounded piece at a time."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.framework.progress import bar
from dataset_prep.framework.read_features import FeatureTable
from dataset_prep.framework.report import Report
from dataset_prep.framework.spool import Spool
from dataset_prep.framework.text_tables import READ_ERRORS, open_bytes, reason
from dataset_prep.framework.tokens import clean_token
from recbole_painvrl.errors import UserError

_ROWS_PER_BLOCK = 4096
_MARK = b"\xef\xbb\xbf"
_NO_LITERAL = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)


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


def _tell(path: Path, report: Report, bad: int, first: int, cut: bool) -> None:
    if cut:
        report.found(path.name, "is cut in its last line", 1, "drop-rows")
    if bad > cut:
        what = f"{bad - cut} lines hold no JSON object, first line {first}"
        report.found(path.name, what, bad - cut, "drop-rows")


def _parse(text: bytes, python: bool) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if not python:
            return None
        try:
            found = ast.literal_eval(text.decode("utf-8", "replace"))
        except _NO_LITERAL:
            return None
    return found if isinstance(found, dict) else None


def first_of(found: dict[str, Any], names: Sequence[str]) -> Any:
    """Value of the first of several names that is there, else None."""
    return next((found[name] for name in names if name in found), None)


def json_vectors(
    name: str,
    path: Path,
    keys: Sequence[str],
    rated: Collection[str],
    report: Report,
    spool: Path,
) -> FeatureTable:
    """Features from lines ``{"item_id": 7, "<key>": [numbers]}`` of items in ``rated``.

    Empty vectors are how the release says that an item has no such content; they give no row.

    Raises:
        UserError: as :func:`json_lines`, or no line has a vector under one of ``keys``.
    """
    writer: Spool | None = None
    tokens: list[str] = []
    block: list[list[float]] = []
    width = other = empty = unrated = 0
    try:
        for found in json_lines(path, report):
            token, vector = clean_token(found.get("item_id")), first_of(found, keys)
            if token not in rated:
                unrated += 1
            elif not vector:
                empty += 1
            elif not _is_vector(vector, width):
                other += 1
            else:
                width = width or len(vector)
                writer = writer or Spool(spool / f"{name}.f32", width)
                tokens.append(token)
                block.append(vector)
                if len(block) == _ROWS_PER_BLOCK:
                    writer.add(np.asarray(block, dtype=np.float64))
                    block.clear()
        if writer is None:
            raise UserError(
                f"{path}: no line has a vector `{keys[0]}` of an item with interactions; check "
                "that the files belong together"
            )
        if block:
            writer.add(np.asarray(block, dtype=np.float64))
    finally:
        if writer is not None:
            writer.close()
    _tell_left_out(path, report, (other, empty, unrated), width)
    return FeatureTable(name, path.name, tokens, writer.matrix(path))


def _tell_left_out(path: Path, report: Report, counts: tuple[int, int, int], width: int) -> None:
    other, empty, unrated = counts
    if other:
        what = f"{other} lines have no vector of {width} numbers"
        report.found(path.name, what, other, "drop-rows")
    if empty:
        report.note(f"{path.name}: {empty} items have an empty vector and get no row")
    if unrated:
        report.note(f"{path.name}: {unrated} lines of items without interaction are left out")


def _is_vector(vector: object, width: int) -> bool:
    return (
        isinstance(vector, list)
        and (not width or len(vector) == width)
        and all(isinstance(x, int | float) for x in vector)
    )
