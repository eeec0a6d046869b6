"""Files that other people or programs made: well-formed, or refused in one line; never run."""

from __future__ import annotations

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
_HUGE = 1e300

# What damaged files make the readers of Python, NumPy and zlib raise; a UserError is one of them.
DAMAGED = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, SyntaxError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


def reason(error: BaseException) -> str:
    """One short line for an error of any kind."""
    text = " ".join(str(error).split())
    return text[:160] if text else type(error).__name__


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """A JSON value.

    Args:
        text: the JSON.
        finite: refuse ``NaN`` and ``Infinity``, which JSON does not have.

    Raises:
        ValueError: not JSON, or nested too deeply.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"it holds {name}, which JSON does not have")

    try:
        return json.loads(text, parse_constant=refuse if finite else None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(-_HUGE < value < _HUGE)


def read_arrays(path: Path, advice: str) -> dict[str, Array]:
    """All arrays of an .npz file, by name; never Python objects.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: cut, damaged, or holding objects; ends with ``advice``.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise
    except (MemoryError, *DAMAGED) as error:
        raise UserError(f"{path}: not readable as arrays ({reason(error)}); {advice}") from error
