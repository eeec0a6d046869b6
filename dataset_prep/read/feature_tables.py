"""Features in tables (text, JSON, Parquet): a column per number, or a vector in one cell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.interactions import refuse_rounded
from dataset_prep.read.cells import as_floats, is_missing
from dataset_prep.read.ids import (
    FeatureFile,
    Found,
    IdSource,
    find_id,
    is_index,
    is_label,
    is_sure_id,
    listed_names,
    no_id_column,
    numbered_header,
    refuse_other_ids,
)
from dataset_prep.read.matrices import CELLS_PER_BLOCK, RowMatrix, Spool
from dataset_prep.read.rows import is_number
from dataset_prep.read.tables import Layout, sniff
from dataset_prep.read.tabular import Table, open_table
from dataset_prep.read.vectors_in_text import parse_vector, read_words, word_sizes
from recbole_painvrl.errors import UserError

_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")
_LONGEST_SHOWN = 60
_FEW = 3
# Columns of vectors -> the lengths of those in the sample.
Widths = dict[str, list[int]]


def read_table_features(file: FeatureFile) -> Found:
    """The matrix and the id of each row, or None if a file of ids must name the rows."""
    path, ids, report = file.path, file.ids, file.report
    pair = ("item_id", "vector")
    table = open_table(path, ids.encoding, "features", lambda: _layout(file), pair)
    numeric, widths = _numbers_and_vectors(table)
    id_column = _id_column(table, numeric, widths, ids)
    rest = [name for name in table.names if name != id_column]
    numbers = [name for name in rest if name in numeric and not is_label(name)]
    vectors = [name for name in rest if name in widths]
    if numbers:
        # Lists of different lengths beside numbers are tags, not features.
        vectors = [name for name in vectors if not _ragged(widths[name])]
    if table.layout is not None and table.layout.separator == ";":
        for cells in (filter(None, table.sample[name]) for name in vectors):
            if all(map(_DECIMAL_COMMA.fullmatch, cells)):
                raise UserError(f"{path}: holds numbers with a decimal comma; write 0.5 for 0,5")
    if len(vectors) > 1:
        named = _named_vector(file, vectors)
        rest = [name for name in rest if name not in vectors or name == named]
        vectors = [named]
    chosen = vectors or numbers
    if not chosen:
        raise _no_numbers(table, id_column)
    if not table.has_header and id_column is not None:
        report.note(f"{path.name}: has no header, column {id_column} is taken as the id")
    if skipped := [name for name in rest if name not in chosen]:
        left = listed_names(skipped, 6)
        report.note(f"{path.name}: columns left out since they are not features: {left}")
    suspects: list[str] = []
    if id_column is not None and ids.column is None and not ids.first_column:
        suspects = _other_ids(table, id_column, [n for n in rest if n not in vectors])
    reader = _Reader(file, table, id_column, suspects)
    if vectors:
        matrix, tokens = reader.vectors(vectors[0], max(widths[vectors[0]]))
    else:
        matrix, tokens = reader.numbers(numbers)
    if id_column is None:
        return matrix, None
    refuse_other_ids(path, id_column, reader.others, ids.rated)
    return matrix, tokens


def _named_vector(file: FeatureFile, vectors: Sequence[str]) -> str:
    """The one of several columns of vectors that has the name of the modality."""
    names = [name.partition(":")[0] for name in vectors]
    if names.count(file.name) > 1:
        raise UserError(f"{file.path}: holds {names.count(file.name)} columns called {file.name}")
    if file.name not in names:
        raise UserError(
            f"{file.path}: holds {len(vectors)} vectors ({', '.join(vectors)}), expected one, or "
            f"one called {file.name}; NAME of `--features NAME=FILE` selects one, as in "
            f"`--features {names[0]}=FILE`"
        )
    found = vectors[names.index(file.name)]
    left = listed_names([name for name in vectors if name != found])
    file.report.note(f"{file.path.name}: modality {file.name} is column {found}; left out: {left}")
    return found


def read_text_features(file: FeatureFile) -> Found:
    """As :func:`read_table_features`; also the text format of word2vec."""
    sizes = word_sizes(file.path)
    return read_table_features(file) if sizes is None else read_words(file, sizes)


def _numbers_and_vectors(table: Table) -> tuple[list[str], Widths]:
    """Columns with a number in most cells of the sample, and those with a vector in most cells."""
    numbers: list[str] = []
    widths: Widths = {}
    for name in table.names:
        cells = table.sample[name][~is_missing(table.sample[name])].tolist()
        lengths = [len(vector) for vector in map(_vector, cells) if vector is not None]
        # Text is a number in a text table only; JSON and Parquet have types.
        typed = [cell for cell in cells if table.layout is not None or not isinstance(cell, str)]
        if 2 * sum(map(_is_number, typed)) > len(cells) or not cells:
            # One cell that is not a number must not hide a column of numbers.
            numbers.append(name)
        elif lengths and 2 * len(lengths) >= len(cells):
            widths[name] = lengths
    return numbers, widths


def _ragged(widths: Sequence[int]) -> bool:
    """Whether no single length is that of more than half of the vectors."""
    return 2 * max(map(widths.count, widths)) <= len(widths) > 1


class _Reader:
    """Reads the features of a table together with its ids and with columns that may be ids."""

    def __init__(
        self, file: FeatureFile, table: Table, id_column: str | None, others: Sequence[str]
    ) -> None:
        self._file, self._table = file, table
        self._id = [] if id_column is None else [id_column]
        self.others: dict[str, list[Any]] = {name: [] for name in others}

    def numbers(self, names: list[str]) -> tuple[RowMatrix, list[Any]]:
        """The matrix of one column per number, and the ids."""
        tokens: list[Any] = []
        spool = Spool(self._file.target, len(names))
        for frame, ids in self._frames(names, len(names)):
            columns = [as_floats(self._file.path, frame[name]) for name in names]
            spool.add(np.stack(columns, axis=1))
            tokens += ids
        return spool.matrix(self._file.path), tokens

    def vectors(self, name: str, width: int) -> tuple[RowMatrix, list[Any]]:
        """The matrix of the vectors in one column, and the ids."""
        return self._file.spooled(
            (token, _vector(cell))
            for frame, ids in self._frames([name], width)
            for token, cell in zip(ids, frame[name].tolist(), strict=True)
        )

    def _frames(self, features: list[str], width: int) -> Iterator[tuple[pd.DataFrame, list[Any]]]:
        wanted = list(dict.fromkeys([*self._id, *features, *self.others]))
        rows = max(1, CELLS_PER_BLOCK // max(1, width))
        for frame in self._table.frames(wanted, self._file.report, rows):
            for name, values in self.others.items():
                values += frame[name].tolist()
            for name in self._id:
                refuse_rounded(frame[name], self._file.path)
            yield frame, frame[self._id[0]].tolist() if self._id else [None] * len(frame)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, str):
        return is_number(cell.strip())
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def _vector(cell: Any) -> Any:
    """A vector of numbers as a list or array, else None."""
    if isinstance(cell, str):
        return parse_vector(cell)
    whole = isinstance(cell, list | np.ndarray) and (not len(cell) or _is_number(cell[0]))
    return cell if whole else None


def _layout(file: FeatureFile) -> Layout:
    """The layout of a text table, with the headers that only feature tables have."""
    path, ids = file.path, file.ids
    layout = sniff(path, encoding=ids.encoding, expected=[ids.column] if ids.column else ())
    if layout.has_header and any(parse_vector(name) is not None for name in layout.names):
        # `abc,[0.1 0.2]` above `12,[0.3 0.4]` is an item, not a header.
        names = tuple(map(str, range(len(layout.names))))
        sample = (layout.names, *layout.sample)
        layout = replace(layout, names=names, has_header=False, sample=sample)
    elif not layout.has_header and len(layout.sample) > 1:
        first = layout.sample[0]
        above = numbered_header(layout.sample, without_ids=ids.file is not None)
        for cell, *below in zip(*layout.sample, strict=False):
            vectors = [parse_vector(entry) for entry in below]
            text = parse_vector(cell) is None and not is_number(cell)
            above = above or (text and None not in vectors)
        if above and len(set(first)) == len(first):
            layout = replace(layout, names=first, has_header=True, sample=layout.sample[1:])
    width = len(layout.names)
    for row in layout.sample:
        tail = layout.separator.join(row[width - 1 :])
        if len(row) > width and tail.strip().startswith("[") and parse_vector(tail) is not None:
            raise UserError(
                f"{path}: column `{layout.names[-1]}` holds vectors with the separator of the "
                'file, without quote marks; write them as "[0.1, 0.2]" in quote marks, or with '
                "spaces between the numbers"
            )
    return layout


def _id_column(
    table: Table, numbers: Collection[str], widths: Collection[str], ids: IdSource
) -> str | None:
    """The column of ids; None if a file or the row index names the rows."""
    names, wanted = table.names, ids.column
    if wanted is None and table.has_header and ids.first_column:
        return names[0]
    if wanted is not None or table.has_header:
        found = find_id(names, wanted)
        if found is None and wanted is None:
            found = _unnamed(table, numbers, widths)
    else:
        found = _first_without_header(table, widths)
    if found is not None:
        return found
    if wanted is None and (ids.file is not None or ids.first_row is not None):
        return None
    error = no_id_column(table.path, names, wanted)
    raise error if table.has_header else UserError(f"{error}, after adding a header line")


def _unnamed(table: Table, numbers: Collection[str], widths: Collection[str]) -> str | None:
    """A column without a usual name that can only hold the ids."""
    labels = [n for n in table.names if n not in widths and n not in numbers]
    index = [name for name in labels if is_index(name)]
    if index:
        return index[0]
    if widths:
        labels = [n for n in table.names if n not in widths and not is_index(n)]
    elif any(name.isdigit() for name in table.names):
        named = [name for name in table.names if not name.isdigit() and not is_index(name)]
        labels = named if len(named) == 1 else labels
    else:
        return None
    return labels[0] if len(labels) == 1 else None


def _first_without_header(table: Table, widths: Collection[str]) -> str | None:
    """The first column if its cells can be ids, and those of the others cannot."""
    name = table.names[0]
    first = [cell.strip() for cell in table.sample[name]]
    others = table.sample[list(table.names[1:])].to_numpy().ravel().tolist()
    words = not any(map(is_number, first))
    whole = all(cell.lstrip("-").isdigit() or not is_number(cell) for cell in first)
    plain = name not in widths and whole and len(set(first)) == len(first)
    return name if plain and (words or not all(cell.isdigit() for cell in others)) else None


def _other_ids(table: Table, id_column: str, names: Sequence[str]) -> list[str]:
    """Columns that may hold the ids as well if the name of the chosen one is not specific."""
    if table.has_header and is_sure_id(id_column):
        return []
    found = []
    for name in names:
        cells = [str(cell).strip() for cell in table.sample[name]]
        words = all(cell.isdigit() or (not is_number(cell) and " " not in cell) for cell in cells)
        if cells and words and len(set(cells)) == len(cells) and not is_index(name):
            found.append(name)
    return found[:_FEW]


def _no_numbers(table: Table, id_column: str | None) -> UserError:
    shown = [
        f"`{name or '(no name)'}` holds {str(table.sample[name].iloc[0])[:_LONGEST_SHOWN]!r}"
        for name in table.names
        if name != id_column and len(table.sample)
    ]
    return UserError(
        f"{table.path}: no column of numbers or vectors beside the ids "
        f"({', '.join(shown[:3]) or 'no other column'}); give one column per number, or complete "
        'vectors such as "[0.1, 0.2]"'
    )
