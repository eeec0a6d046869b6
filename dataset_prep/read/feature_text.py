"""Features in text tables: a column per number, or a vector in one cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.read.feature_words import read_words, word_sizes
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
from dataset_prep.read.tables import Layout, chunks, sniff
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

_WRAPPED = re.compile(r"(?:np\.|torch\.)?(?:array|tensor)\((.*?)(?:,\s*dtype=[\w.]+)?\)", re.DOTALL)
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")
_CUT = "..."
_LONGEST_SHOWN = 60
_FEW = 3


def parse_vector(text: str) -> list[float] | None:
    """The numbers of a cell such as ``0.1,0.2``, ``[0.1, 0.2]``, ``0.1 0.2``; None for no vector.

    One number alone is a vector only in brackets, and a comma never stands for a decimal point.
    """
    bare = text.strip()
    if wrapped := _WRAPPED.fullmatch(bare):
        bare = wrapped[1].strip()
    bracketed = False
    while len(bare) > 1 and bare[0] + bare[-1] in ("[]", "()", "{}"):
        bare, bracketed = bare[1:-1].strip(), True
    separator = next((mark for mark in ",;|" if mark in bare), None)
    pieces = bare.removesuffix(separator or " ").split(separator)
    if len(pieces) < (1 if bracketed else 2):
        return None
    try:
        return [float(piece) for piece in pieces] if all(map(is_number, pieces)) else None
    except ValueError:
        return None


def read_text_features(file: FeatureFile) -> Found:
    """The matrix and the id of each row, or None where a file of ids must name the rows."""
    path, ids, report = file.path, file.ids, file.report
    if (sizes := word_sizes(path)) is not None:
        return read_words(file, sizes)
    layout = _layout(path, ids)
    vectors = _vector_columns(layout)
    id_column = _id_column(path, layout, vectors, ids)
    rest = [name for name in layout.names if name != id_column]
    numbers = [name for name in rest if not is_label(name) and _is_numeric(layout, name)]
    vectors = [name for name in vectors if name != id_column]
    if numbers and any(_is_ragged(layout, name) for name in vectors):
        # Lists of another length in every row are tags, not features.
        vectors = [name for name in vectors if not _is_ragged(layout, name)]
    commas = (all(map(_DECIMAL_COMMA.fullmatch, filter(None, _cells(layout, n)))) for n in vectors)
    if layout.separator == ";" and any(commas):
        raise UserError(f"{path}: holds numbers with a decimal comma; write 0.5 instead of 0,5")
    if len(vectors) > 1:
        raise UserError(f"{path}: holds {len(vectors)} vectors ({', '.join(vectors)}); keep one")
    chosen = vectors or numbers
    if not chosen:
        raise _no_numbers(path, layout, id_column)
    if not layout.has_header and id_column is not None:
        report.note(f"{path.name}: has no header, column {id_column} is taken as the id")
    skipped = [name for name in rest if name not in chosen]
    if skipped:
        left = listed_names(skipped, 6)
        report.note(f"{path.name}: columns that are no features left out: {left}")
    suspects = id_column is not None and ids.column is None and not ids.first_column
    others = _other_ids(layout, str(id_column), [n for n in rest if n not in vectors])
    read = _Columns(file, layout, id_column, others if suspects else [])
    matrix, tokens = read.cells(vectors[0]) if vectors else read.numbers(numbers)
    if id_column is None:
        return matrix, None
    refuse_other_ids(path, id_column, read.others, ids.rated)
    return matrix, tokens


class _Columns:
    """Reads the features of a table, and beside them its ids and what may be ids as well."""

    def __init__(
        self, file: FeatureFile, layout: Layout, id_column: str | None, others: Sequence[str]
    ) -> None:
        self._file, self._layout = file, layout
        self._id = [] if id_column is None else [id_column]
        self.others: dict[str, list[Any]] = {name: [] for name in others}

    def numbers(self, names: list[str]) -> tuple[RowMatrix, list[Any]]:
        """One column per number, and the ids."""
        tokens: list[Any] = []
        with Spool(self._file.target, len(names)) as spool:
            for frame, ids in self._frames(names, names, len(names)):
                spool.add(frame[names].to_numpy(np.float64))
                tokens += ids
        return spool.matrix(self._file.path), tokens

    def cells(self, name: str) -> tuple[RowMatrix, list[Any]]:
        """Vectors in one column, and the ids."""
        width = max(len(parse_vector(cell) or ()) for cell in _cells(self._layout, name))
        return self._file.spooled(
            (token, parse_vector(str(cell)))
            for frame, ids in self._frames([name], [], width)
            for token, cell in zip(ids, frame[name].tolist(), strict=True)
        )

    def _frames(
        self, features: list[str], numeric: list[str], width: int
    ) -> Iterator[tuple[pd.DataFrame, list[Any]]]:
        wanted = list(dict.fromkeys([*self._id, *features, *self.others]))
        rows = max(1, CELLS_PER_BLOCK // max(1, width))
        for frame in chunks(self._layout, wanted, self._file.report, numeric, rows):
            for name, values in self.others.items():
                values += frame[name].tolist()
            yield frame, frame[self._id[0]].tolist() if self._id else [None] * len(frame)


def _layout(path: Path, ids: IdSource) -> Layout:
    """The layout, with the headers that only feature tables have."""
    expected = [ids.column] if ids.column else ()
    layout = sniff(path, encoding=ids.encoding, expected=expected)
    if layout.has_header and any(parse_vector(name) is not None for name in layout.names):
        # `abc,[0.1 0.2]` above `12,[0.3 0.4]` is an item, not a header.
        names = tuple(map(str, range(len(layout.names))))
        sample = (layout.names, *layout.sample)
        return replace(layout, names=names, has_header=False, sample=sample)
    if layout.has_header or len(layout.sample) < 2:
        return _refuse_unquoted(layout)
    first = layout.sample[0]
    above = False
    for place, cell in enumerate(first):
        below = [parse_vector(row[place]) for row in layout.sample[1:] if place < len(row)]
        words = parse_vector(cell) is None and not is_number(cell)
        above = above or (words and bool(below) and None not in below)
    above = above or numbered_header(layout.sample, without_ids=ids.file is not None)
    if above and len(set(first)) == len(first):
        layout = replace(layout, names=first, has_header=True, sample=layout.sample[1:])
    return _refuse_unquoted(layout)


def _refuse_unquoted(layout: Layout) -> Layout:
    """Raise :class:`UserError` where the separator stands inside vectors without quote marks."""
    width = len(layout.names)
    for row in layout.sample:
        tail = layout.separator.join(row[width - 1 :])
        if len(row) > width and tail.strip().startswith("[") and parse_vector(tail) is not None:
            raise UserError(
                f"{layout.path}: column `{layout.names[-1]}` holds vectors with the separator of "
                'the file, without quote marks; write them as "[0.1, 0.2]" in quote marks, or '
                "with spaces between the numbers"
            )
    return layout


def _cells(layout: Layout, name: str) -> list[str]:
    place = layout.names.index(name)
    return [row[place] for row in layout.sample if place < len(row)]


def _is_numeric(layout: Layout, name: str) -> bool:
    """Whether most cells are numbers: a single one that is not must not hide a column."""
    cells = [cell.strip() for cell in _cells(layout, name)]
    there = [cell for cell in cells if cell not in MISSING_TOKENS]
    return 2 * sum(map(is_number, there)) > len(there) or not there


def _vector_columns(layout: Layout) -> list[str]:
    """Columns with a vector in most cells."""
    found = []
    for name in layout.names:
        cells = _cells(layout, name)
        good = sum(parse_vector(cell) is not None for cell in cells)
        if good and 2 * good >= len(cells) and not _is_numeric(layout, name):
            found.append(name)
    return found


def _is_ragged(layout: Layout, name: str) -> bool:
    widths = [len(vector) for cell in _cells(layout, name) if (vector := parse_vector(cell))]
    return 2 * max(map(widths.count, widths), default=0) <= len(widths) > 1


def _id_column(path: Path, layout: Layout, vectors: Sequence[str], ids: IdSource) -> str | None:
    """The column of ids; None where a file or the row number names the rows."""
    names, wanted = layout.names, ids.column
    if layout.has_header and ids.first_column and wanted is None:
        return names[0]
    if wanted is not None or not layout.has_header:
        found = (
            find_id(names, wanted) if wanted is not None else _first_of_headless(layout, vectors)
        )
    else:
        found = find_id(names)
        found = _unnamed(layout, vectors) if found is None else found
    if found is not None:
        return found
    if wanted is None and (ids.file is not None or ids.first_row is not None):
        return None
    error = no_id_column(path, names, wanted)
    raise error if layout.has_header else UserError(f"{error}, after adding a header line")


def _unnamed(layout: Layout, vectors: Sequence[str]) -> str | None:
    """A column without a usual name that can only hold the ids."""
    others = [n for n in layout.names if n not in vectors and not _is_numeric(layout, n)]
    index = [name for name in others if is_index(name)]
    if index:
        return index[0]
    if vectors:
        others = [name for name in layout.names if name not in vectors and not is_index(name)]
    elif any(name.isdigit() for name in layout.names):
        named = [name for name in layout.names if not name.isdigit() and not is_index(name)]
        others = named if len(named) == 1 else others
    else:
        return None
    return others[0] if len(others) == 1 else None


def _first_of_headless(layout: Layout, vectors: Sequence[str]) -> str | None:
    """The first column, where its cells can be ids and the others are no ids as well."""
    name = layout.names[0]
    first = [row[0].strip() for row in layout.sample]
    others = [cell for row in layout.sample for cell in row[1:]]
    words = not any(map(is_number, first))
    whole = all(cell.lstrip("-").isdigit() or not is_number(cell) for cell in first)
    plain = name not in vectors and whole and len(set(first)) == len(first)
    return name if plain and (words or not all(cell.isdigit() for cell in others)) else None


def _other_ids(layout: Layout, id_column: str, names: Sequence[str]) -> list[str]:
    """Columns that may hold the ids as well, where the name of the chosen one says little."""
    if layout.has_header and is_sure_id(id_column):
        return []
    found = []
    for name in names:
        cells = [cell.strip() for cell in _cells(layout, name)]
        words = all(cell.isdigit() or (not is_number(cell) and " " not in cell) for cell in cells)
        if cells and words and len(set(cells)) == len(cells) and not is_index(name):
            found.append(name)
    return found[:_FEW]


def _no_numbers(path: Path, layout: Layout, id_column: str | None) -> UserError:
    cut = next((n for n in layout.names if any(_CUT in c for c in _cells(layout, n))), None)
    if cut is not None:
        return UserError(
            f"{path}: column `{cut}` holds vectors cut by `...`, as NumPy prints long arrays; "
            "write all numbers, as with numpy.save"
        )
    shown = [
        f"`{name or '(no name)'}` holds {cells[0][:_LONGEST_SHOWN]!r}"
        for name in layout.names
        if name != id_column and (cells := _cells(layout, name))
    ]
    return UserError(
        f"{path}: no column of numbers or vectors beside the ids "
        f"({', '.join(shown[:3]) or 'one column alone'}); give one column per number, or vectors "
        'such as "[0.1, 0.2]"'
    )
