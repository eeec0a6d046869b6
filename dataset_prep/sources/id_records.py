"""Binary features: an id of fixed length, then float32 values, again and again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from dataset_prep.progress import bar
from dataset_prep.read.features import FeatureTable
from dataset_prep.read.spool import Spool
from dataset_prep.read.text_tables import READ_ERRORS, open_bytes, reason
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_RECORDS_PER_BLOCK = 512


def read_id_records(
    name: str,
    path: Path,
    sizes: tuple[int, int],
    rated: Collection[str],
    report: Report,
    spool: Path,
) -> FeatureTable:
    """Features of the rated items from records of ``sizes`` = (bytes of id, number of values).

    Raises:
        UserError: no such file, unreadable, of another layout, or without any rated item.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    record = np.dtype([("id", f"S{sizes[0]}"), ("values", "<f4", (sizes[1],))])
    tokens: list[str] = []
    done, rest = 0, b""
    try:
        with (
            open_bytes(path) as stream,
            bar(path.stat().st_size, path.name) as progress,
            Spool(spool / f"{name}.f32", sizes[1]) as writer,
        ):
            while block := stream.read(_RECORDS_PER_BLOCK * record.itemsize):
                progress.update(len(block))
                whole = len(block) - len(block) % record.itemsize
                rest = block[whole:]
                rows = np.frombuffer(block[:whole], record)
                names = [_token(path, done + place, raw) for place, raw in enumerate(rows["id"])]
                kept = [place for place, token in enumerate(names) if token in rated]
                writer.add(rows["values"][kept])
                tokens += [names[place] for place in kept]
                done += len(rows)
    except UserError:
        raise
    except READ_ERRORS as error:
        raise UserError(f"{path}: cut or not readable ({reason(error)}); copy it again") from error
    if not tokens:
        raise UserError(
            f"{path}: none of its {done} records of {record.itemsize} bytes is of an item with "
            "interactions; check that the files belong together"
        )
    if rest:
        what = f"is cut in record {done}: {len(rest)} of {record.itemsize} bytes"
        report.found(path.name, what, 1, "drop-rows")
    if done > len(tokens):
        left = done - len(tokens)
        report.note(f"{path.name}: {left} records of items without interaction are left out")
    return FeatureTable(name, path.name, tokens, writer.matrix(path))


def _token(path: Path, number: int, raw: bytes) -> str:
    text = raw.decode("ascii", "replace").strip()
    if not (text.isascii() and text.isalnum()):
        raise UserError(
            f"{path}: record {number} starts with {raw[:10]!r}, which is no item id; the number of "
            "columns is another (--visual-size) or the file is damaged"
        )
    return text
