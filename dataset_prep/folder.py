"""A written dataset folder read back without RecBole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset_prep.read.text_tables import Layout, chunks, sniff
from dataset_prep.report import Report
from dataset_prep.tokens import TokenIndex
from recbole_painvrl.errors import UserError

_AGAIN = "prepare it again"
_ORDER = ("train", "valid", "test", "iid", "ood_valid", "ood")


def dataset_folder(given: Path) -> Path:
    """The folder under its own name, which ``.`` and ``..`` hide.

    Raises:
        UserError: no such folder.
    """
    if not given.is_dir() and given.name == "ml-100k":
        raise UserError(
            f"{given}: no such folder; ml-100k comes inside RecBole and needs none, so give "
            "another dataset folder"
        )
    if not given.is_dir():
        raise UserError(f"{given}: no such folder; give a dataset folder")
    return given if given.name and given.name != ".." else given.resolve()


def atomic_layout(path: Path) -> Layout:
    """Layout of a tab-separated file of RecBole.

    Raises:
        UserError: unreadable, empty, or not UTF-8.
    """
    return sniff(path, separator="\t", advice=_AGAIN)


@dataclass
class FolderTable:
    """An .inter file as numbers that all tables of one reader share.

    Attributes:
        users: number of each row's user, -1 where the id is missing, ``[n]``.
        items: number of each row's item, -1 where the id is missing, ``[n]``.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_missing(self) -> int:
        """Rows without a user or item id."""
        return int(((self.users < 0) | (self.items < 0)).sum())

    def pairs(self) -> npt.NDArray[np.int64]:
        """One number per distinct (user, item) pair, ascending."""
        keys: npt.NDArray[np.int64] = (self.users.astype(np.int64) << 32) + self.items
        return np.asarray(np.unique(keys))


class FolderReader:
    """Reads the tables of one dataset folder in pieces, with one numbering of users and items."""

    def __init__(self) -> None:
        self._users, self._items = TokenIndex(), TokenIndex()

    def read(self, path: Path) -> FolderTable:
        """Users and items of an .inter file.

        Raises:
            UserError: missing, unreadable, cut, empty, or without the two columns.
        """
        if not path.is_file():
            raise UserError(f"{path}: missing; the folder and its main table share a name")
        layout = atomic_layout(path)
        columns = {name.partition(":")[0]: name for name in layout.names}
        if not layout.has_header or not {"user_id", "item_id"} <= set(columns):
            raise UserError(
                f"{path}: its first line is {', '.join(layout.names)[:80]}, without user_id and "
                "item_id; prepare it again"
            )
        report = Report()
        users, items = [], []
        wanted = [columns["user_id"], columns["item_id"]]
        for frame in chunks(layout, wanted, report):
            users.append(self._users.encode(frame[wanted[0]]))
            items.append(self._items.encode(frame[wanted[1]]))
        if report.faults:
            raise UserError(f"{path}: {report.faults[0].what}; {_AGAIN}")
        if not sum(map(len, users)):
            raise UserError(f"{path}: has no row; {_AGAIN}")
        return FolderTable(np.concatenate(users), np.concatenate(items))

    def user_tokens(self) -> list[str]:
        """Id of each user number."""
        return self._users.listed()

    def item_tokens(self) -> list[str]:
        """Id of each item number."""
        return self._items.listed()


def split_files(folder: Path) -> dict[str, Path]:
    """Split -> its file, training first."""
    found = {
        path.name[len(folder.name) + 1 : -len(".inter")]: path
        for path in folder.glob(f"{folder.name}.*.inter")
    }
    known = {part: found.pop(part) for part in _ORDER if part in found}
    return known | dict(sorted(found.items()))


def read_titles(folder: Path) -> dict[str, str]:
    """Title of each item, where the .item file has one."""
    path = folder / f"{folder.name}.item"
    if not path.is_file():
        return {}
    layout = atomic_layout(path)
    columns = {name.partition(":")[0]: name for name in layout.names}
    title = next((name for key, name in columns.items() if "title" in key), None)
    if title is None or "item_id" not in columns:
        return {}
    titles: dict[str, str] = {}
    for frame in chunks(layout, [columns["item_id"], title], Report()):
        titles.update(zip(frame[columns["item_id"]], frame[title], strict=True))
    return titles
