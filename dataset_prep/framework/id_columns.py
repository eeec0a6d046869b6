"""Where a feature file has its item ids, and which of its columns are labels, not features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_prep.framework.report import CORRECT
from dataset_prep.framework.text_tables import ALIASES, simple
from recbole_painvrl.errors import UserError

_ID_NAMES = ("id", "ids", "key", "index")
# `key` and `i` may well be features (of music, or the ninth of columns a, b, c...).
_LABELS = frozenset(["id", "ids", "index"]) | ALIASES["item"] - {"i"}
_SHOWN = 8


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
    """

    column: str | None = None
    file: Path | None = None
    first_row: int | None = None
    first_column: bool = False
    encoding: str = "utf-8-sig"
    advice: str = CORRECT


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
    """The id column of a table of texts: as :func:`find_id` has it, else the first column.

    Raises:
        UserError: the ``wanted`` column is not there, or the first one numbers the rows.
    """
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
