"""Restricted reader for the pickles of published datasets.

Two kinds exist: SciPy matrices (DiffMM, MMSSL) and object arrays of lists (MMGCN). The names that a
pickle may contain are mapped to the classes below, which hold plain data; every other name is
refused. Nothing that a pickle names is imported or run.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from dataset_prep.read.matrices import npy_array
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import reason

Array = npt.NDArray[Any]

_LARGEST = 2**31 - 1


class _Type:
    """Replaces ``numpy.dtype``: a type of numbers, or of Python objects that are plain data."""

    def __init__(self, name: object, *_: object) -> None:
        try:
            self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype("V")
        except TypeError as error:
            raise pickle.UnpicklingError(f"an array of type {name!r}") from error
        if self.dtype.kind not in "iufbO":
            raise pickle.UnpicklingError(f"it holds an array of type {name!r}, not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">") and self.dtype.kind != "O":
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Replaces ``numpy.ndarray``: numbers from their bytes, or a list of plain objects."""

    def __init__(self, content: Array | list[Any] | None = None) -> None:
        self.content = np.empty(0) if content is None else content

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        if isinstance(content, list) and kind.dtype.kind == "O":
            if len(content) != int(np.prod(shape, dtype=np.int64)):
                raise pickle.UnpicklingError(f"it holds {len(content)} values, not {shape}")
            width = int(shape[1]) if len(shape) == 2 else 0
            rows = range(0, len(content), max(1, width))
            self.content = [content[r : r + width] for r in rows] if width else content
        else:
            self.content = _numbers(content, kind, shape, "F" if fortran else "C")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.content)


class _Sparse:
    """Replaces a SciPy matrix; keeps its attributes."""

    layout = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = {str(key).lstrip("_"): value for key, value in state.items()}


def _sparse(layout: str) -> type[_Sparse]:
    return type(layout, (_Sparse,), {"layout": layout})


def _numbers(content: object, kind: object, shape: object, order: object) -> Array:
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, _Type):
        raise pickle.UnpicklingError("it holds an array of Python objects or without content")
    if kind.dtype.kind == "O":
        raise pickle.UnpicklingError("it holds an array of Python objects")
    flat = np.frombuffer(bytes(raw), dtype=kind.dtype)
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (-1,)
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(content: object, kind: object, shape: object, order: object) -> _Array:
    return _Array(_numbers(content, kind, shape, order))


def _scalar(kind: object, content: object) -> Any:
    return _numbers(content, kind, (1,), "C")[0].item()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("it holds text in another encoding than latin1")
    return text.encode("latin1")


def _new_object(kind: object, *_: object) -> object:
    if not (isinstance(kind, type) and issubclass(kind, _Sparse)):
        raise pickle.UnpicklingError("an object that is no matrix")
    return kind()


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    **{(module, "_reconstructor"): _new_object for module in ("copyreg", "copy_reg")},
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (object, set, frozenset)
    },
    **{
        (f"numpy.{core}.{module}", name): replacement
        for core in ("core", "_core")
        for module, name, replacement in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (f"scipy.sparse.{prefix}{layout}", f"{layout}_{form}"): _sparse(layout)
        for layout in ("coo", "csr", "csc")
        for prefix in ("", "_")
        for form in ("matrix", "array")
    },
}


class _PlainUnpickler(pickle._Unpickler):
    """Returns the replacement of each known name and refuses every other name.

    *Deviation* from ``pickle.Unpickler``: this is the slower reader written in Python, since the C
    reader frees memory twice on some damaged files (``BYTEARRAY8`` cut short, CPython 3.11).
    """

    def find_class(self, module: str, name: str) -> Any:
        """The replacement of a name; nothing is imported."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not plain data")
        return _KNOWN[module, name]


def read_pickled_matrix(path: Path) -> sp.coo_matrix:
    """A pickled SciPy matrix or dense array, as a ``coo`` matrix [n_users, n_items]."""
    try:
        with open(path, "rb") as stream:
            return _matrix(_PlainUnpickler(stream, encoding="latin1").load())
    except Exception as error:
        # Damaged streams raise nearly any exception.
        raise UserError(
            f"{path}: refused, nothing in it was run ({reason(error)}); it must be a whole "
            "pickle of a SciPy coo, csr or csc matrix"
        ) from error


def load_object_array(path: Path) -> Any:
    """A .npy file: numbers as an array, Python lists as a list."""
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            if not read(stream)[2].hasobject:
                return npy_array(path.read_bytes())
            found = _PlainUnpickler(stream, encoding="latin1").load()
            return list(found) if isinstance(found, _Array) else found
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as plain data ({reason(error)}); copy it again or convert it"
        ) from error


def _matrix(found: object) -> sp.coo_matrix:
    dense = found.content if isinstance(found, _Array) else None
    if isinstance(dense, np.ndarray) and dense.ndim == 2:
        return sp.coo_matrix(_native(dense))
    if not isinstance(found, _Sparse):
        raise pickle.UnpicklingError(f"it holds a {type(found).__name__.lstrip('_')}, no matrix")
    n_rows, n_columns = (int(size) for size in found.state["shape"])
    values = _flat(found.state["data"])
    if found.layout == "coo":
        pair = found.state.get("coords") or (found.state["row"], found.state["col"])
        rows, columns = (_indices(array) for array in pair)
    else:
        n_lines = n_rows if found.layout == "csr" else n_columns
        lines = _expand(_indices(found.state["indptr"]), n_lines, len(values))
        others = _indices(found.state["indices"])[: len(lines)]
        rows, columns = (lines, others) if found.layout == "csr" else (others, lines)
        values = values[: len(lines)]
    if not len(rows) == len(columns) == len(values):
        raise pickle.UnpicklingError("rows, columns and values differ in number")
    for indices, size in ((rows, n_rows), (columns, n_columns)):
        inside = not len(indices) or 0 <= indices.min() <= indices.max() < size
        if not 0 < size <= _LARGEST or not inside:
            raise pickle.UnpicklingError(f"entries beyond the shape {n_rows} x {n_columns}")
    return sp.coo_matrix((_native(values), (rows, columns)), shape=(n_rows, n_columns))


def _native(values: Array) -> Array:
    """The values in native byte order; SciPy 1.17 accepts no other."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _expand(ends: Array, n_lines: int, n_values: int) -> Array:
    """Row or column of each entry of a compressed matrix, from its checked index pointers.

    *Deviation* from ``tocoo``: SciPy skips its checks if the last pointer is negative, and its
    compiled code then writes outside its memory.
    """
    sizes = np.diff(ends)
    whole = len(ends) == n_lines + 1 and ends[0] == 0 and ends[-1] <= n_values
    if not whole or (len(sizes) and sizes.min() < 0):
        raise pickle.UnpicklingError("its index pointers contradict its content")
    return np.repeat(np.arange(n_lines, dtype=np.int64), sizes)


def _flat(found: object) -> Array:
    content = found.content if isinstance(found, _Array) else None
    if not isinstance(content, np.ndarray) or content.ndim != 1:
        raise pickle.UnpicklingError("a matrix without its arrays")
    return content


def _indices(found: object) -> Array:
    array = _flat(found)
    if array.dtype.kind not in "iu" or (array.dtype.kind == "u" and array.dtype.itemsize > 4):
        raise pickle.UnpicklingError(f"indices of type {array.dtype}")
    return array.astype(np.int64)
