"""Pickled lists and arrays of numbers, read without importing or running anything they name."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import npy_array

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class _Type:
    """Stands in for ``numpy.dtype``; numbers, or Python objects that are themselves plain."""

    def __init__(self, name: object, *_: object) -> None:
        self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype("V")
        if self.dtype.kind not in "iufbO":
            raise pickle.UnpicklingError(f"it holds an array of type {name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">") and self.dtype.kind != "O":
            self.dtype = self.dtype.newbyteorder(state[1])

    def numbers(self, content: object) -> list[Any]:
        """Numbers from their bytes."""
        raw = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(raw, bytes | bytearray) or self.dtype.kind == "O":
            raise pickle.UnpicklingError("it holds an array whose content is missing")
        return list(np.frombuffer(bytes(raw), self.dtype).tolist())


class _Array:
    """Stands in for ``numpy.ndarray`` of one dimension."""

    def __init__(self) -> None:
        self.content: list[Any] = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, _, content = state
        self.content = content if isinstance(content, list) else kind.numbers(content)
        size = int(np.prod(shape, dtype=np.int64))
        if len(self.content) != size:
            raise pickle.UnpicklingError(f"it holds {len(self.content)} values where {size} belong")
        if len(shape) == 2:
            width = int(shape[1])
            rows = range(0, size, max(1, width))
            self.content = [self.content[start : start + width] for start in rows]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.content)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(content: object, kind: _Type, *_: object) -> _Array:
    made = _Array()
    made.content = kind.numbers(content)
    return made


def _scalar(kind: _Type, content: object) -> Any:
    return kind.numbers(content)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("it holds text in another encoding than latin1")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "set"): set,
    **{(module, "_reconstruct"): _reconstruct for module in _MODULES},
    **{(module, "scalar"): _scalar for module in _MODULES},
    **{(module, "_frombuffer"): _from_buffer for module in _BUFFER_MODULES},
}


class _PlainUnpickler(pickle._Unpickler):
    """Gives a stand-in for each name that plain data need and refuses every other name.

    *Deviation* from ``pickle.Unpickler``: this is Python's own slower reader, because the one in C
    frees memory twice on some damaged files (``BYTEARRAY8`` cut short, CPython 3.11).
    """

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; nothing is ever imported."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not plain data")
        return _KNOWN[module, name]


def load_object_array(path: Path) -> Any:
    """A .npy file: an array of numbers as it is, one of Python lists as a list.

    Raises:
        UserError: unreadable, or naming anything but plain data.
    """
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read(stream)
            if not dtype.hasobject:
                return npy_array(path.read_bytes())
            found = _PlainUnpickler(stream, encoding="latin1").load()
            return found.content if isinstance(found, _Array) else found
    except Exception as error:
        # Damaged streams raise nearly anything, and none of it may reach the user as a traceback.
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise UserError(
            f"{path}: cannot be read as plain data ({text}); copy it again or convert it"
        ) from error
