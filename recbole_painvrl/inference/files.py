"""Files of ``recommend``: lists of ids and histories in, recommendations out."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from recbole_painvrl.atomic import atomic_file
from recbole_painvrl.errors import UserError
from recbole_painvrl.inference.recommending import Recommended
from recbole_painvrl.quoting import is_quoted, split_rows, text_lines
from recbole_painvrl.run.folder import PER_USER, is_run

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_COLUMNS = ("user_id", "item_id", "rank", "score")
FORMATS = (".parquet", ".csv", ".jsonl")
# Rows of a row group: a large catalogue has blocks of a few users, and a group for each would
# make the file slow to read and its footer grow in memory.
_GROUP_ROWS = 1 << 16


def read_ids(path: Path, column: str) -> list[str]:
    """Distinct ids of a file, in its order.

    Args:
        path: ``.csv`` or ``.tsv`` with a header that has ``column``; any other file has one id
            per line, with or without ``column`` as the first line.
        column: ``user_id`` or ``item_id``.

    Raises:
        UserError: the file cannot be read, lacks the column or holds no id.
    """
    if path.suffix in _SEPARATORS:
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
    if path.suffix not in _SEPARATORS:
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
        lines, separator = _lines(path), _SEPARATORS[path.suffix]
        rows = list(split_rows(lines, separator, is_quoted(lines, separator)))
    except csv.Error as error:
        raise UserError(f"{path}: not readable as a table ({error})") from error
    header = [name.partition(":")[0].strip() for name in rows[0]] if rows else []
    for name in columns:
        if name not in header:
            found = ", ".join(header) or "nothing"
            raise UserError(f"{path}: no column `{name}` in the header, found {found}")
    indices = [header.index(name) for name in columns]
    found_rows = []
    for number, row in enumerate(rows[1:], 2):
        cells = [row[index].strip() for index in indices if index < len(row)]
        if len(cells) < len(columns) or not all(cells):
            raise UserError(f"{path}: row {number} lacks {' or '.join(columns)}: {row!r:.80}")
        found_rows.append(cells)
    return found_rows


def check_out(path: Path, suffixes: Sequence[str], inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Args:
        path: the file.
        suffixes: those that have a format.
        inputs: files that are read and must not be overwritten.

    Raises:
        UserError: another suffix, a folder, a place that cannot be written, an input, or a file
            of a run.
    """
    if path.suffix not in suffixes:
        raise UserError(f"`--out`: found {path.name}, expected a name on {', '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"`--out`: {path} is a folder, expected the name of a file")
    if path.resolve() in {source.resolve() for source in inputs}:
        raise UserError(f"`--out`: {path} is an input, too; choose another name")
    place = path.resolve().parent
    beside_weights = place.name == "checkpoint"
    if (beside_weights or path.name == PER_USER) and is_run(
        place.parent if beside_weights else place
    ):
        raise UserError(f"`--out`: {path} is a file of the run; choose another name")
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        raise UserError(f"`--out`: {path}: {place} is a file, expected a folder; choose another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"`--out`: {path}: {place} cannot be written; choose another folder")


def write_recommendations(path: Path, blocks: Iterable[Recommended]) -> None:
    """Write all blocks into one file, one of ``FORMATS``, which appears when it is whole.

    Raises:
        WriteError: the disk is full or the place cannot be written.
    """
    writer = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}[path.suffix]
    with atomic_file(path) as stream:
        writer(stream, blocks)


def _parquet(stream: BinaryIO, blocks: Iterable[Recommended]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = (pa.string(), pa.string(), pa.int32(), pa.float32())
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    waiting: list[Any] = []
    n_rows = 0
    with parquet.ParquetWriter(stream, schema) as writer:
        for block in blocks:
            arrays = [
                pa.array(getattr(block, name), kind)
                for name, kind in zip(_COLUMNS, types, strict=True)
            ]
            waiting.append(pa.Table.from_arrays(arrays, schema=schema))
            n_rows += len(block.rank)
            if n_rows >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting, n_rows = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


def _csv(stream: BinaryIO, blocks: Iterable[Recommended]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for block in blocks:
        rows.writerows(_rows(block))
    text.flush()
    text.detach()


def _jsonl(stream: BinaryIO, blocks: Iterable[Recommended]) -> None:
    for block in blocks:
        for row in _rows(block):
            line = json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False)
            stream.write(line.encode() + b"\n")


def _rows(block: Recommended) -> Iterable[tuple[str, str, int, float]]:
    # Nine digits name every float32.
    scores = (float(f"{score:.9g}") for score in block.score.tolist())
    return zip(block.user_id, block.item_id, block.rank.tolist(), scores, strict=True)
