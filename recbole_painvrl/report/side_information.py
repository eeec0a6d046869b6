"""What a dataset's files know about its items and interactions: time, genres, years."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.data.atomic_files import read_columns, read_header
from recbole_painvrl.data.folder import dataset_hash
from recbole_painvrl.report.read import RunData
from recbole_painvrl.run.folder import Array

FloatArray = npt.NDArray[np.float64]
# A column with more different words than this is text, not a set of genres.
_MOST_WORDS = 64
_FEW_WORDS = 2
_TIME = "timestamp"


@dataclass
class SideInformation:
    """Columns of the dataset, aligned to the training interactions.

    Attributes:
        numbers: column to one value per interaction, ``[n]``, NaN where unknown.
        words: column to the words of every interaction's item, ``[n]``.
        missing: why something is absent, in sentences.
    """

    numbers: dict[str, FloatArray] = field(default_factory=dict)
    words: dict[str, list[frozenset[str]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def side_information(run: RunData) -> SideInformation:
    """Read time, genres and the like for the interactions of ``environments.npz``.

    Args:
        run: a complete run with environments.
    """
    found = SideInformation()
    folder = Path(str(run.value("data_path") or "."))
    name = run.done.dataset
    if not (folder / f"{name}.inter").is_file():
        found.missing.append("the dataset's folder is not where the run found it, so nothing is "
                             "known about time, genres or years")  # fmt: skip
        return found
    if dataset_hash(folder) != run.done.hashes.get("data"):
        found.missing.append("the dataset's files have changed since the run, so they are not read")
        return found
    users, items = (run.environments[key] for key in ("user_id", "item_id"))
    form = (str(run.value("field_separator") or "\t"), str(run.value("encoding") or "utf-8"))
    _add_time(found, _text_table(folder / f"{name}.inter", *form), users, items)
    if (folder / f"{name}.item").is_file():
        _add_items(found, _text_table(folder / f"{name}.item", *form), items)
    else:
        found.missing.append("the dataset has no item table, so genres and years are not known")
    return found


def _text_table(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    """All columns of an atomic file as text."""
    names = read_header(path, (), separator, encoding)
    return read_columns(path, dict.fromkeys(names, "token"), names, separator, encoding).fillna("")


def _add_time(found: SideInformation, table: pd.DataFrame, users: Array, items: Array) -> None:
    if not {"user_id", "item_id", _TIME} <= set(table):
        found.missing.append("the dataset has no timestamps")
        return
    table = table[["user_id", "item_id", _TIME]].drop_duplicates(["user_id", "item_id"])
    wanted = pd.DataFrame({"user_id": users.astype(str), "item_id": items.astype(str)})
    joined = wanted.merge(table, how="left", on=["user_id", "item_id"])
    found.numbers[_TIME] = _as_numbers(joined[_TIME])


def _add_items(found: SideInformation, table: pd.DataFrame, items: Array) -> None:
    if "item_id" not in table:
        return
    table = table.drop_duplicates("item_id").set_index("item_id")
    for name in table.columns:
        values = table[name]
        numbers = _as_numbers(values)
        if np.isfinite(numbers).mean() > 0.5:
            found.numbers[name] = _as_numbers(pd.Series(items.astype(str)).map(values))
            continue
        vocabulary = {word for text in values for word in text.split()}
        if _FEW_WORDS <= len(vocabulary) <= _MOST_WORDS:
            by_item = {item: frozenset(text.split()) for item, text in values.items()}
            found.words[name] = [by_item.get(item, frozenset()) for item in items.astype(str)]
    if not found.words:
        found.missing.append("the item table has no column of genres (few different words)")


def _as_numbers(values: pd.Series) -> FloatArray:
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
