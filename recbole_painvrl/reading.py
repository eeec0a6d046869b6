"""Files from strangers: read whole and well-formed, or refused, never run and never boundless."""

from __future__ import annotations

import io
import json
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.errors import UserError

Array = npt.NDArray[Any]

# What damaged files make the readers of Python, NumPy and zlib raise; a UserError is one of them.
DAMAGED = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, SyntaxError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
# A file of plain text that we read as a whole; manifests and results have some kilobytes.
_MOST_TEXT = 1 << 28
# Deflate makes zeros about 1,030 times smaller and real arrays a few times.
_MOST_INFLATED, _MOST_RATIO = 1 << 26, 200
_NPY_KINDS = "biufUS"


def reason(error: BaseException) -> str:
    """One short line for an error of any kind."""
    text = " ".join(str(error).split())
    return text[:160] if text else type(error).__name__


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """A JSON value; nesting without end is an error like any other.

    Args:
        text: the JSON.
        finite: refuse ``NaN`` and ``Infinity``, which JSON does not have.

    Raises:
        ValueError: not JSON.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"it holds {name}, which JSON does not have")

    try:
        return json.loads(text, parse_constant=refuse if finite else None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json_object(path: Path, advice: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: not a JSON object; the message ends with ``advice``.
    """
    try:
        if path.stat().st_size > _MOST_TEXT:
            raise ValueError(f"it has more than {_MOST_TEXT >> 20} MB")
        value = parse_json(path.read_text(encoding="utf-8"), finite=False)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({reason(error)}); {advice}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a {type(value).__name__} instead of an object; {advice}")
    return value


def read_npy_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, type and Fortran order of a .npy file, of which nothing else is read.

    Raises:
        ValueError: no header of a .npy file.
    """
    try:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"unknown .npy version {version}")
        shape, fortran, dtype = readers[version](stream)
    except OSError:
        raise
    # Python's parser, which reads the header, calls nesting without end a lack of memory.
    except (MemoryError, *DAMAGED) as error:
        raise ValueError(reason(error)) from error
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, dtype, fortran


def read_arrays(path: Path, advice: str) -> dict[str, Array]:
    """All arrays of a compressed .npz file, by name.

    Every member must hold as many bytes as its header promises, and the whole must not be
    larger than real arrays compress to: neither a false header nor a zip bomb takes memory.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: cut, damaged, or holding anything but plain arrays; ends with ``advice``.
    """
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            check_inflation(archive, path.stat().st_size)
            found: dict[str, Array] = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in found:
                    raise ValueError(f"the member {member.filename[:80]!r} is no array of its own")
                found[name] = _member(archive, member)
            return found
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise UserError(f"{path}: not readable as arrays ({reason(error)}); {advice}") from error


def check_inflation(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip bomb by what it says it holds; no more than that is ever read.

    Raises:
        ValueError: it holds far more than real arrays compress to.
    """
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > max(_MOST_INFLATED, _MOST_RATIO * size):
        raise ValueError(f"{size} bytes claim to hold {inflated}")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    # Reading to the end also compares the checksum that the zip keeps of every member.
    content = archive.read(member)
    try:
        return npy_array(content)
    except ValueError as error:
        raise ValueError(f"{member.filename[:80]}: {error}") from error


def npy_array(content: bytes) -> Array:
    """The array of numbers or text in the bytes of a whole .npy file.

    Raises:
        ValueError: cut, longer than its header says, or of Python objects.
    """
    stream = io.BytesIO(content)
    shape, dtype, fortran = read_npy_header(stream)
    if dtype.hasobject:
        raise ValueError("Python objects, which only a pickle can hold, are never read")
    if dtype.kind not in _NPY_KINDS or dtype.subdtype is not None:
        raise ValueError(f"it holds {str(dtype)[:80]}, not numbers or text")
    count = int(np.prod([1, *shape], dtype=object))
    if len(content) - stream.tell() != count * dtype.itemsize:
        raise ValueError("it is cut, or its header is false")
    if dtype.itemsize == 0:
        raise ValueError("its values have no size")
    flat = np.frombuffer(content, dtype, count, stream.tell()).copy()
    return flat.reshape(shape, order="F" if fortran else "C")


def inside(folder: Path, name: object) -> Path | None:
    """The path of a file that a manifest names, or None where it would leave the folder.

    Symbolic links are followed: a link that leads out is outside.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        return None
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    try:
        path = folder / name
        return path if path.resolve().is_relative_to(folder.resolve()) else None
    except (OSError, RuntimeError, ValueError):
        return None
