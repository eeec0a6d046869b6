"""Names of id columns, and the options that say where the ids of feature rows are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_prep.interactions import as_tokens
from dataset_prep.read.matrices import RowMatrix, VectorSpool
from dataset_prep.read.rows import is_number
from dataset_prep.read.tables import ALIASES, simple
from dataset_prep.report import CORRECT, Report
from recbole_painvrl.errors import UserError

_ID_NAMES = ("id", "ids", "key", "index")
_ROW_WORDS = """
row rows rowid rowno rownumber rownum rowindex rowidx index idx position pos remap remapid
remappedid mappedid newid featureid featureindex featureidx embeddingid embeddingindex embeddingidx
"""
# Fraction of the values that must fit for a column to count as one that may hold the ids.
_MOST = 0.9
_ROW_NAMES = frozenset(_ROW_WORDS.split())
# `key` and `i` may be features (the musical key, or the ninth of the columns a, b, c, ...).
_LABELS = frozenset(["id", "ids", "index", "idx", "row", "rowid", "remapid", "orgid"]) | (
    ALIASES["item"] - {"i"}
)
# With fewer columns, the values of a row without a header could happen to be 0, 1, 2.
_FEW_COLUMNS = 3
_SHOWN = 8
WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, kw_only=True)
class IdSource:
    """Where the ids of feature rows are: in a column, in a file, or given by the row index.

    Without ``column`` the usual names are tried; with ``first_column`` the first one of a table
    with a header is taken. ``first_row`` is the item of the first row if items follow the row
    index, ``advice`` what to do if no id is among the interactions, ``rated`` their items, if
    known.
    """

    column: str | None = None
    file: Path | None = None
    first_row: int | None = None
    first_column: bool = False
    encoding: str = "utf-8-sig"
    advice: str = CORRECT
    rated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FeatureFile:
    """The file of a modality that is being read, and the temporary file ``target`` for its rows."""

    name: str
    path: Path
    target: Path
    ids: IdSource
    report: Report

    def spooled(self, vectors: Iterable[tuple[Any, Any]]) -> tuple[RowMatrix, list[Any]]:
        """The matrix of pairs of an id and its vector, and the id of each row."""
        spool = VectorSpool(self.target, self.path)
        for token, vector in vectors:
            spool.add(token, vector)
        return spool.finish(self.report), spool.tokens


# The matrix of a file and the id of each row; None if the file does not hold the ids.
Found = tuple[RowMatrix, list[Any] | None]


def find_id(names: Sequence[str], wanted: str | None = None) -> str | None:
    """The ``wanted`` column if it exists; without one, the column with a usual name of an id."""
    if wanted is not None:
        return wanted if wanted in names else None
    items = [name for name in names if simple(name) in ALIASES["item"]]
    others = [name for known in _ID_NAMES for name in names if simple(name) == known]
    return next(iter([*sorted(items, key=lambda name: simple(name) == "i"), *others]), None)


def id_or_first(
    path: Path, names: Sequence[str], wanted: str | None = None, advice: str | None = None
) -> str:
    """The id column of a table of texts: as in :func:`find_id`, else the first column."""
    # In a table of texts the first column is more likely than `key` or `index`.
    usual = [name for name in names if name == wanted or simple(name) not in ("key", "index")]
    found = find_id(usual, wanted)
    if found is None and wanted is None and not is_index(names[0]):
        return names[0]
    if found is None:
        raise no_id_column(path, names, wanted, advice)
    return found


def is_index(name: str) -> bool:
    """Whether a column has a name that pandas gives to an index."""
    return not name.strip() or simple(name).startswith(("unnamed", "indexlevel"))


def is_row_name(name: str) -> bool:
    """Whether a column has a usual name of row indices."""
    return is_index(name) or simple(name) in _ROW_NAMES


def is_item_name(name: str) -> bool:
    """Whether a column has a usual name of item ids."""
    return simple(name) in ALIASES["item"] or simple(name) in _ID_NAMES


def is_sure_id(name: str) -> bool:
    """Whether a name is more specific than ``id`` or ``index``."""
    return simple(name) in ALIASES["item"] - {"i"}


def is_label(name: str) -> bool:
    """Whether a column names or numbers the rows, so that it is not a feature."""
    return is_index(name) or simple(name) in _LABELS


def refuse_other_ids(
    path: Path, chosen: str, others: Mapping[str, list[Any]], rated: Collection[str]
) -> None:
    """Raise :class:`UserError` if another column also holds distinct items of the interactions."""
    for name, values in others.items():
        tokens = set(as_tokens(values))
        met = len(tokens.intersection(rated))
        if len(tokens) == len(values) and met >= _MOST * len(tokens):
            raise UserError(
                f"{path}: column `{name}` may hold the ids as well as `{chosen}`, since {met} of "
                f"its {len(tokens)} values are items of the interactions; name the id column "
                "item_id in a header, or by `--feature-id-column`"
            )


def numbered_header(rows: Sequence[Sequence[str]], without_ids: bool = False) -> bool:
    """Whether the first row names columns by numbers, as in ``item_id,0,1,2`` or ``,0,1,2``.

    ``without_ids`` says that the rows hold no id.
    """
    first = [cell.strip() for cell in rows[0]]
    indices = [index for index, cell in enumerate(first) if WHOLE.fullmatch(cell)]
    labels = [cell for cell in first if not WHOLE.fullmatch(cell)]
    numbers = [int(first[index]) for index in indices]
    if not numbers or len(set(first)) < len(first) or any(map(_is_fraction, labels)):
        return False
    if any(is_label(label) and label for label in labels):
        return True
    counted = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] < 2
    if "" in labels:
        return counted
    # Otherwise it is a header if the rows below hold fractions and the first row does not.
    indices = indices if labels or without_ids else indices[1:]
    below = [[row[index] for row in rows[1:] if index < len(row)] for index in indices]
    fractions = all(any(_is_fraction(cell) for cell in cells) for cells in below)
    enough = without_ids or len(indices) >= _FEW_COLUMNS
    return counted and ((fractions and enough) or (bool(labels) and len(indices) > _FEW_COLUMNS))


def _is_fraction(cell: str) -> bool:
    """Whether a cell holds a number that is not an integer."""
    return bool(cell.strip()) and is_number(cell) and not cell.strip().lstrip("-").isdigit()


def listed_names(names: Sequence[str], limit: int = _SHOWN) -> str:
    """The first few names."""
    return ", ".join(name or "(no name)" for name in names[:limit])


def no_id_column(
    path: Path, names: Sequence[str], wanted: str | None, advice: str | None = None
) -> UserError:
    """The error for a table without an id column, or without the one that was named."""
    if advice is None:
        advice = "name it with `--feature-id-column`"
        if wanted is None and "" in names:
            advice += ", as in --feature-id-column '' for the one without a name"
    which = "" if wanted is None else f"`{wanted}` "
    return UserError(f"{path}: no id column {which}among {listed_names(names)}; {advice}")
