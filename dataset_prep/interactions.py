"""Interactions as small numbers, one entry per row, and the builder that reads them in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.report import Report
from dataset_prep.tokens import Codes, TokenIndex
from recbole_painvrl.errors import UserError

Mask = npt.NDArray[np.bool_]
Tokens = npt.NDArray[np.object_]
Floats = npt.NDArray[np.floating[Any]]

PARTS = ("train", "valid", "test")


@dataclass
class Interactions:
    """A table of interactions.

    Attributes:
        users: number of the user of each row, -1 where the id is missing, ``[n]``.
        items: number of the item of each row, ``[n]``.
        user_tokens: id of each user number.
        item_tokens: id of each item number.
        ratings: ``[n]``, or None.
        times: ``[n]`` int64, or float64 where there are fractions, or None.
        parts: index into ``part_names`` of each row, or None without fixed splits.
        part_names: names of the fixed splits.
        rating_name: what the source calls the ratings.
        words: rows whose id is a word that reads as missing, by this word.
        where: what was read, for messages.
    """

    users: Codes
    items: Codes
    user_tokens: Tokens
    item_tokens: Tokens
    ratings: Floats | None = None
    times: Floats | None = None
    parts: npt.NDArray[np.int8] | None = None
    part_names: tuple[str, ...] = ()
    rating_name: str = "rating"
    words: Mapping[str, int] = field(default_factory=dict)
    where: str = "interactions"

    def __len__(self) -> int:
        return len(self.users)

    def keep(self, mask: Mask) -> Interactions:
        """The rows where ``mask`` holds."""
        if mask.all():
            return self
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            ratings=None if self.ratings is None else self.ratings[mask],
            times=None if self.times is None else self.times[mask],
            parts=None if self.parts is None else self.parts[mask],
        )

    def keys(self) -> npt.NDArray[np.int64]:
        """One number per (user, item) pair."""
        return self.users.astype(np.int64) * len(self.item_tokens) + self.items

    def n_users(self) -> int:
        """Number of users with a row."""
        return self._distinct(self.users, self.user_tokens)

    def n_items(self) -> int:
        """Number of items with a row."""
        return self._distinct(self.items, self.item_tokens)

    @staticmethod
    def _distinct(codes: Codes, tokens: Tokens) -> int:
        seen = np.zeros(len(tokens) + 1, dtype=np.bool_)
        seen[codes] = True
        return int(seen[:-1].sum())

    def rated(self) -> Tokens:
        """Tokens of the items that have a row."""
        seen = np.zeros(len(self.item_tokens) + 1, dtype=np.bool_)
        seen[self.items] = True
        rated: Tokens = self.item_tokens[seen[:-1]]
        return rated

    def part(self, name: str) -> Mask:
        """Rows of one split."""
        if self.parts is None:
            raise KeyError(name)
        return np.asarray(self.parts == self.part_names.index(name), dtype=np.bool_)

    def frame(self) -> pd.DataFrame:
        """user_id, item_id (categories) and what else is known, for the dataset folder."""
        users, user_tokens = _compact(self.users, self.user_tokens)
        items, item_tokens = _compact(self.items, self.item_tokens)
        columns: dict[str, Any] = {
            "user_id": pd.Categorical.from_codes(users, pd.Index(user_tokens)),
            "item_id": pd.Categorical.from_codes(items, pd.Index(item_tokens)),
        }
        if self.ratings is not None:
            columns["rating"] = self.ratings
        if self.times is not None:
            columns["timestamp"] = self.times
        return pd.DataFrame(columns, copy=False)


def _compact(codes: Codes, tokens: Tokens) -> tuple[Codes, list[str]]:
    """Renumber so that every token has a row."""
    seen = np.zeros(len(tokens), dtype=np.bool_)
    seen[codes] = True
    numbers = (np.cumsum(seen) - 1).astype(np.int32)
    return numbers[codes], tokens[seen].tolist()


class InteractionBuilder:
    """Collects pieces of a table; ids become numbers at once, so that text never piles up.

    Attributes:
        rating_name: what the source calls the ratings.
    """

    def __init__(self) -> None:
        self.rating_name = "rating"
        self._users, self._items = TokenIndex(), TokenIndex()
        self._columns: dict[str, list[npt.NDArray[Any]]] = {
            name: [] for name in ("users", "items", "ratings", "times", "parts")
        }
        self._part_names: list[str] = []

    def add(
        self,
        users: npt.NDArray[Any] | pd.Series,
        items: npt.NDArray[Any] | pd.Series,
        ratings: npt.NDArray[Any] | None = None,
        times: npt.NDArray[Any] | None = None,
        part: str | None = None,
    ) -> None:
        """Append rows, all of one split; times are numbers or ``datetime64``."""
        self._columns["users"].append(self._users.encode(users))
        self._columns["items"].append(self._items.encode(items))
        if ratings is not None:
            self._columns["ratings"].append(np.asarray(ratings))
        if times is not None:
            self._columns["times"].append(np.asarray(times))
        if part is not None:
            if part not in self._part_names:
                self._part_names.append(part)
            number = self._part_names.index(part)
            self._columns["parts"].append(np.full(len(users), number, dtype=np.int8))

    def finish(self, where: str, report: Report | None = None) -> Interactions:
        """The whole table.

        Args:
            where: what was read, for messages.
            report: holds what became of the rows where none is left.

        Raises:
            UserError: no row, or a column that only some of the files have.
        """
        joined = {name: self._join(name, where) for name in list(self._columns)}
        users, items = joined["users"], joined["items"]
        if users is None or items is None or not len(users):
            lost = [fault.what for fault in report.faults] if report is not None else []
            lost += [str(repair["what"]) for repair in report.repairs] if report is not None else []
            if lost:
                raise UserError(f"{where}: no row could be read: {'; '.join(lost)}; correct them")
            raise UserError(f"{where}: holds no interaction; check the file or its columns")
        for name in ("ratings", "times", "parts"):
            column = joined[name]
            if column is not None and len(column) != len(users):
                raise UserError(
                    f"{where}: only {len(column)} of {len(users)} rows have {name}; give files "
                    "with the same columns"
                )
        return Interactions(
            users,
            items,
            self._users.tokens(where),
            self._items.tokens(where),
            joined["ratings"],
            joined["times"],
            joined["parts"],
            tuple(self._part_names),
            self.rating_name,
            self._users.words + self._items.words,
            where,
        )

    def _join(self, name: str, where: str) -> npt.NDArray[Any] | None:
        pieces = self._columns.pop(name)
        if not pieces:
            return None
        if name == "times":
            dates = [piece.dtype.kind == "M" for piece in pieces]
            if any(dates):
                if not all(dates):
                    raise UserError(
                        f"{where}: the times are dates in some rows and numbers in others; write "
                        "all of them in one way"
                    )
                return _since_1970(np.concatenate(pieces))
        return np.asarray(np.concatenate(pieces))


def _since_1970(instants: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Seconds, or nanoseconds where a 64-bit number of seconds would not tell them apart."""
    ticks = instants.astype("datetime64[ns]").astype(np.int64)
    seconds, rest = np.divmod(ticks, 1_000_000_000)
    if not rest.any():
        return np.asarray(seconds)
    micro, finer = np.divmod(rest, 1000)
    return ticks if finer.any() else np.asarray(seconds + micro / 1e6)
