"""Vectors of items with interactions in binary records, JSON lines, or one file per item."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dataset_prep.interactions import clean_token
from dataset_prep.read.files import BROKEN, bar, open_bytes, readable
from dataset_prep.read.json_data import first_of, json_lines
from dataset_prep.read.matrices import FeatureTable, Spool, VectorSpool, check_inflation, npy_array
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_RECORDS_PER_BLOCK = 512


def read_id_records(
    name: str, path: Path, width: int, rated: Collection[str], report: Report, spool: Path
) -> FeatureTable:
    """Features from records of ten bytes of item id and ``width`` float32 values."""
    record = np.dtype([("id", "S10"), ("values", "<f4", (width,))])
    tokens: list[str] = []
    done, rest = 0, b""
    writer = Spool(spool / f"{name}.f32", width)
    with (
        readable(path),
        open_bytes(path) as stream,
        bar(path.stat().st_size, path.name) as progress,
    ):
        while block := stream.read(_RECORDS_PER_BLOCK * record.itemsize):
            progress.update(len(block))
            whole = len(block) - len(block) % record.itemsize
            rest = block[whole:]
            rows = np.frombuffer(block[:whole], record)
            names = [_record_id(path, done + n, raw) for n, raw in enumerate(rows["id"])]
            kept = [index for index, token in enumerate(names) if token in rated]
            writer.add(rows["values"][kept])
            tokens += [names[index] for index in kept]
            done += len(rows)
    if not tokens:
        raise UserError(
            f"{path}: none of its {done} records of {record.itemsize} bytes is of an item with "
            "interactions; check that the files belong together"
        )
    if rest:
        what = f"is cut in record {done}: {len(rest)} of {record.itemsize} bytes"
        report.found(path.name, what, 1, "drop-rows")
    if left := done - len(tokens):
        report.note(f"{path.name}: {left} records of items without interaction are left out")
    return FeatureTable(name, path.name, tokens, writer.matrix(path))


def _record_id(path: Path, number: int, raw: bytes) -> str:
    text = raw.decode("ascii", "replace").strip()
    if not (text.isascii() and text.isalnum()):
        raise UserError(
            f"{path}: record {number} starts with {raw[:10]!r}, which is not an item id; the "
            "number of columns differs (--visual-size) or the file is damaged"
        )
    return text


def read_json_vectors(
    name: str,
    path: Path,
    keys: Sequence[str],
    rated: Collection[str],
    report: Report,
    spool: Path,
) -> FeatureTable:
    """Features from lines ``{"item_id": 7, "<key>": [numbers]}`` of items in ``rated``.

    An empty vector means that the item has no such content; it gets no row.
    """
    empty = unrated = 0
    vectors = VectorSpool(spool / f"{name}.f32", path)
    for found in json_lines(path, report):
        token, vector = clean_token(found.get("item_id")), first_of(found, keys)
        if token not in rated:
            unrated += 1
        elif not vector:
            empty += 1
        else:
            plain = isinstance(vector, list) and all(isinstance(x, int | float) for x in vector)
            vectors.add(token, vector if plain else None)
    matrix = vectors.finish(
        report,
        "{count} lines have no vector of {width} numbers",
        f"no line has a vector `{keys[0]}` of an item with interactions; check that the files "
        "belong together",
    )
    if empty:
        report.note(f"{path.name}: {empty} items have an empty vector and get no row")
    if unrated:
        report.note(f"{path.name}: {unrated} lines of items without interaction are left out")
    return FeatureTable(name, path.name, vectors.tokens, matrix)


def read_small_arrays(
    name: str, path: Path, rated: Sequence[str], report: Report, spool: Path
) -> FeatureTable:
    """Features from files of shape [d] or [1, d] in a folder or zip, named by item id."""
    if not path.exists():
        raise UserError(f"{path}: no such folder or zip; check the path")
    members = _folder_members(path) if path.is_dir() else _zip_members(path)
    there = [token for token in rated if token in members]
    vectors = VectorSpool(spool / f"{name}.f32", path)
    with bar(len(there), path.name, "file") as progress:
        for token in there:
            progress.update(1)
            try:
                array = npy_array(members[token]())
            except BROKEN:
                array = np.empty(0)
            fits = array.dtype.kind in "fiu" and array.shape in ((array.size,), (1, array.size))
            vectors.add(token, array.reshape(-1) if fits else None)
    matrix = vectors.finish(
        report,
        "{count} files are cut, pickled or not a vector of {width} numbers, first {first}",
        f"has no readable file named by an item of the log, as {rated[0]} or {rated[0]}.npy; "
        "check that the two belong together",
    )
    if missing := len(rated) - len(there):
        report.note(f"{path.name}: {missing} items with interactions have no file")
    return FeatureTable(name, path.name, vectors.tokens, matrix)


def _folder_members(folder: Path) -> dict[str, Callable[[], bytes]]:
    """Readers of the files of a folder by item id, so that no id refers to a file outside it."""
    # Backwards, since a file without an ending takes precedence.
    paths = (path for path in sorted(folder.iterdir(), reverse=True) if path.is_file())
    return {path.name.removesuffix(".npy"): path.read_bytes for path in paths}


def _zip_members(path: Path) -> dict[str, Callable[[], bytes]]:
    """Readers of the members of a zip by item id, in any folder."""
    with readable(path, "cut or no zip"):
        archive = zipfile.ZipFile(path)
        check_inflation(archive, path.stat().st_size)
    return {
        name.rpartition("/")[2].removesuffix(".npy"): partial(archive.read, name)
        for name in archive.namelist()
    }
