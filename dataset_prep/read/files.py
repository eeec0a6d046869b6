"""Opens files as bytes or text: kind by content, ``.gz``, encodings, line ends."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, cast

from tqdm import tqdm

from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED, reason

# Python's parser, which reads .npy headers, raises MemoryError for deep nesting.
BROKEN = (MemoryError, *DAMAGED)
_ENCODING_ADVICE = "give `--encoding latin-1` or save it as UTF-8"
# At most 1 MiB, since a row of 4,096 numbers has 80 KB; of short lines the first 64 KiB suffice.
_SAMPLE, _ENOUGH, _LINES = 1 << 20, 1 << 16, 1000
# Text compresses 3 to 30 times; files that unpack to less than 64 MB are always read.
_MOST_UNPACKED, _MOST_RATIO = 1 << 26, 200
# A byte order mark takes precedence over the option.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = {
    b"\x93NUMPY": "npy",
    b"PAR1": "parquet",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"\x1f\x8b": "gzip",
}
_PICKLES = (".pkl", ".pickle", ".pt", ".pth")
_PROTOCOLS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# `[PAD]` is an id, not JSON.
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]\s*(?:[\"\[{\]}\d.-]|NaN|null|true|false)")


@contextmanager
def readable(
    path: Path | str, what: str = "cut or not readable", then: str = "copy it again"
) -> Iterator[None]:
    """Turn errors that damaged files raise into a one-line :class:`UserError`."""
    try:
        yield
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"{path}: {what} ({reason(error)}); {then}") from error


def check_there(path: Path, advice: str = "check the path") -> None:
    """Raise :class:`UserError` if there is no such file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; {advice}")


def bar(total: int | None, title: str, unit: str = "B") -> tqdm[Any]:
    """A progress bar on standard error, shown after one second and only on a terminal."""
    return tqdm(
        total=total,
        desc=title,
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=1.0,
        disable=None,
    )


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if its name ends in ``.gz``."""
    check_there(path)
    if path.suffix == ".gz":
        return cast(IO[bytes], io.BufferedReader(_Unpacked(path)))
    return open(path, "rb")


class _Unpacked(io.RawIOBase):
    """A .gz file that raises an error if it unpacks to far more than text does."""

    def __init__(self, path: Path) -> None:
        self._stream = gzip.open(path, "rb")  # noqa: SIM115
        self._left = max(_MOST_UNPACKED, _MOST_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise OSError("it unpacks to hundreds of times its size, as no text does")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def file_kind(path: Path) -> str:
    """``npy``, ``npz``, ``parquet``, ``hdf5``, ``torch``, ``pickle``, ``gzip``, ``json``, ``text``.

    The content decides, since file name extensions are often wrong or missing.
    """
    with readable(path), open_bytes(path) as stream:
        start = stream.read(1 << 12)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except DAMAGED:
            return "npz"
        # PyTorch writes a zip with a pickle and its tensors.
        return "torch" if any(name.endswith("data.pkl") for name in names) else "npz"
    if start.startswith(_PROTOCOLS):
        return "torch" if path.suffix in (".pt", ".pth") else "pickle"
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending in _PICKLES and b"\0" in start:
        return "pickle"
    if ending in (".npy", ".npz", ".parquet"):
        # Damaged or of another kind: its reader raises the error.
        return ending[1:]
    return "json" if _JSON.match(start) else "text"


@dataclass(frozen=True)
class TextSample:
    """The first complete lines of a text file, its encoding and its line ``end``."""

    lines: list[str]
    encoding: str
    end: str


def text_sample(path: Path, encoding: str) -> TextSample:
    """The first lines of a file, at most 1 MiB."""
    with readable(path, "not readable", "check the path"), open_bytes(path) as stream:
        sample = stream.read(_SAMPLE)
    encoding = next((name for mark, name in _MARKS if sample.startswith(mark)), encoding)
    if b"\0" in sample and not any(size in encoding for size in ("16", "32")):
        raise UserError(f"{path}: is a binary file, not a text table; check its extension")
    whole = len(sample) < _SAMPLE
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample, final=whole)
    except UnicodeError as error:
        what = f"byte {error.start} is" if isinstance(error, UnicodeDecodeError) else "it is"
        name = encoding.upper().removesuffix("-SIG")
        raise UserError(f"{path}: {what} not {name}; {_ENCODING_ADVICE}") from error
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    lines = [f"{line}{end}" for line in text.split(end)]
    last = lines.pop().removesuffix(end)
    if last and (whole or not lines):
        lines.append(last)
    lines = lines[: max(_LINES, sum(size < _ENOUGH for size in accumulate(map(len, lines))))]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: is empty; check that it was written or copied completely")
    return TextSample(lines, encoding, end)


@contextmanager
def open_lines(path: Path, encoding: str, end: str) -> Iterator[Iterator[str]]:
    """The lines of a text file, separated by ``end`` only.

    Python's universal newlines would also split a cell at a single carriage return.
    """
    with readable(path, "not readable", "copy or export it again"), open_bytes(path) as raw:
        try:
            with io.TextIOWrapper(cast(Any, raw), encoding, newline=end) as stream:
                yield stream
        except UnicodeError as error:
            raise UserError(
                f"{path}: holds bytes that are not {encoding.upper()}; {_ENCODING_ADVICE}"
            ) from error
