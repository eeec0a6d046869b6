"""Feature files of any kind as rows with an item id each, never in memory as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.framework.arrays import (
    CELLS_PER_BLOCK,
    FileMatrix,
    RowMatrix,
    archive_shapes,
    open_archive,
    open_matrix,
    read_array,
    unpack_member,
)
from dataset_prep.framework.encoder_file import read_encoder
from dataset_prep.framework.id_columns import (
    IdSource,
    find_id,
    is_label,
    listed_names,
    no_id_column,
)
from dataset_prep.framework.read_interactions import open_parquet
from dataset_prep.framework.report import CORRECT, Report
from dataset_prep.framework.text_tables import (
    Layout,
    chunks,
    is_number,
    reason,
    sniff,
)
from dataset_prep.framework.tokens import as_tokens
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED

_SIDE_FILES = (".items.tsv", ".ids.npy", "_ids.npy", ".ids", ".ids.txt", ".ids.tsv", ".ids.csv")


@dataclass
class FeatureTable:
    """Features of one modality as found.

    Attributes:
        name: of the modality.
        where: file, as shown to the user.
        tokens: item id of each row, empty where it is missing.
        matrix: ``[n, d]`` as stored.
        absent: rows known to have no content (no text, no poster), ``[n]``, or None.
        encoder: what made the features.
        notes: more for the manifest (layer, size, normalisation...).
        id_advice: what to do where the ids meet no interaction.
    """

    name: str
    where: str
    tokens: list[str]
    matrix: RowMatrix
    absent: npt.NDArray[np.bool_] | None = None
    encoder: str = "not recorded"
    notes: dict[str, Any] = field(default_factory=dict)
    id_advice: str = CORRECT


def read_features(
    name: str, path: Path, report: Report, spool: Path, ids: IdSource | None = None
) -> FeatureTable:
    """Open a .npy, .npz, .csv, .tsv or .parquet file; text and Parquet are spooled to disk.

    Raises:
        UserError: unreadable, of an unknown kind, or without ids.
    """
    ids = ids or IdSource()
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path of modality {name}")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind in (".pkl", ".pickle", ".pt", ".pth"):
        raise UserError(f"{path}: a pickle can run code when read; save the matrix with numpy.save")
    if kind == ".npy":
        matrix = open_matrix(path)
        tokens = _side_ids(path, matrix.shape[0], ids, report)
    elif kind == ".npz":
        matrix, tokens = _read_npz(path, spool, ids, report)
    elif kind == ".parquet":
        matrix, tokens = _read_parquet(name, path, spool, ids, report)
    else:
        matrix, tokens = _read_text(name, path, spool, ids, report)
    if len(tokens) != matrix.shape[0]:
        raise UserError(
            f"{path}: has {matrix.shape[0]} rows for {len(tokens)} ids; the two belong together, "
            "give the ids of this file"
        )
    if not matrix.shape[1]:
        raise UserError(f"{path}: has {len(tokens)} rows of 0 columns; write its features again")
    if matrix.dtype.kind != "f":
        report.note(f"{path.name}: holds {matrix.dtype}, stored as floating point")
    table = FeatureTable(name, path.name, tokens, matrix, id_advice=ids.advice)
    if kind == ".npy" and (recorded := read_encoder(path)) is not None:
        table.encoder, table.notes = recorded
    return table


def read_ids(
    path: Path, report: Report, column: str | None = None, encoding: str = "utf-8-sig"
) -> list[str]:
    """One id per row: a one-dimensional .npy, a text file with one id per line, or an id column.

    Raises:
        UserError: unreadable or without an id column.
    """
    if path.suffix == ".npy":
        array = read_array(path)
        if array.ndim != 1 or array.dtype.kind not in "iuSUf":
            raise UserError(f"{path}: has shape {array.shape}; give one id per row")
        return as_tokens(array)
    layout = sniff(path, encoding=encoding, expected=[column] if column else ())
    if len(layout.names) == 1 and not layout.has_header:
        frames = [frame["0"] for frame in chunks(layout, ["0"], report)]
    else:
        chosen = _id_column(path, layout, column)
        frames = [frame[chosen] for frame in chunks(layout, [chosen], report)]
    tokens = as_tokens(pd.concat(frames))
    if "row" in layout.names and "item_id" in layout.names and path.name.endswith(".items.tsv"):
        rows = pd.concat([f["row"] for f in chunks(layout, ["row"], report)]).astype(int).to_numpy()
        if sorted(rows) != list(range(len(rows))):
            raise UserError(f"{path}: column row must hold 0 to {len(rows) - 1}, each once")
        tokens = [tokens[place] for place in np.argsort(rows)]
    return tokens


def _side_ids(path: Path, n_rows: int, ids: IdSource, report: Report) -> list[str]:
    if ids.first_row is not None:
        return [str(ids.first_row + row) for row in range(n_rows)]
    if ids.file is not None:
        return read_ids(ids.file, report, ids.column, ids.encoding)
    for ending in _SIDE_FILES:
        side = path.with_name(path.name.removesuffix(".npy") + ending)
        if side.is_file():
            return read_ids(side, report, ids.column, ids.encoding)
    raise UserError(
        f"{path}: no ids for its {n_rows} rows; put {path.stem}.ids.npy beside it, name a file "
        "with `--feature-ids`, or say `--rows-from N` if row 0 is item N"
    )


def _read_npz(
    path: Path, spool: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[str]]:
    shapes = archive_shapes(path)
    wide = [key for key, (shape, _) in shapes.items() if len(shape) == 2]
    flat = [key for key, (shape, _) in shapes.items() if len(shape) == 1]
    if len(wide) != 1:
        raise UserError(f"{path}: holds {len(wide)} matrices ({', '.join(shapes)}); give one")
    matrix = unpack_member(path, wide[0], spool)
    if ids.first_row is not None or ids.file is not None:
        return matrix, _side_ids(path, matrix.shape[0], ids, report)
    found = find_id(flat, ids.column)
    if ids.column is not None and found is None:
        raise no_id_column(path, list(shapes), ids.column)
    if found is None and len(flat) != 1:
        raise UserError(f"{path}: no array of ids among {', '.join(shapes)}; add one called `ids`")
    return matrix, as_tokens(open_archive(path)[found or flat[0]])


def _id_column(path: Path, layout: Layout, wanted: str | None) -> str:
    names = layout.names
    if wanted is not None or layout.has_header:
        found = find_id(names, wanted)
        if found is not None:
            return found
    else:
        first = [row[0].strip() for row in layout.sample]
        others = [cell for row in layout.sample for cell in row[1:]]
        whole = all(cell.lstrip("-").isdigit() or not is_number(cell) for cell in first)
        if whole and len(set(first)) == len(first) and not all(c.isdigit() for c in others):
            return names[0]
    error = no_id_column(path, names, wanted)
    raise error if layout.has_header else UserError(f"{error}, after adding a header line")


def _read_text(
    name: str, path: Path, spool: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[str]]:
    layout = sniff(path, encoding=ids.encoding, expected=[ids.column] if ids.column else ())
    id_column = (
        layout.names[0]
        if ids.first_column and layout.has_header
        else _id_column(path, layout, ids.column)
    )
    if not layout.has_header:
        report.note(f"{path.name}: has no header, its first column is taken as the id")
    numbers: list[str] = []
    skipped: list[str] = []
    for place, column in enumerate(layout.names):
        if column != id_column:
            numeric = all(is_number(row[place]) for row in layout.sample if place < len(row))
            (numbers if numeric and not is_label(column) else skipped).append(column)
    if skipped:
        left = listed_names(skipped, 6)
        report.note(f"{path.name}: columns that are no features left out: {left}")
    if not numbers:
        raise UserError(f"{path}: no column of numbers beside `{id_column}`; check the separator")
    rows = max(1, CELLS_PER_BLOCK // len(numbers))
    writer = Spool(spool / f"{name}.f32", len(numbers))
    tokens: list[Any] = []
    with writer:
        for frame in chunks(layout, [id_column, *numbers], report, numbers, rows):
            tokens.extend(frame[id_column].tolist())
            writer.add(frame[numbers].to_numpy(np.float64))
    return writer.matrix(path), as_tokens(tokens)


def _read_parquet(
    name: str, path: Path, spool: Path, ids: IdSource, report: Report
) -> tuple[RowMatrix, list[str]]:
    file = open_parquet(path)
    schema = file.schema_arrow
    id_column = find_id(schema.names, ids.column)
    if id_column is None:
        raise no_id_column(path, schema.names, ids.column)
    chosen, vectors = _parquet_columns(path, schema, id_column, report)
    writer: Spool | None = None
    tokens: list[Any] = []
    try:
        for batch in file.iter_batches(1 << 14, columns=[id_column, *chosen]):
            frame = batch.to_pandas()
            block = np.stack(frame[chosen[0]].tolist()) if vectors else frame[chosen].to_numpy()
            writer = writer or Spool(spool / f"{name}.f32", block.shape[1])
            tokens.extend(frame[id_column].tolist())
            writer.add(block)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{path}: not readable ({reason(error)}); write it again") from error
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise UserError(f"{path}: holds no row; check that it was written completely")
    return writer.matrix(path), as_tokens(tokens)


def _parquet_columns(
    path: Path, schema: Any, id_column: str, report: Report
) -> tuple[list[str], bool]:
    """Columns of numbers, or the one column of vectors, and whether it is that."""
    import pyarrow.types as kinds

    lists = [f.name for f in schema if kinds.is_list(f.type) or kinds.is_fixed_size_list(f.type)]
    plain = [
        f.name
        for f in schema
        if f.name != id_column
        and not (f.name.startswith("__index_level_") or is_label(f.name))
        and (kinds.is_floating(f.type) or kinds.is_integer(f.type))
    ]
    if len(lists) > 1:
        raise UserError(f"{path}: holds {len(lists)} vectors ({', '.join(lists)}); keep one")
    chosen = lists or plain
    if not chosen:
        raise UserError(f"{path}: no column of numbers beside `{id_column}`; store float columns")
    left = [name for name in schema.names if name not in (id_column, *chosen)]
    if left:
        report.note(f"{path.name}: columns that are no features left out: {', '.join(left[:6])}")
    return chosen, bool(lists)


class Spool:
    """Collects rows in a temporary file and gives them back as a matrix."""

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._width, self._rows = path, width, 0
        self._stream = open(path, "wb")  # noqa: SIM115

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, block: npt.NDArray[Any]) -> None:
        """Append rows [n, d]; what does not fit float32 becomes infinite and is found later.

        Raises:
            ValueError: rows of another width, which would shift all that follow.
        """
        if block.ndim != 2 or block.shape[1] != self._width:
            raise ValueError(f"vectors of {block.shape[1:]} numbers where {self._width} are due")
        with np.errstate(over="ignore"):
            self._stream.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
        self._rows += len(block)

    def close(self) -> None:
        """End writing."""
        self._stream.close()

    def matrix(self, origin: Path) -> FileMatrix:
        """What was collected.

        Raises:
            UserError: nothing was.
        """
        self.close()
        if not self._rows:
            raise UserError(f"{origin}: holds no row; check that it was written completely")
        return FileMatrix(self._path, 0, (self._rows, self._width), np.dtype(np.float32))
