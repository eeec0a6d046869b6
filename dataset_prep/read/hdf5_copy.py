"""Copies the plain datasets of an HDF5 file into an .npz file, as a script in its own process.

libhdf5 may crash on a damaged file, which would end the whole command without a message. This
script needs nothing of the package, so that it starts quickly.
"""

from __future__ import annotations

import math
import os
import sys
import zipfile
from typing import Any

import h5py
import numpy as np

_CELLS_PER_BLOCK = 1 << 21
_PLAIN = "fiubS"
# As for .npz files: real arrays compress a few times.
_MOST_INFLATED, _MOST_RATIO = 1 << 26, 200


def copy(source: str, target: str, modality: str) -> None:
    """Write each dataset under its short name.

    Raises:
        ValueError: a dataset lies in other files or claims more than the file can hold, or the
            names say nothing clear.
    """
    with h5py.File(source, "r") as file, zipfile.ZipFile(target, "w") as archive:
        found: dict[str, Any] = {}

        def visit(key: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                # What lies in other files might be any file of this machine.
                if item.external or item.is_virtual:
                    raise ValueError(f"dataset {key} lies in other files")
                if item.dtype.kind in _PLAIN or _is_text(item):
                    found[key] = item

        file.visititems(visit)
        held = sum(math.prod(data.shape) * data.dtype.itemsize for data in found.values())
        size = os.path.getsize(source)
        if held > max(_MOST_INFLATED, _MOST_RATIO * size):
            raise ValueError(f"{size} bytes claim to hold {held}")
        for name, data in short_names(found, modality).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                _write(stream, data)


def short_names(datasets: dict[str, Any], modality: str) -> dict[str, Any]:
    """The datasets without the group that all of them share, or by their groups: ``i1/visual``.

    Raises:
        ValueError: several groups of several datasets, none called like the modality.
    """
    places = {key: key.rpartition("/") for key in datasets}
    if len({group for group, _, _ in places.values()}) <= 1:
        return {places[key][2]: data for key, data in datasets.items()}
    lasts = {last for _, _, last in places.values()}
    wanted = next(iter(lasts)) if len(lasts) == 1 else modality
    chosen = {key: data for key, data in datasets.items() if places[key][2] == wanted}
    names = {key: places[key][0].rpartition("/")[2] for key in chosen}
    if not chosen or len(set(names.values())) < len(names):
        shown = ", ".join(list(datasets)[:4])
        raise ValueError(
            f"{len(datasets)} datasets in several groups ({shown}); write one dataset per item, or "
            "a matrix and `ids`"
        )
    return {names[key]: data for key, data in chosen.items()}


def _is_text(data: Any) -> bool:
    return h5py.check_string_dtype(data.dtype) is not None


def _write(stream: Any, data: Any) -> None:
    if _is_text(data) and data.dtype.kind == "O":
        np.lib.format.write_array(stream, np.array(data.asstr()[()], dtype=str))
        return
    if not data.shape:
        np.lib.format.write_array(stream, np.asarray(data[()]))
        return
    header = {
        "descr": np.lib.format.dtype_to_descr(data.dtype),
        "fortran_order": False,
        "shape": tuple(data.shape),
    }
    np.lib.format.write_array_header_1_0(stream, header)
    rows = max(1, _CELLS_PER_BLOCK // max(1, int(np.prod(data.shape[1:]))))
    for start in range(0, data.shape[0], rows):
        stream.write(np.ascontiguousarray(data[start : start + rows]).tobytes())


if __name__ == "__main__":
    try:
        copy(*sys.argv[1:])
    except Exception as error:
        # Damaged files raise nearly anything; the caller says it in one line.
        raise SystemExit(" ".join(str(error).split()) or type(error).__name__) from error
