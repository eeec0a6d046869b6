"""Reads dataset folders without RecBole, with the reader that runs use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.data.atomic_files import read_columns, read_header
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

# What a run reads.
SPLITS = ("train", "valid", "test", "iid", "ood_valid", "ood")


def dataset_folder(given: Path) -> Path:
    """The folder with its real name, also for ``.`` and ``..``."""
    if not given.is_dir() and given.name == "ml-100k":
        raise UserError(
            f"{given}: no such folder; ml-100k comes inside RecBole and needs none, so give "
            "another dataset folder"
        )
    if not given.is_dir():
        raise UserError(f"{given}: no such folder; give a dataset folder")
    return given if given.name and given.name != ".." else given.resolve()


def read_table(path: Path, required: tuple[str, ...] = ("user_id", "item_id")) -> pd.DataFrame:
    """The columns of a tab-separated atomic file, without types in their names."""
    if not path.is_file():
        raise UserError(f"{path}: missing; the folder and its main table share a name")
    types = read_header(path, required, "\t", "utf-8")
    return read_columns(path, types, types, "\t", "utf-8")


class Ids:
    """Maps the ids of the tables of one folder to indices, in order of appearance."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def encode(self, values: pd.Series) -> npt.NDArray[np.int64]:
        """Index of each id; -1 if it is missing."""
        known = values.where(~values.isin(MISSING_TOKENS)).to_numpy(dtype=object)
        codes, uniques = pd.factorize(known)
        numbers = [self.numbers.setdefault(str(u), len(self.numbers)) for u in uniques]
        found: npt.NDArray[np.int64] = np.asarray([*numbers, -1], dtype=np.int64)[codes]
        return found


def split_files(folder: Path) -> dict[str, Path]:
    """Split -> its file, training first."""
    found = {
        path.name[len(folder.name) + 1 : -len(".inter")]: path
        for path in folder.glob(f"{folder.name}.*.inter")
    }
    known = {part: found.pop(part) for part in SPLITS if part in found}
    return known | dict(sorted(found.items()))


def read_titles(folder: Path) -> dict[str, str]:
    """Title of each item; empty if there is no .item file with titles."""
    path = folder / f"{folder.name}.item"
    if not path.is_file():
        return {}
    table = read_table(path, ())
    title = next((name for name in table.columns if "title" in name), None)
    if title is None or "item_id" not in table:
        return {}
    return dict(zip(table["item_id"], table[title].fillna(""), strict=True))
