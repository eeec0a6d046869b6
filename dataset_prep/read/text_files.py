"""Text and JSON files as bytes: plain or .gz, in any encoding, with any end of line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, cast

from recbole_painvrl.errors import UserError

READ_ERRORS = (OSError, ValueError, EOFError, zlib.error, csv.Error)
# Rows of 4,096 numbers with all their digits are 80 KB; of short lines the first 64 KiB will do.
SAMPLE, _ENOUGH, _LINES = 1 << 20, 1 << 16, 1000
ENCODING_ADVICE = "give `--encoding latin-1` or save it as UTF-8"
# Text becomes 3 to 30 times smaller; below 64 MB nothing is a bomb.
_MOST_UNPACKED, _MOST_RATIO = 1 << 26, 200
# A mark at the start of a file says more about it than an option.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TextSample:
    """The start of a text file.

    Attributes:
        lines: its first lines with their ends, without one that the sample cuts.
        encoding: of the file; a byte order mark decides it.
        end: of every line, a line feed or a carriage return.
    """

    lines: list[str]
    encoding: str
    end: str


def reason(error: BaseException) -> str:
    """First line of an error, or its kind."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def open_bytes(path: Path) -> IO[bytes]:
    """A file to read, unpacked where it ends in ``.gz``."""
    if path.suffix == ".gz":
        return cast(IO[bytes], io.BufferedReader(_Unpacked(path)))
    return open(path, "rb")


@contextmanager
def open_lines(path: Path, encoding: str, end: str, advice: str) -> Iterator[Iterator[str]]:
    """The lines of a text file; only ``end`` ends one.

    Python's universal line ends would also break a cell at a lone carriage return.

    Raises:
        UserError: unreadable, or bytes of another encoding, also while the lines are read.
    """
    try:
        with (
            open_bytes(path) as raw,
            io.TextIOWrapper(cast(Any, raw), encoding, newline=end) as stream,
        ):
            yield stream
    except UserError:
        raise
    except UnicodeError as error:
        raise UserError(f"{path}: holds bytes that are not {encoding.upper()}; {advice}") from error
    except READ_ERRORS as error:
        raise UserError(
            f"{path}: not readable ({reason(error)}); copy or export it again"
        ) from error


def encoding_of(start: bytes, given: str) -> str:
    """The encoding that the mark at the start of a file shows, else the given one."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), given)


def text_sample(path: Path, encoding: str, advice: str = ENCODING_ADVICE) -> TextSample:
    """The first lines of a file, at most 1 MiB.

    Raises:
        UserError: unreadable, empty, binary, or of another encoding.
    """
    try:
        with open_bytes(path) as stream:
            sample = stream.read(SAMPLE)
    except READ_ERRORS as error:
        raise UserError(f"{path}: not readable ({reason(error)}); check the path") from error
    encoding = encoding_of(sample, encoding)
    wide = any(size in encoding for size in ("16", "32"))
    if b"\0" in sample and not wide:
        raise UserError(f"{path}: is a binary file, not a text table; check its extension")
    whole = len(sample) < SAMPLE
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(sample, final=whole)
    except UnicodeError as error:
        place = f"byte {error.start} is" if isinstance(error, UnicodeDecodeError) else "it is"
        name = encoding.upper().removesuffix("-SIG")
        raise UserError(f"{path}: {place} not {name}; {advice}") from error
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    lines = [f"{line}{end}" for line in text.split(end)]
    last = lines.pop().removesuffix(end)
    if last and (whole or not lines):
        lines.append(last)
    lines = lines[: max(_LINES, sum(size < _ENOUGH for size in accumulate(map(len, lines))))]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: is empty; check that it was written or copied completely")
    return TextSample(lines, encoding, end)


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
