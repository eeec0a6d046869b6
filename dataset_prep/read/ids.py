"""Where a feature file has its item ids, and which of its columns are labels, not features."""

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
_ROW_NAMES = frozenset(_ROW_WORDS.split())
# `key` and `i` may well be features (of music, or the ninth of columns a, b, c...).
_LABELS = frozenset(["id", "ids", "index", "idx", "row", "rowid", "remapid", "orgid"]) | (
    ALIASES["item"] - {"i"}
)
# A row of a headless table rarely counts so far: its values would be 0, 1, 2.
_FEW_COLUMNS = 3
_SHOWN = 8
WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, kw_only=True)
class IdSource:
    """Where the ids of a feature file are: in a column, a file, or the row number.

    Attributes:
        column: name of the id column; None for the usual names.
        file: file with one id per row of matrices without ids.
        first_row: the first row's item, where row numbers are the ids; None where they are not.
        first_column: whether the first column of a table with a header holds the ids.
        encoding: of text files.
        advice: what to do where the ids meet no interaction.
        rated: items of the interactions, where they are known.
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
    """A feature file that is being read: its modality, its place, and where its rows are spooled.

    ``ids`` says where its ids are, and ``report`` is told of its faults.
    """

    name: str
    path: Path
    target: Path
    ids: IdSource
    report: Report

    def spooled(self, vectors: Iterable[tuple[Any, Any]]) -> tuple[RowMatrix, list[Any]]:
        """The matrix of pairs of an id and its vector, and the id of each row."""
        with VectorSpool(self.target, self.path) as spool:
            for token, vector in vectors:
                spool.add(token, vector)
            return spool.finish(self.report), spool.tokens


# The matrix of a file and the id of each row; None where something else must name the rows.
Found = tuple[RowMatrix, list[Any] | None]


def find_id(names: Sequence[str], wanted: str | None = None) -> str | None:
    """The ``wanted`` column and no other; without one, the first usual name of an id."""
    if wanted is not None:
        return wanted if wanted in names else None
    items = [name for name in names if simple(name) in ALIASES["item"]]
    others = [name for known in _ID_NAMES for name in names if simple(name) == known]
    return next(iter([*sorted(items, key=lambda name: simple(name) == "i"), *others]), None)


def id_or_first(
    path: Path, names: Sequence[str], wanted: str | None = None, advice: str | None = None
) -> str:
    """The id column of a table of texts: as :func:`find_id` has it, else the first column."""
    # In texts, `key` and `index` say less than the first place.
    usual = [name for name in names if name == wanted or simple(name) not in ("key", "index")]
    found = find_id(usual, wanted)
    if found is None and wanted is None and not is_index(names[0]):
        return names[0]
    if found is None:
        raise no_id_column(path, names, wanted, advice)
    return found


def is_index(name: str) -> bool:
    """Whether a column is called as pandas calls the row numbers that it writes."""
    return not name.strip() or simple(name).startswith("unnamed")


def is_row_name(name: str) -> bool:
    """Whether a column beside ids is called as one that numbers the rows of a matrix."""
    return is_index(name) or simple(name) in _ROW_NAMES


def is_item_name(name: str) -> bool:
    """Whether a column is called as one of item ids."""
    return simple(name) in ALIASES["item"] or simple(name) in _ID_NAMES


def is_sure_id(name: str) -> bool:
    """Whether the name of a column says more than ``id`` or ``index`` about what it holds."""
    return simple(name) in ALIASES["item"] - {"i"}


def refuse_other_ids(
    path: Path, chosen: str, others: Mapping[str, list[Any]], rated: Collection[str]
) -> None:
    """Raise :class:`UserError` where another column holds items of the interactions alone."""
    for name, values in others.items():
        tokens = set(as_tokens(values))
        if len(tokens) == len(values) and tokens.issubset(rated):
            raise UserError(
                f"{path}: column `{name}` may hold the ids as well as `{chosen}`, since all its "
                "values are items of the interactions; name the right one item_id in a header, or "
                "by `--feature-id-column`"
            )


def row_order(tokens: Sequence[str]) -> list[int] | None:
    """Row of each entry where the entries are 0 to n - 1, or 1 to n, in any order."""
    if not tokens or not all(map(WHOLE.fullmatch, tokens)):
        return None
    numbers = [int(token) for token in tokens]
    low = min(numbers)
    if low > 1 or sorted(numbers) != list(range(low, low + len(numbers))):
        return None
    return [number - low for number in numbers]


def nearly_rows(tokens: Sequence[str]) -> bool:
    """Whether most entries could be row numbers, although some are missing or there twice."""
    numbers = {int(token) for token in tokens if WHOLE.fullmatch(token)}
    return 2 * sum(number <= len(tokens) for number in numbers) > len(tokens)


def refuse_better_ids(
    path: Path, chosen: str, tokens: Mapping[str, Sequence[str]], rated: Collection[str]
) -> None:
    """Raise :class:`UserError` where another column meets far more items than the chosen one."""
    met = {name: len(set(rated).intersection(values)) for name, values in tokens.items()}
    best = max(met, key=lambda name: met[name])
    # Small numbers of any kind meet some items by chance.
    if met[best] > met[chosen] * (1 if is_item_name(best) else 2):
        raise UserError(
            f"{path}: column `{best}` holds {met[best]} items of the interactions, `{chosen}` only "
            f"{met[chosen]}; say which holds the ids with `--feature-id-column`"
        )


def numbered_header(rows: Sequence[Sequence[str]], without_ids: bool = False) -> bool:
    """Whether the first row names columns by numbers, as in ``item_id,0,1,2`` or ``,0,1,2``.

    Args:
        rows: the first rows of a table.
        without_ids: whether a file of ids, whose number is compared, names the rows below.
    """
    first = [cell.strip() for cell in rows[0]]
    places = [place for place, cell in enumerate(first) if cell.isdigit()]
    labels = [cell for cell in first if not cell.isdigit()]
    numbers = [int(first[place]) for place in places]
    if not numbers or len(set(first)) < len(first) or any(map(_is_value, labels)):
        return False
    if any(is_label(label) and label for label in labels):
        return True
    counted = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] < 2
    if "" in labels:
        return counted
    # Without a known name, the rows below decide: they hold fractions, the first row does not.
    places = places if labels or without_ids else places[1:]
    below = [[row[place] for row in rows[1:] if place < len(row)] for place in places]
    fractions = all(any(_is_value(cell) for cell in cells) for cells in below)
    enough = without_ids or len(places) >= _FEW_COLUMNS
    return counted and ((fractions and enough) or (bool(labels) and len(places) > _FEW_COLUMNS))


def _is_value(cell: str) -> bool:
    """Whether a cell holds a number that is no whole one."""
    return bool(cell.strip()) and is_number(cell) and not cell.strip().lstrip("-").isdigit()


def is_label(name: str) -> bool:
    """Whether a column names or numbers the rows, so that it is no feature."""
    return is_index(name) or simple(name) in _LABELS


def listed_names(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first few names."""
    return ", ".join(name or "(no name)" for name in names[:most])


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
