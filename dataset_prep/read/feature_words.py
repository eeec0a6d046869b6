"""Features in the text format of word2vec: a line of sizes, then an id and its numbers per line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from dataset_prep.read.files import open_bytes, readable
from dataset_prep.read.ids import FeatureFile, Found
from dataset_prep.read.rows import is_number
from recbole_painvrl.errors import UserError

_SIZES = re.compile(rb"\s*(\d{1,12})\s+(\d{1,6})\s*")


def word_sizes(path: Path) -> tuple[int, int] | None:
    """Rows and columns by the first line of word2vec's text format, or None for other text."""
    with readable(path), open_bytes(path) as stream:
        first = _SIZES.fullmatch(stream.readline(64))
        if first is None:
            return None
        second = stream.readline(1 << 22).rstrip(b"\r\n ")
    rows, width = int(first[1]), int(first[2])
    if width > 1 and b"\0" in second:
        raise UserError(f"{path}: is word2vec's binary format; save it as text or as .npy")
    pieces = second.decode("utf-8", "replace").rsplit(None, width)
    words = width > 1 and len(pieces) == width + 1 and all(map(is_number, pieces[1:]))
    return (rows, width) if words else None


def read_words(file: FeatureFile, sizes: tuple[int, int]) -> Found:
    """The matrix and the id of each row of a file with ``sizes`` in its first line."""
    count = itertools.count(1)
    words = _words(file.path, sizes[1], file.ids.encoding)
    matrix, tokens = file.spooled(row for row in words if next(count))
    n_rows = next(count) - 1
    if n_rows < sizes[0]:
        what = f"its first line says {sizes[0]} rows, but {n_rows} are there"
        file.report.found(file.path.name, what, sizes[0] - n_rows, "drop-rows")
    return matrix, tokens


def _words(path: Path, width: int, encoding: str) -> Iterator[tuple[str, list[str] | None]]:
    """Id and numbers of each line; an id may hold blanks."""
    with readable(path, "cut or not text of this --encoding"), open_bytes(path) as stream:
        stream.readline()
        for line in stream:
            pieces = line.decode(encoding).rstrip().rsplit(None, width)
            if pieces:
                yield pieces[0], pieces[1:] if all(map(is_number, pieces[1:])) else None
