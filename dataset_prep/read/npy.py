"""Arrays in published files: plain numbers or text, of a plausible size."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.reading import DAMAGED, reason

Array = npt.NDArray[Any]

# Deflate makes zeros about 1,030 times smaller and real arrays a few times.
_MAX_INFLATED, _MAX_RATIO = 1 << 26, 200
_KINDS = "biufUS"


def check_inflation(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip bomb by what it says it holds; no more than that is ever read.

    Raises:
        ValueError: it holds far more than real arrays compress to.
    """
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > max(_MAX_INFLATED, _MAX_RATIO * size):
        raise ValueError(f"{size} bytes claim to hold {inflated}")


def plain(array: Array) -> Array:
    """The array itself.

    Raises:
        ValueError: it holds anything but numbers or text.
    """
    if array.dtype.kind not in _KINDS or array.dtype.subdtype is not None:
        raise ValueError(f"it holds {str(array.dtype)[:80]}, not numbers or text")
    return array


def npy_array(content: bytes) -> Array:
    """The array of numbers or text in the bytes of a whole .npy file.

    Raises:
        ValueError: cut, longer than its header says, or of Python objects.
    """
    stream = io.BytesIO(content)
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    except (MemoryError, *DAMAGED) as error:
        raise ValueError(reason(error)) from error
    if stream.read(1):
        raise ValueError("it is longer than its header says")
    return plain(array)


def npy_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of a .npy file, of which nothing else is read.

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
        shape, _, dtype = readers[version](stream)
    # Python's parser, which reads the header, calls endless nesting a lack of memory.
    except (MemoryError, *DAMAGED) as error:
        raise ValueError(reason(error)) from error
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, dtype
