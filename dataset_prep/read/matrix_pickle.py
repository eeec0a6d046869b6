"""Pickled SciPy matrices, rebuilt by stand-ins that cannot run anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recbole_painvrl.errors import UserError

Array = npt.NDArray[Any]

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_KINDS = "iufb"
_LARGEST = 2**31 - 1


class _Type:
    """Stands in for ``numpy.dtype``; numbers only."""

    def __init__(self, name: object, *_: object) -> None:
        try:
            self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype("O")
        except TypeError as error:
            raise pickle.UnpicklingError(f"an array of type {name!r}") from error
        if self.dtype.kind not in _KINDS:
            raise pickle.UnpicklingError(f"an array of type {name!r}, not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for ``numpy.ndarray``; its content arrives as bytes."""

    def __init__(self) -> None:
        self.array: Array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        self.array = _as_array(content, kind, shape, "F" if fortran else "C")


class _Sparse:
    """Stands in for a matrix of SciPy; keeps its attributes."""

    layout = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a matrix without attributes")
        self.state = {str(key).lstrip("_"): value for key, value in state.items()}


class _Coo(_Sparse):
    layout = "coo"


class _Csr(_Sparse):
    layout = "csr"


class _Csc(_Sparse):
    layout = "csc"


def _as_array(content: object, kind: object, shape: object, order: object) -> Array:
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, bytes | bytearray) or not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array of Python objects")
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (-1,)
    flat = np.frombuffer(bytes(content), dtype=kind.dtype)
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(content: object, kind: object, shape: object, order: object) -> _Array:
    made = _Array()
    made.array = _as_array(content, kind, shape, order)
    return made


def _scalar(kind: object, content: object) -> Any:
    return _as_array(content, kind, (1,), "C")[0]


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")


def _new_object(kind: object, *_: object) -> object:
    if not (isinstance(kind, type) and issubclass(kind, _Sparse)):
        raise pickle.UnpicklingError("an object that is no matrix")
    return kind()


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _new_object,
    ("copy_reg", "_reconstructor"): _new_object,
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    **{(module, "_reconstruct"): _reconstruct for module in _ARRAY_MODULES},
    **{(module, "scalar"): _scalar for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _from_buffer for module in _BUFFER_MODULES},
    **{
        (f"scipy.sparse.{prefix}{layout}", f"{layout}_{kind}"): stand_in
        for layout, stand_in in (("coo", _Coo), ("csr", _Csr), ("csc", _Csc))
        for prefix in ("", "_")
        for kind in ("matrix", "array")
    },
}


class _MatrixUnpickler(pickle._Unpickler):
    """Gives a stand-in for each name that a matrix needs and refuses every other name.

    *Deviation* from ``pickle.Unpickler``: this is Python's own slower reader, because the one in C
    frees memory twice on some damaged files (``BYTEARRAY8`` cut short, CPython 3.11).
    """

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; nothing is ever imported."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no matrix needs")
        return _KNOWN[module, name]


def read_pickled_matrix(path: Path) -> sp.coo_matrix:
    """A pickled ``coo``, ``csr`` or ``csc`` matrix, or dense array, as ``coo`` [n_users, n_items].

    Nothing that the file names is imported or called: own classes stand in for those of NumPy
    and SciPy and only collect bytes.

    Raises:
        UserError: cut, not a matrix, or naming anything that a matrix does not need.
    """
    try:
        with open(path, "rb") as stream:
            found = _MatrixUnpickler(stream, encoding="latin1").load()
        return _matrix(found)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except Exception as error:
        # Damaged streams raise nearly anything, and none of it may reach the user as a traceback.
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise UserError(
            f"{path}: refused, no part of it was run ({text}); it must be a whole pickle of a "
            "SciPy coo, csr or csc matrix"
        ) from error


def _matrix(found: object) -> sp.coo_matrix:
    if isinstance(found, _Array) and found.array.ndim == 2:
        return sp.coo_matrix(_native(found.array))
    if not isinstance(found, _Sparse):
        raise pickle.UnpicklingError(f"it holds a {type(found).__name__.lstrip('_')}, no matrix")
    n_rows, n_columns = (int(size) for size in found.state["shape"])
    values = _flat(found.state["data"])
    if found.layout == "coo":
        pair = found.state.get("coords") or (found.state["row"], found.state["col"])
        rows, columns = (_numbers(part) for part in pair)
    else:
        n_lines = n_rows if found.layout == "csr" else n_columns
        lines = _expand(_numbers(found.state["indptr"]), n_lines, len(values))
        others = _numbers(found.state["indices"])[: len(lines)]
        rows, columns = (lines, others) if found.layout == "csr" else (others, lines)
        values = values[: len(lines)]
    if not len(rows) == len(columns) == len(values):
        raise pickle.UnpicklingError("rows, columns and values differ in number")
    for places, size in ((rows, n_rows), (columns, n_columns)):
        if not 0 < size <= _LARGEST or (
            len(places) and not 0 <= places.min() <= places.max() < size
        ):
            raise pickle.UnpicklingError(f"entries beyond the shape {n_rows} x {n_columns}")
    return sp.coo_matrix((_native(values), (rows, columns)), shape=(n_rows, n_columns))


def _native(values: Array) -> Array:
    """The same numbers in this machine's byte order; SciPy 1.17 makes no matrix of the other."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _expand(ends: Array, n_lines: int, n_values: int) -> Array:
    """Line number of each entry of a compressed matrix.

    *Deviation* from ``tocoo``: SciPy skips its checks where the last end is negative, and its
    compiled code then writes outside its memory; so nothing unchecked is handed to it.
    """
    sizes = np.diff(ends)
    whole = len(ends) == n_lines + 1 and ends[0] == 0 and ends[-1] <= n_values
    if not whole or (len(sizes) and sizes.min() < 0):
        raise pickle.UnpicklingError("its index pointers contradict its content")
    return np.repeat(np.arange(n_lines, dtype=np.int64), sizes)


def _flat(part: object) -> Array:
    if not isinstance(part, _Array) or part.array.ndim != 1:
        raise pickle.UnpicklingError("a matrix without its arrays")
    return part.array


def _numbers(part: object) -> Array:
    array = _flat(part)
    if array.dtype.kind not in "iu" or (array.dtype.kind == "u" and array.dtype.itemsize > 4):
        raise pickle.UnpicklingError(f"indices of type {array.dtype}")
    return array.astype(np.int64)
