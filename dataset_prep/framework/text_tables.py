"""Delimited text as people have it: any separator, BOM, CRLF, quotes, with or without a header."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
import zlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from dataset_prep.framework.progress import bar
from dataset_prep.framework.report import Report
from recbole_painvrl.errors import UserError

ROWS_PER_CHUNK = 1_000_000
READ_ERRORS = (OSError, ValueError, EOFError, zlib.error, csv.Error)
_SAMPLE = 1 << 16
# Text becomes 3 to 30 times smaller; below 64 MB nothing is a bomb.
_MOST_UNPACKED, _MOST_RATIO = 1 << 26, 200
_TAIL = 1 << 12
_FEW = 16
_SEPARATORS = ("::", "\t", ",", ";", "|", " ")

_NAMES = {
    "user": "user userid uid reviewerid userno customerid memberid u",
    "item": "item itemid iid movieid asin parentasin photoid videoid pid productid businessid "
    "bookid songid trackid itemno newsid i",
    "rating": "rating ratings score stars overall label click",
    "time": "timestamp time ts unixreviewtime date datetime unixtime",
    "part": "xlabel split part fold",
}
ALIASES: Mapping[str, frozenset[str]] = {
    role: frozenset(names.split()) for role, names in _NAMES.items()
}


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out; ``names`` are its columns, made up as 0, 1, ... if need be."""

    path: Path
    separator: str
    names: tuple[str, ...]
    has_header: bool
    encoding: str
    sample: tuple[tuple[str, ...], ...]


def simple(name: str) -> str:
    """Column name without case, type suffix, spaces and punctuation."""
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def find_role(names: Sequence[str], role: str) -> str | None:
    """The column that plays a role (user, item, rating, time, part) by its name."""
    return next((name for name in names if simple(name) in ALIASES[role]), None)


def is_number(text: str) -> bool:
    """Whether the text is a number; empty counts, since a value may be missing."""
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def sniff(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8-sig",
    expected: Collection[str] = (),
) -> Layout:
    """Layout of a text file from its first 64 KiB.

    Args:
        path: text file, ``.gz`` allowed.
        columns: names for a file without a header.
        encoding: of the file; a UTF-8 mark at its start is skipped.
        expected: names that show the first line to be a header.

    Raises:
        UserError: unreadable, empty, binary, or not a table.
    """
    lines = _first_lines(path, encoding)
    separator = _separator(path, lines)
    rows = tuple(tuple(row) for row in _split(lines, separator) if row)
    has_header = bool(set(expected) & set(rows[0])) or _looks_like_header(rows, columns)
    width = max(len(row) for row in rows[:1] or rows)
    names = rows[0] if has_header else tuple(columns or map(str, range(width)))
    if len(set(names)) < len(names):
        raise UserError(f"{path}: two columns are called {_twice(names)!r}; rename one")
    if not has_header and columns and len(columns) != width:
        raise UserError(
            f"{path}: has {width} columns where --columns names {len(columns)}; name each one"
        )
    body = rows[1:] if has_header else rows
    return Layout(path, separator, names, has_header, encoding, body)


def chunks(
    layout: Layout,
    columns: Sequence[str],
    report: Report,
    numeric: Sequence[str] = (),
    rows: int = ROWS_PER_CHUNK,
) -> Iterator[pd.DataFrame]:
    """The wanted columns, a bounded number of rows at a time, as text or (``numeric``) as numbers.

    Raises:
        UserError: unreadable text, or text where a number is due.
    """
    path = layout.path
    cut = _check_tail(layout, report)
    too_long = 0
    try:
        with (
            open(path, "rb") as stream,
            bar(path.stat().st_size, path.name) as progress,
            closing(_reader(layout, columns, numeric, rows, stream)) as frames,
        ):
            waiting: pd.DataFrame | None = None
            for frame, skipped in _with_bad_lines(frames):
                progress.update(stream.tell() - progress.n)
                too_long += skipped
                if waiting is not None:
                    yield waiting
                waiting = frame
            if waiting is not None:
                # One frame waits, so that the last line can be left out where it is cut.
                yield waiting.iloc[:-1] if cut else waiting
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: holds bytes that are not {layout.encoding}; give `--encoding latin-1` or "
            "save it as UTF-8"
        ) from error
    except READ_ERRORS as error:
        raise UserError(
            f"{path}: not readable ({reason(error)}); copy or export it again"
        ) from error
    if too_long:
        report.found(
            str(path.name),
            f"{too_long} lines have more fields than the first",
            too_long,
            "drop-rows",
        )
    if cut:
        report.found(path.name, "is cut in its last line", 1, "drop-rows")


def reason(error: BaseException) -> str:
    """First line of an error, or its kind."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def open_bytes(path: Path) -> IO[bytes]:
    """A file to read, unpacked where it ends in ``.gz``."""
    if path.suffix == ".gz":
        return cast(IO[bytes], io.BufferedReader(_Unpacked(path)))
    return open(path, "rb")


class _Unpacked(io.RawIOBase):
    """A .gz file unpacked as far as text can be packed: a bomb ends with an error."""

    def __init__(self, path: Path) -> None:
        self._stream = gzip.open(path, "rb")  # noqa: SIM115
        self._left = max(_MOST_UNPACKED, _MOST_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; 0 at the end."""
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise OSError("it unpacks to hundreds of times its size, as no text does")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file, too."""
        self._stream.close()
        super().close()


def _first_lines(path: Path, encoding: str) -> list[str]:
    try:
        with open_bytes(path) as stream:
            sample = stream.read(_SAMPLE)
    except READ_ERRORS as error:
        raise UserError(f"{path}: not readable ({reason(error)}); check the path") from error
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")) and "16" not in encoding:
        raise UserError(f"{path}: is UTF-16 text; save it as UTF-8")
    if b"\0" in sample and "16" not in encoding:
        raise UserError(f"{path}: is a binary file, not a text table; check its extension")
    try:
        text = io.TextIOWrapper(io.BytesIO(sample), encoding, errors="strict", newline=None).read()
    except UnicodeDecodeError as error:
        # A character may be cut where the sample ends.
        if len(sample) < _SAMPLE or error.start < len(sample) - 4:
            raise UserError(
                f"{path}: byte {error.start} is not {encoding}; give `--encoding latin-1` or save "
                "it as UTF-8"
            ) from error
        text = sample[: error.start].decode(encoding)
    lines = text.splitlines()
    if len(sample) == _SAMPLE and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise UserError(f"{path}: is empty; check that it was written or copied completely")
    return lines


def _split(lines: Sequence[str], separator: str) -> list[list[str]]:
    if separator == "::":
        return [line.split("::") for line in lines]
    return list(csv.reader(lines, delimiter=separator, skipinitialspace=False))


def _separator(path: Path, lines: Sequence[str]) -> str:
    """The separator that gives most lines the same number (> 1) of fields as the first."""
    best, score = "", 0.0
    head = lines[:50]
    for candidate in _SEPARATORS:
        try:
            widths = [len(row) for row in _split(head, candidate)]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            share = sum(width == widths[0] for width in widths) / len(widths)
            if share > score + 1e-9:
                best, score = candidate, share
    if not best:
        return ","
    return best


def _looks_like_header(rows: Sequence[Sequence[str]], columns: Sequence[str] | None) -> bool:
    """A header names a role or a given column, or is text above numbers."""
    first = [cell.strip() for cell in rows[0]]
    if columns:
        return {simple(c) for c in first} >= {simple(c) for c in columns}
    if any(is_number(cell) and cell for cell in first):
        return False
    known = frozenset().union(*ALIASES.values())
    if any(simple(cell) in known for cell in first):
        return True
    below = rows[1] if len(rows) > 1 else ()
    return any(is_number(cell) for cell in below)


def _twice(names: Sequence[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])


def _check_tail(layout: Layout, report: Report) -> bool:
    """Whether the last line stops short; a line without its end is worth a note."""
    if layout.path.suffix == ".gz":
        return False
    size = layout.path.stat().st_size
    with open(layout.path, "rb") as stream:
        stream.seek(max(0, size - _TAIL))
        tail = stream.read()
    if tail.endswith((b"\n", b"\r")):
        return False
    last = tail.replace(b"\r", b"\n").rsplit(b"\n", 1)[-1].decode("utf-8", "replace")
    fields = len(_split([last], layout.separator)[0]) if last else 0
    report.note(f"{layout.path.name}: has no end of line at its end; make sure that it is not cut")
    return fields < len(layout.names)


def _reader(
    layout: Layout, columns: Sequence[str], numeric: Sequence[str], rows: int, stream: IO[bytes]
) -> Generator[pd.DataFrame, None, None]:
    places = [layout.names.index(column) for column in columns]
    double = layout.separator == "::"
    # pandas' fast parser knows separators of one character: `::` leaves an empty field between.
    step = 2 if double else 1
    width = step * (len(layout.names) - 1) + 1
    taken = [step * place for place in places]
    types = dict.fromkeys(range(width), str) | {
        number: float for number, column in zip(taken, columns, strict=True) if column in numeric
    }
    # Told which columns to use, pandas no longer sees that a line is too long.
    few = len(layout.names) - len(columns) <= _FEW
    reader = pd.read_csv(
        stream,
        sep=":" if double else layout.separator,
        header=None,
        names=list(range(width)),
        index_col=False,
        skiprows=1 if layout.has_header else 0,
        usecols=None if few else taken,
        dtype=types,
        na_filter=bool(numeric),
        keep_default_na=bool(numeric),
        chunksize=rows,
        encoding=layout.encoding,
        compression="gzip" if layout.path.suffix == ".gz" else None,
        on_bad_lines="warn",
        quoting=csv.QUOTE_NONE if double else csv.QUOTE_MINIMAL,
    )
    with reader:
        for frame in reader:
            named = frame[taken]
            named.columns = pd.Index(list(columns))
            yield named


def _with_bad_lines(frames: Iterator[pd.DataFrame]) -> Iterator[tuple[pd.DataFrame, int]]:
    """Each frame with the number of lines that pandas skipped for it."""
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = next(frames, None)
        skipped = sum(str(w.message).count("Skipping line") for w in caught)
        if frame is None:
            return
        if any("Length of header" in str(w.message) for w in caught):
            raise ValueError("the first line has fewer fields than the others")
        yield frame, skipped
