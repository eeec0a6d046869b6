"""The parts of a split and the rules that every learned or shifted split obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.errors import UserError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TRAIN, VALID, TEST, OOD_VALID, OOD = "train", "valid", "test", "ood_valid", "ood"
PARTS = (TRAIN, VALID, TEST, OOD_VALID, OOD)
# Part of the OOD interactions that model selection may read.
OOD_VALID_SHARE = 0.2
IID_VALID_SHARE = 0.1
IID_TEST_SHARE = 0.1


@dataclass
class Split:
    """Rows of the interaction table by part.

    Attributes:
        rows: row numbers of each part; a part that the protocol lacks is absent.
        diagnostics: what the protocol found (counts, shift, agreement...), JSON values only.
    """

    rows: dict[str, IntArray]
    diagnostics: dict[str, Any] = field(default_factory=dict)


def check_parts(
    rows: Mapping[str, IntArray], users: IntArray, items: IntArray, folder: Path
) -> None:
    """Refuse parts from files that hold missing ids or share a (user, item) pair.

    Raises:
        UserError: naming the part or the two parts, and how many rows.
    """
    keys = users * (int(items.max(initial=0)) + 1) + items
    for part, numbers in rows.items():
        missing = int(((users[numbers] == 0) | (items[numbers] == 0)).sum())
        if missing:
            raise UserError(
                f"{folder}: {missing} rows of part `{part}` lack a user or an item; remove them"
            )
    for first, second in combinations(rows, 2):
        shared = len(np.intersect1d(keys[rows[first]], keys[rows[second]]))
        if shared:
            raise UserError(
                f"{folder}: {shared} (user, item) pairs are in part `{first}` and in part "
                f"`{second}`; remove them from one of the two files"
            )


def distinct_rows(users: IntArray, items: IntArray) -> IntArray:
    """First row of every distinct (user, item) pair, in table order."""
    keys = users * (int(items.max(initial=0)) + 1) + items
    return np.sort(np.unique(keys, return_index=True)[1])


def hold_out(
    rows: IntArray, users: IntArray, items: IntArray, size: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Move ``size`` random rows out, but keep one row of every user and every item.

    Returns:
        ``(kept, held out)``; fewer than ``size`` are held out where the rule forbids more.
    """
    order = rng.permutation(rows)
    anchor = np.zeros(len(order), dtype=bool)
    anchor[np.unique(users[order], return_index=True)[1]] = True
    anchor[np.unique(items[order], return_index=True)[1]] = True
    free = order[~anchor]
    held = free[:size]
    return np.sort(np.concatenate([order[anchor], free[size:]])), np.sort(held)


def split_iid(
    rows: IntArray, users: IntArray, items: IntArray, rng: np.random.Generator
) -> dict[str, IntArray]:
    """Train, validation and IID test (8:1:1); every user and item keeps a training row."""
    train, test = hold_out(rows, users, items, round(IID_TEST_SHARE * len(rows)), rng)
    train, valid = hold_out(train, users, items, round(IID_VALID_SHARE * len(rows)), rng)
    return {TRAIN: train, VALID: valid, TEST: test}


def split_ood(rows: IntArray, rng: np.random.Generator) -> dict[str, IntArray]:
    """OOD validation and OOD test (2:8)."""
    order = rng.permutation(rows)
    size = round(OOD_VALID_SHARE * len(rows))
    return {OOD_VALID: np.sort(order[:size]), OOD: np.sort(order[size:])}


def drop_cold(split: Split, users: IntArray, items: IntArray) -> Split:
    """Take rows whose user or item has no training row out of the other parts, and count them."""
    train = split.rows[TRAIN]
    warm = np.isin(users, users[train]) & np.isin(items, items[train])
    cold = {part: int((~warm[rows]).sum()) for part, rows in split.rows.items() if part != TRAIN}
    rows = {part: rows if part == TRAIN else rows[warm[rows]] for part, rows in split.rows.items()}
    sizes = {part: len(numbers) for part, numbers in rows.items()}
    return Split(rows, {**split.diagnostics, "sizes": sizes, "cold_dropped": cold})
