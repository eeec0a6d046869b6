"""Feature vectors written as text: in one cell, or in the text format of word2vec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dataset_prep.read.files import open_bytes, readable
from dataset_prep.read.ids import FeatureFile, Found
from dataset_prep.read.rows import is_number
from recbole_painvrl.errors import UserError

_WRAPPED = re.compile(r"(?:np\.|torch\.)?(?:array|tensor)\((.*?)(?:,\s*dtype=[\w.]+)?\)", re.DOTALL)
_SIZES = re.compile(rb"\s*(\d{1,12})\s+(\d{1,6})\s*")


def parse_vector(text: str) -> list[float] | None:
    """Numbers of a cell such as ``0.1,0.2``, ``[0.1, 0.2]`` or ``0.1 0.2``; None if not a vector.

    A single number is a vector only in brackets, and a comma is never a decimal point.
    """
    bare = text.strip()
    if wrapped := _WRAPPED.fullmatch(bare):
        bare = wrapped[1].strip()
    bracketed = False
    while len(bare) > 1 and bare[0] + bare[-1] in ("[]", "()", "{}"):
        bare, bracketed = bare[1:-1].strip(), True
    separator = next((mark for mark in ",;|" if mark in bare), None)
    pieces = bare.removesuffix(separator or " ").split(separator)
    if len(pieces) < (1 if bracketed else 2):
        return None
    try:
        return [float(piece) for piece in pieces] if all(map(is_number, pieces)) else None
    except ValueError:
        return None


def word_sizes(path: Path) -> tuple[int, int] | None:
    """Rows and columns by the first line of word2vec's text format; None for other text."""
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
    """The matrix and the id of each row of a file whose first line states ``sizes``."""
    n_rows = 0

    def counted() -> Iterator[tuple[str, list[str] | None]]:
        nonlocal n_rows
        for row in _words(file.path, sizes[1], file.ids.encoding):
            n_rows += 1
            yield row

    matrix, tokens = file.spooled(counted())
    if n_rows < sizes[0]:
        what = f"its first line states {sizes[0]} rows, but it has {n_rows}"
        file.report.found(file.path.name, what, sizes[0] - n_rows, "drop-rows")
    return matrix, tokens


def _words(path: Path, width: int, encoding: str) -> Iterator[tuple[str, list[str] | None]]:
    """Id and numbers of each line; an id may contain blanks."""
    with readable(path, "cut or not text of this --encoding"), open_bytes(path) as stream:
        stream.readline()
        for line in stream:
            pieces = line.decode(encoding).rstrip().rsplit(None, width)
            if pieces:
                yield pieces[0], pieces[1:] if all(map(is_number, pieces[1:])) else None
