"""Arrays in NumPy files: numbers or text only, of a plausible size."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.reading import DAMAGED, reason

Array = npt.NDArray[Any]

# Deflate compresses zeros about 1,030 times and real arrays a few times.
_MAX_INFLATED, _MAX_RATIO = 1 << 26, 200
_KINDS = "biufUS"


def check_inflation(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip bomb by the sizes that it states; no more than these is read.

    Raises:
        ValueError: it states far more than real arrays compress to.
    """
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > max(_MAX_INFLATED, _MAX_RATIO * size):
        raise ValueError(f"{size} bytes claim to hold {inflated}")


def plain(array: Array) -> Array:
    """The array, unchanged.

    Raises:
        ValueError: it holds anything but numbers or text.
    """
    if array.dtype.kind not in _KINDS or array.dtype.subdtype is not None:
        raise ValueError(f"it holds {str(array.dtype)[:80]}, not numbers or text")
    return array


def npy_array(content: bytes) -> Array:
    """The array of numbers or text in the bytes of a whole .npy file.

    Raises:
        ValueError: it is cut, longer than its header says, or holds Python objects.
    """
    stream = io.BytesIO(content)
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    except (MemoryError, *DAMAGED) as error:
        raise ValueError(reason(error)) from error
    if stream.read(1):
        raise ValueError("it is longer than its header says")
    return plain(array)
