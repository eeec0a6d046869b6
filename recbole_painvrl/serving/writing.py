"""Recommendations as Parquet, CSV or JSON lines, written while they are made."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from recbole_painvrl.atomic import atomic_file
from recbole_painvrl.errors import UserError
from recbole_painvrl.serving.recommending import Recommended

_COLUMNS = ("user_id", "item_id", "rank", "score")


def writer_of(path: Path) -> Callable[[BinaryIO, Iterable[Recommended]], None]:
    """The writer of a file, by its suffix.

    Raises:
        UserError: the suffix is none of ``.parquet``, ``.csv`` and ``.jsonl``.
    """
    writers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}
    if path.suffix not in writers:
        raise UserError(f"`--out`: found {path.name}, expected a name on {', '.join(writers)}")
    if path.is_dir():
        raise UserError(f"`--out`: {path} is a folder, expected the name of a file")
    return writers[path.suffix]


def write_recommendations(path: Path, blocks: Iterable[Recommended]) -> None:
    """Write all blocks into one file, which appears when it is whole.

    Raises:
        UserError: the suffix is unknown.
        WriteError: the disk is full or the place cannot be written.
    """
    writer = writer_of(path)
    with atomic_file(path) as stream:
        writer(stream, blocks)


def _parquet(stream: BinaryIO, blocks: Iterable[Recommended]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = (pa.string(), pa.string(), pa.int32(), pa.float32())
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    with parquet.ParquetWriter(stream, schema) as writer:
        for block in blocks:
            arrays = [
                pa.array(getattr(block, name), kind)
                for name, kind in zip(_COLUMNS, types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


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
