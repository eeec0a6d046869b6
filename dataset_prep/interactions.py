"""Interactions with integer user and item indices, and the builder that collects them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.report import Report
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

Mask = npt.NDArray[np.bool_]
Tokens = npt.NDArray[np.object_]
Values: TypeAlias = npt.NDArray[Any] | pd.Series

PARTS = ("train", "valid", "test")
_FLOATING_ID = re.compile(r"-?\d+\.0+")
# As in 1.23457E+12, which a spreadsheet shows for a long id.
_ROUNDED_ID = re.compile(r"-?\d(?:\.\d+)?[eE]\+\d+")
_WHOLE_ID = re.compile(r"-?\d+(?:\.0+)?")


def clean_token(value: object) -> str:
    """Text of an id without surrounding blanks; empty if the id is missing."""
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return ""
        text = str(int(value)) if value == int(value) else repr(float(value))
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "replace").strip()
    else:
        text = "" if value is None else str(value).strip()
    return "" if text in MISSING_TOKENS else text


def as_tokens(values: Sequence[Any] | Values) -> list[str]:
    """Text of many ids; ``12.0`` becomes ``12`` if every id is a whole number."""
    listed = values.tolist() if isinstance(values, np.ndarray | pd.Series) else values
    if {list, np.ndarray} & set(map(type, listed)) and getattr(values, "ndim", 1) == 1:
        # A list is no id; its text matches no item, which is a fault.
        values = list(map(str, listed))
    codes, uniques = pd.factorize(np.asarray(values), use_na_sentinel=False)
    cleaned = _without_point([clean_token(value) for value in uniques])
    return [cleaned[code] for code in codes]


def _without_point(tokens: list[str]) -> list[str]:
    if all(_WHOLE_ID.fullmatch(token) for token in tokens if token):
        return [token.partition(".")[0] for token in tokens]
    return tokens


def refuse_rounded(values: Sequence[Any] | Values, where: Path) -> None:
    """Raise :class:`UserError` if ids are floating-point numbers too large to be exact."""
    if isinstance(values, np.ndarray | pd.Series) and values.dtype.kind != "O":
        if values.dtype.kind != "f":
            return
        limit = exact_below(values.dtype)
        found = np.asarray(values)
    else:
        limit = exact_below(np.dtype(np.float64))
        found = np.array([value for value in values if isinstance(value, float)], dtype=np.float64)
    found = found[np.isfinite(found) & (np.abs(found) >= limit)]
    if len(found):
        raise _rounded(where, clean_token(found[0]))


def exact_below(kind: np.dtype[Any]) -> float:
    """The first whole number that a type of floating point cannot tell from the next."""
    return float(2.0 ** (np.finfo(kind).nmant + 1))


def _rounded(where: Path | str, token: str) -> UserError:
    return UserError(
        f"{where}: id {token} is a rounded number, which may stand for several ids; store the ids "
        "as text or whole numbers"
    )


class TokenIndex:
    """Maps tokens to indices in order of appearance; ``words`` counts words for a missing id."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.words: Counter[str] = Counter()

    def encode(self, values: Values) -> npt.NDArray[np.int32]:
        """Index of each value, -1 if the id is missing."""
        codes, uniques = pd.factorize(np.asarray(values), use_na_sentinel=False)
        numbers = np.empty(len(uniques), dtype=np.int32)
        for index, value in enumerate(uniques.tolist()):
            token = clean_token(value)
            numbers[index] = self._numbers.setdefault(token, len(self._numbers)) if token else -1
            if not token and isinstance(value, str) and value.strip():
                self.words[value.strip()] += int((codes == index).sum())
        return np.asarray(numbers[codes])

    def tokens(self, where: str) -> Tokens:
        """Token of each index.

        Raises:
            UserError: an id is written in two ways, as 1 and 1.0, or has lost digits.
        """
        listed = list(self._numbers)
        spelled: dict[str, str] = {}
        for token in listed:
            if "+" in token and _ROUNDED_ID.fullmatch(token):
                raise _rounded(where, token)
            if "." in token and _FLOATING_ID.fullmatch(token):
                bare = token.partition(".")[0]
                other = bare if bare in self._numbers else spelled.setdefault(bare, token)
                if other != token:
                    raise UserError(
                        f"{where}: ids like {other} and {token} are both there; write whole numbers"
                    )
        return np.array(_without_point(listed), dtype=object)


@dataclass
class Interactions:
    """A table of interactions.

    ``rows`` has ``user`` and ``item`` (indices of tokens, -1 if the id is missing) and, if known,
    ``rating``, ``time`` (int64, or float64 with fractions) and ``part`` (index into ``part_names``,
    the fixed splits). ``words`` counts the rows by word for a missing id.
    """

    rows: pd.DataFrame
    user_tokens: Tokens
    item_tokens: Tokens
    part_names: tuple[str, ...] = ()
    rating_name: str = "rating"
    words: Mapping[str, int] = field(default_factory=dict)
    where: str = "interactions"

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> npt.NDArray[Any]:
        """The values of a column."""
        values: npt.NDArray[Any] = self.rows[name].to_numpy()
        return values

    def keep(self, mask: Mask) -> Interactions:
        """The rows selected by ``mask``."""
        return self if mask.all() else replace(self, rows=self.rows[mask])

    def _seen(self, name: str, tokens: Tokens) -> Tokens:
        seen = np.zeros(len(tokens) + 1, dtype=np.bool_)
        seen[self.column(name)] = True
        return np.asarray(tokens[seen[:-1]])

    def n_users(self) -> int:
        """Number of users with a row."""
        return len(self._seen("user", self.user_tokens))

    def n_items(self) -> int:
        """Number of items with a row."""
        return len(self.rated())

    def rated(self) -> Tokens:
        """Tokens of the items that have a row."""
        return self._seen("item", self.item_tokens)

    def part(self, name: str) -> Mask:
        """Rows of one split."""
        return np.asarray(self.column("part") == self.part_names.index(name), dtype=np.bool_)

    def frame(self) -> pd.DataFrame:
        """Columns user_id and item_id (categories), and rating and timestamp if known."""
        columns: dict[str, Any] = {}
        for role, tokens in (("user", self.user_tokens), ("item", self.item_tokens)):
            ids = pd.Categorical.from_codes(self.column(role), pd.Index(tokens.tolist()))
            columns[f"{role}_id"] = ids.remove_unused_categories()
        for role, name in (("rating", "rating"), ("time", "timestamp")):
            if role in self.rows:
                columns[name] = self.column(role)
        return pd.DataFrame(columns, copy=False)


class InteractionBuilder:
    """Collects pieces of a table; ids are stored as indices to save memory."""

    def __init__(self) -> None:
        self.rating_name = "rating"
        self._users, self._items = TokenIndex(), TokenIndex()
        self._columns: dict[str, list[npt.NDArray[Any]]] = {}
        self._part_names: list[str] = []

    def add(
        self,
        users: Values,
        items: Values,
        ratings: npt.NDArray[Any] | None = None,
        times: npt.NDArray[Any] | None = None,
        part: str | None = None,
    ) -> None:
        """Append rows, all of one split; times are numbers or ``datetime64``."""
        found: dict[str, npt.NDArray[Any] | None] = {
            "user": self._users.encode(users),
            "item": self._items.encode(items),
            "rating": ratings,
            "time": times,
        }
        if part is not None:
            if part not in self._part_names:
                self._part_names.append(part)
            found["part"] = np.full(len(users), self._part_names.index(part), dtype=np.int8)
        for name, values in found.items():
            if values is not None:
                self._columns.setdefault(name, []).append(np.asarray(values))

    def finish(self, where: str, report: Report) -> Interactions:
        """The whole table; ``where`` and the faults in ``report`` are for messages."""
        columns = {
            name: _times(pieces, where) if name == "time" else np.concatenate(pieces)
            for name, pieces in self._columns.items()
        }
        n_rows = len(columns.get("user", ()))
        if not n_rows:
            lost = [fault.what for fault in report.faults]
            lost += [str(repair["what"]) for repair in report.repairs]
            if lost:
                raise UserError(f"{where}: no row could be read: {'; '.join(lost)}; correct them")
            raise UserError(f"{where}: holds no interaction; check the file or its columns")
        for name, column in columns.items():
            if len(column) != n_rows:
                raise UserError(
                    f"{where}: only {len(column)} of {n_rows} rows have {name}s; give files with "
                    "the same columns"
                )
        return Interactions(
            pd.DataFrame(columns, copy=False),
            self._users.tokens(where),
            self._items.tokens(where),
            tuple(self._part_names),
            self.rating_name,
            self._users.words + self._items.words,
            where,
        )


def _times(pieces: list[npt.NDArray[Any]], where: str) -> npt.NDArray[Any]:
    """Numbers; dates become seconds, or nanoseconds if seconds as floats lose digits."""
    dates = [piece.dtype.kind == "M" for piece in pieces]
    if any(dates) and not all(dates):
        raise UserError(
            f"{where}: the times are dates in some rows and numbers in others; write all of them "
            "in one way"
        )
    times = np.concatenate(pieces)
    if not any(dates):
        return times
    ticks = times.astype("datetime64[ns]").astype(np.int64)
    seconds, rest = np.divmod(ticks, 1_000_000_000)
    micro, finer = np.divmod(rest, 1000)
    if finer.any():
        return ticks
    return np.asarray(seconds + micro / 1e6 if micro.any() else seconds)
