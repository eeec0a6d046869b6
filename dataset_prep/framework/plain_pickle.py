"""Pickled arrays and containers read without running anything that they name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from recbole_painvrl.errors import UserError

# What rebuilds arrays, lists, dictionaries and sets; none of it runs code of the file.
_ALLOWED = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("__builtin__", "set"),
    ("collections", "OrderedDict"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (module, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
}


class PlainUnpickler(pickle.Unpickler):
    """Refuses every name that is not on a short list.

    *Deviation* from ``pickle.Unpickler``: numpy's new module names are taken for the old ones.
    """

    allowed: frozenset[tuple[str, str]] = frozenset(_ALLOWED)

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name.

        Raises:
            pickle.UnpicklingError: a name that is not allowed.
        """
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not plain data")
        return super().find_class(module.replace("numpy._core", "numpy.core"), name)


def load_object_array(path: Path) -> Any:
    """Content of a .npy file of Python lists, dictionaries and numbers.

    Raises:
        UserError: unreadable, or naming anything but plain data.
    """
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)  # type: ignore[no-untyped-call]
            if not dtype.hasobject:
                return np.load(path, allow_pickle=False)
            array = PlainUnpickler(stream, encoding="latin1").load()
            return array.reshape(shape) if isinstance(array, np.ndarray) else array
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as plain data ({text}); copy it again or convert it"
        ) from error
