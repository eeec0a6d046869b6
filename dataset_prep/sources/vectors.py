"""Vectors of items with interactions in binary records, JSON lines, or one file per item."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from dataset_prep.interactions import clean_token
from dataset_prep.read.files import BROKEN, bar, check_there, open_bytes, readable
from dataset_prep.read.json_data import first_of, json_lines
from dataset_prep.read.matrices import FeatureTable, Spool, VectorSpool
from dataset_prep.read.npy import check_inflation, npy_array
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_RECORDS_PER_BLOCK = 512


def read_id_records(
    name: str, path: Path, width: int, rated: Collection[str], report: Report, spool: Path
) -> FeatureTable:
    """Features from records of ten bytes of item id and ``width`` float32 values."""
    check_there(path)
    record = np.dtype([("id", "S10"), ("values", "<f4", (width,))])
    tokens: list[str] = []
    done, rest = 0, b""
    with (
        readable(path),
        open_bytes(path) as stream,
        bar(path.stat().st_size, path.name) as progress,
        Spool(spool / f"{name}.f32", width) as writer,
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
    with VectorSpool(spool / f"{name}.f32", path) as vectors:
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
    read = _folder_reader(path) if path.is_dir() else _zip_reader(path)
    missing = 0
    progress = bar(len(rated), path.name, "file")
    with progress, VectorSpool(spool / f"{name}.f32", path) as vectors:
        for token in rated:
            progress.update(1)
            try:
                content = read(token)
                array = np.empty(0) if content is None else npy_array(content)
            except BROKEN:
                content, array = b"", np.empty(0)
            if content is None:
                missing += 1
                continue
            fits = array.dtype.kind in "fiu" and array.shape in ((array.size,), (1, array.size))
            vectors.add(token, array.reshape(-1) if fits else None)
        matrix = vectors.finish(
            report,
            "{count} files are cut, pickled or not a vector of {width} numbers, first {first}",
            f"has no readable file named by an item of the log, as {rated[0]} or {rated[0]}.npy; "
            "check that the two belong together",
        )
    if missing:
        report.note(f"{path.name}: {missing} items with interactions have no file")
    return FeatureTable(name, path.name, vectors.tokens, matrix)


def _folder_reader(folder: Path) -> Callable[[str], bytes | None]:
    def read(token: str) -> bytes | None:
        # Ids come from a file: they must not refer to files outside the folder.
        paths = [folder / token, folder / f"{token}.npy"] if token == Path(token).name else []
        return next((path.read_bytes() for path in paths if path.is_file()), None)

    return read


def _zip_reader(path: Path) -> Callable[[str], bytes | None]:
    """Members of a zip by item id, in any folder."""
    with readable(path, "cut or no zip"):
        archive = zipfile.ZipFile(path)
        check_inflation(archive, path.stat().st_size)
    names = archive.namelist()
    members = {name.rpartition("/")[2].removesuffix(".npy"): name for name in names}
    return lambda token: archive.read(members[token]) if token in members else None
