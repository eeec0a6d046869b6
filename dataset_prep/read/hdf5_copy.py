"""Copies the plain datasets of an HDF5 file into an .npz file, as a script in its own process.

libhdf5 may crash on a damaged file, which would end the calling command without a message. The
script imports nothing of the package, so that it starts quickly.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import h5py
import numpy as np

# The same limits as for .npz files: real arrays compress a few times.
_MAX_INFLATED, _MAX_RATIO = 1 << 26, 200


def copy(source: str, target: str) -> None:
    """Write each dataset under its name without groups.

    Raises:
        ValueError: a dataset lies in other files or states more than the file can hold, or two
            datasets have the same name.
    """
    with h5py.File(source, "r") as file:
        found: dict[str, Any] = {}

        def visit(key: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                # Other files might be any file of this machine.
                if item.external or item.is_virtual:
                    raise ValueError(f"dataset {key} lies in other files")
                if item.dtype.kind in "fiubS" or _is_text(item):
                    found[key] = item

        file.visititems(visit)
        held = sum(math.prod(data.shape) * data.dtype.itemsize for data in found.values())
        size = os.path.getsize(source)
        if held > max(_MAX_INFLATED, _MAX_RATIO * size):
            raise ValueError(f"{size} bytes claim to hold {held}")
        arrays = {key.rpartition("/")[2]: _array(data) for key, data in found.items()}
        if len(arrays) < len(found):
            raise ValueError(
                f"datasets of several groups have the same name ({', '.join(list(found)[:4])}); "
                "write one dataset per item, or a matrix and `ids`"
            )
    np.savez(target, **arrays)


def _is_text(data: Any) -> bool:
    return h5py.check_string_dtype(data.dtype) is not None


def _array(data: Any) -> Any:
    if _is_text(data) and data.dtype.kind == "O":
        return np.array(data.asstr()[()], dtype=str)
    return np.asarray(data[()])


if __name__ == "__main__":
    try:
        copy(*sys.argv[1:])
    except Exception as error:
        # Damaged files raise nearly anything; the caller prints one line.
        raise SystemExit(" ".join(str(error).split()) or type(error).__name__) from error
