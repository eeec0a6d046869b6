"""Features in one NumPy file per item, in a folder or a zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from dataset_prep.progress import bar
from dataset_prep.read.features import FeatureTable
from dataset_prep.read.spool import Spool
from dataset_prep.read.text_tables import READ_ERRORS, reason
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED, npy_array

_BROKEN = (*READ_ERRORS, *DAMAGED)
_ENDINGS = ("", ".npy")


class _Folder:
    """Files of a folder by item id."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def open(self, token: str) -> Iterator[IO[bytes] | None]:
        """The item's file, or None."""
        # Ids come from a file: none may point outside the folder.
        plain = token == Path(token).name
        paths = [self._path / f"{token}{ending}" for ending in _ENDINGS if plain]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            yield None
            return
        with open(path, "rb") as stream:
            yield stream


class _Archive:
    """Members of a zip by item id, in whatever folder they are."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise UserError(f"{path}: cut or no zip ({reason(error)}); copy it again") from error
        self._members = {
            name.rpartition("/")[2].removesuffix(".npy"): name for name in self._zip.namelist()
        }

    @contextmanager
    def open(self, token: str) -> Iterator[IO[bytes] | None]:
        """The item's file, or None."""
        member = self._members.get(token)
        yield None if member is None else io.BytesIO(self._zip.read(member))


def read_small_arrays(
    name: str, path: Path, rated: Sequence[str], report: Report, spool: Path
) -> FeatureTable:
    """Features of the rated items from files of shape [d] or [1, d], named by item id.

    Raises:
        UserError: no such folder or zip, or no file of a rated item.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder or zip; check the path")
    source = _Folder(path) if path.is_dir() else _Archive(path)
    writer: Spool | None = None
    tokens: list[str] = []
    missing, broken, width, first = 0, 0, 0, ""
    with bar(len(rated), path.name, "file") as progress:
        for token in rated:
            progress.update(1)
            row, there = _read(source, token, width)
            if row is None:
                missing += not there
                broken += there
                first = first or (token if there else "")
                continue
            width = len(row)
            writer = writer or Spool(spool / f"{name}.f32", width)
            writer.add(row[None])
            tokens.append(token)
    if writer is None:
        raise UserError(
            f"{path}: has no readable file named by an item of the log, as {rated[0]} or "
            f"{rated[0]}.npy; check that the two belong together"
        )
    if broken:
        what = f"{broken} files are cut, pickled or no vector of {width} numbers, first {first}"
        report.found(path.name, what, broken, "drop-rows")
    if missing:
        report.note(f"{path.name}: {missing} items with interactions have no file")
    return FeatureTable(name, path.name, tokens, writer.matrix(path))


def _read(
    source: _Folder | _Archive, token: str, width: int
) -> tuple[npt.NDArray[Any] | None, bool]:
    """The vector, or None, and whether there is a file."""
    try:
        with source.open(token) as stream:
            if stream is None:
                return None, False
            array = npy_array(stream.read())
    except _BROKEN:
        return None, True
    row = array.reshape(-1)
    fits = array.dtype.kind in "fiu" and len(row) and array.shape in ((len(row),), (1, len(row)))
    return (row if fits and width in (0, len(row)) else None), True
