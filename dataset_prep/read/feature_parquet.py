"""Features in Parquet: a column per number, or one column of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.read.feature_text import parse_vector
from dataset_prep.read.files import readable
from dataset_prep.read.ids import (
    FeatureFile,
    Found,
    IdSource,
    find_id,
    is_label,
    is_sure_id,
    no_id_column,
    refuse_other_ids,
)
from dataset_prep.read.interactions import open_parquet
from dataset_prep.read.matrices import RowMatrix, Spool
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_ROWS = 1 << 14
_FEW_ROWS = 16
_FEW = 3
_INDEX = "__index_level_0__"


def read_parquet_features(file: FeatureFile) -> Found:
    """The matrix and the id of each row, or None where a file of ids must name the rows."""
    path, ids = file.path, file.ids
    table = open_parquet(path)
    schema = table.schema_arrow
    id_column = _id_column(path, schema, ids)
    with readable(path, "not readable", "write it again"):
        chosen, kind = _columns(path, table, schema, id_column, file.report)
        wanted = [*([] if id_column is None else [id_column]), *chosen]
        batches = table.iter_batches(_ROWS, columns=wanted)
        if kind == "numbers":
            matrix, tokens = _read_numbers(file, batches, chosen, id_column)
        else:
            matrix, tokens = file.spooled(_vectors(batches, chosen[0], id_column))
        if id_column is not None and ids.column is None and not is_sure_id(id_column):
            others = table.read(columns=_other_ids(schema, id_column)).to_pydict()
            refuse_other_ids(path, id_column, others, ids.rated)
    return matrix, None if id_column is None else tokens


def _other_ids(schema: Any, id_column: str) -> list[str]:
    """The first columns of whole numbers or text beside the ids."""
    import pyarrow.types as kinds

    fields = [field for field in schema if field.name not in (id_column, _INDEX)]
    return [f.name for f in fields if kinds.is_integer(f.type) or kinds.is_string(f.type)][:_FEW]


def _read_numbers(
    file: FeatureFile, batches: Any, chosen: list[str], id_column: str | None
) -> tuple[RowMatrix, list[Any]]:
    tokens: list[Any] = []
    with Spool(file.target, len(chosen)) as spool:
        for batch in batches:
            frame = batch.select(chosen).to_pandas()
            spool.add(frame[chosen].to_numpy(np.float64, na_value=np.nan))
            if id_column is not None:
                tokens += batch.column(id_column).to_pylist()
    return spool.matrix(file.path), tokens


def _vectors(batches: Any, column: str, id_column: str | None) -> Iterator[tuple[Any, Any]]:
    for batch in batches:
        names = [None] * len(batch) if id_column is None else batch.column(id_column).to_pylist()
        for token, cell in zip(names, batch.select([column]).to_pandas()[column], strict=True):
            yield token, parse_vector(cell) if isinstance(cell, str) else cell


def _id_column(path: Path, schema: Any, ids: IdSource) -> str | None:
    import pyarrow.types as kinds

    found = find_id(schema.names, ids.column)
    if found is not None or ids.column is not None:
        if found is None:
            raise no_id_column(path, schema.names, ids.column)
        return found
    # Row numbers are whole; an index of texts can only hold the ids.
    if _INDEX in schema.names and not kinds.is_integer(schema.field(_INDEX).type):
        return _INDEX
    if ids.file is not None or ids.first_row is not None:
        return None
    raise no_id_column(path, schema.names, None)


def _columns(
    path: Path, file: Any, schema: Any, id_column: str | None, report: Report
) -> tuple[list[str], str]:
    """Columns of numbers, or the one column of vectors, and which of the two it is."""
    import pyarrow.types as kinds

    rest = [
        field
        for field in schema
        if field.name != id_column
        and not (field.name.startswith("__index_level_") or is_label(field.name))
    ]
    lists = [
        field.name
        for field in rest
        if kinds.is_list(field.type)
        or kinds.is_large_list(field.type)
        or kinds.is_fixed_size_list(field.type)
    ]
    plain = [f.name for f in rest if kinds.is_floating(f.type) or kinds.is_integer(f.type)]
    texts = [f.name for f in rest if kinds.is_string(f.type) or kinds.is_large_string(f.type)]
    lists = lists or _texts_with_vectors(file, texts, beside=bool(plain))
    if len(lists) > 1:
        raise UserError(f"{path}: holds {len(lists)} vectors ({', '.join(lists)}); keep one")
    chosen = lists or plain
    if not chosen:
        raise UserError(
            f"{path}: no column of numbers or vectors beside `{id_column}`; store float columns"
        )
    left = [name for name in schema.names if name not in (id_column, *chosen)]
    if left:
        report.note(f"{path.name}: columns that are no features left out: {', '.join(left[:6])}")
    return chosen, "vectors" if lists else "numbers"


def _texts_with_vectors(file: Any, names: list[str], beside: bool) -> list[str]:
    """Columns of text whose first cells are vectors; of one length, where numbers are beside."""
    batch: Any = next(file.iter_batches(_FEW_ROWS, columns=names), None) if names else None
    found = []
    for name in names if batch is not None else ():
        vectors = [parse_vector(cell) for cell in batch.column(name).to_pylist() if cell]
        widths = {len(vector or ()) for vector in vectors}
        if vectors and 0 not in widths and not (beside and len(widths) > 1):
            found.append(name)
    return found
