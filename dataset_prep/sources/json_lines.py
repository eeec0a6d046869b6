"""Vectors in JSON lines, plain or .gz, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from dataset_prep.read.features import FeatureTable
from dataset_prep.read.json_records import first_of as first_of
from dataset_prep.read.json_records import json_lines as json_lines
from dataset_prep.read.spool import Spool
from dataset_prep.report import Report
from dataset_prep.tokens import clean_token
from recbole_painvrl.errors import UserError

_ROWS_PER_BLOCK = 4096


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
