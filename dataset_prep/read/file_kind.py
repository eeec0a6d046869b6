"""What a file is by its content, since endings are often wrong or missing."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from dataset_prep.read.text_tables import READ_ERRORS, open_bytes, reason
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED

_MAGIC = {
    b"\x93NUMPY": "npy",
    b"PAR1": "parquet",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"\x1f\x8b": "gzip",
}
_PICKLES = (".pkl", ".pickle", ".pt", ".pth")
_START = 1 << 12
# `[PAD]` and the like are ids.
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]\s*(?:[\"\[{\]}\d.-]|NaN|null|true|false)")


def file_kind(path: Path) -> str:
    """``npy``, ``npz``, ``parquet``, ``hdf5``, ``torch``, ``pickle``, ``gzip``, ``json``, ``text``.

    Raises:
        UserError: no such file, or unreadable.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    try:
        with open_bytes(path) as stream:
            start = stream.read(_START)
    except READ_ERRORS as error:
        raise UserError(f"{path}: cut or not readable ({reason(error)}); copy it again") from error
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch" if path.suffix in (".pt", ".pth") else "pickle"
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending in _PICKLES and b"\0" in start:
        return "pickle"
    if ending in (".npy", ".npz", ".parquet"):
        # Damaged or something else: its reader says so.
        return ending[1:]
    return "json" if _JSON.match(start) else "text"


def _zip_kind(path: Path) -> str:
    """A zip holds arrays or, as PyTorch writes it, a pickle with its tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED:
        return "npz"
    return "torch" if any(name.endswith("data.pkl") for name in names) else "npz"
