"""Facts about the interactions of environments: popularity, degree, columns of the dataset."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.data.atomic_files import read_columns, read_header
from recbole_painvrl.data.folder import dataset_hash
from recbole_painvrl.report.read import RunData

ENVIRONMENT = "environment"
_POPULAR, _PURE = 0.1, 0.9
# A column with more different words is text, not a set of genres.
_MIN_WORDS, _MAX_WORDS = 2, 64
_TIME = "timestamp"


@dataclass
class SideInformation:
    """Columns of the dataset, aligned to the training interactions.

    Attributes:
        numbers: column -> a value per interaction, ``[n]``, NaN if unknown.
        words: column -> text of every interaction's item, ``[n]``, empty if unknown.
        missing: sentences that say what is missing and why.
    """

    numbers: dict[str, pd.Series] = field(default_factory=dict)
    words: dict[str, pd.Series] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def interactions(run: RunData) -> pd.DataFrame:
    """The training interactions of a run with environments, ``[n, 6]``.

    Returns:
        Columns ``environment``, ``user_id`` and ``item_id``; ``popularity``, the interactions of
        the item; ``degree``, those of the user; ``popular``, whether the item is in the most
        popular tenth.
    """
    names = (ENVIRONMENT, "user_id", "item_id")
    frame = pd.DataFrame({name: run.environments[name] for name in names})
    frame["popularity"] = frame.groupby("item_id")["item_id"].transform("size")
    frame["degree"] = frame.groupby("user_id")["user_id"].transform("size")
    ranked = frame.groupby("item_id").size().sort_values(ascending=False, kind="stable").index
    frame["popular"] = frame["item_id"].isin(ranked[: max(1, round(_POPULAR * len(ranked)))])
    return frame


def one_environment_users(frame: pd.DataFrame) -> float:
    """Fraction of the users with at least 90 % of their interactions in one environment."""
    counts = frame.groupby(["user_id", ENVIRONMENT]).size().groupby("user_id")
    return float((counts.max() >= _PURE * counts.sum()).mean())


def word_fractions(labels: pd.Series, texts: pd.Series, most: int = 6) -> pd.DataFrame:
    """Words (such as genres) whose fraction differs most between environments.

    Args:
        labels: environment of every interaction, ``[n]``.
        texts: words of its item, ``[n]``.
        most: how many words.

    Returns:
        Fraction of the interactions by word and environment, largest difference first.
    """
    # A word that an item repeats counts once.
    words = texts.map(lambda text: sorted(set(text.split()))).explode().dropna()
    counts = pd.crosstab(words, labels.loc[words.index].to_numpy())
    sizes = labels.value_counts().sort_index()
    fractions = counts.reindex(columns=sizes.index, fill_value=0) / sizes
    gaps = fractions.max(axis=1) - fractions.min(axis=1)
    return fractions.loc[gaps.sort_values(ascending=False, kind="stable").index[:most]]


def side_information(run: RunData) -> SideInformation:
    """Read time, genres and the like for the interactions of ``environments.npz``.

    Args:
        run: a complete run with environments.
    """
    found = SideInformation()
    folder, name = Path(str(run.value("data_path") or ".")), run.done.dataset
    if not (folder / f"{name}.inter").is_file():
        found.missing.append("the dataset's folder has been moved, so time, genres and years "
                             "are not known")  # fmt: skip
        return found
    if dataset_hash(folder) != run.done.hashes.get("data"):
        found.missing.append("the dataset's files have changed since the run, so they are not read")
        return found
    form = (str(run.value("field_separator") or "\t"), str(run.value("encoding") or "utf-8"))
    ids = pd.DataFrame({key: run.environments[key].astype(str) for key in ("user_id", "item_id")})
    _add_time(found, _text_table(folder / f"{name}.inter", *form), ids)
    if (folder / f"{name}.item").is_file():
        _add_items(found, _text_table(folder / f"{name}.item", *form), ids["item_id"])
    else:
        found.missing.append("the dataset has no item table, so genres and years are not known")
    return found


def _text_table(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    """All columns of an atomic file as text."""
    names = read_header(path, (), separator, encoding)
    return read_columns(path, dict.fromkeys(names, "token"), names, separator, encoding).fillna("")


def _add_time(found: SideInformation, table: pd.DataFrame, ids: pd.DataFrame) -> None:
    if not {"user_id", "item_id", _TIME} <= set(table):
        found.missing.append("the dataset has no timestamps")
        return
    keys: list[Hashable] = ["user_id", "item_id"]
    joined = ids.merge(table.drop_duplicates(keys), how="left", on=keys)
    found.numbers[_TIME] = _as_numbers(joined[_TIME])


def _add_items(found: SideInformation, table: pd.DataFrame, items: pd.Series) -> None:
    if "item_id" not in table:
        return
    table = table.drop_duplicates("item_id").set_index("item_id")
    for name, values in table.items():
        of_interactions = items.map(values)
        if _as_numbers(values).notna().mean() > 0.5:
            found.numbers[str(name)] = _as_numbers(of_interactions)
        elif _MIN_WORDS <= len({w for text in values for w in text.split()}) <= _MAX_WORDS:
            found.words[str(name)] = of_interactions.fillna("")
    if not found.words:
        found.missing.append("the item table has no column of genres (few different words)")


def _as_numbers(values: pd.Series) -> pd.Series:
    """Numbers; NaN for text and non-finite values."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))
