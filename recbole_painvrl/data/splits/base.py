"""Names of the splits, and functions that all protocols share."""

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
SPLITS = (TRAIN, VALID, TEST, OOD_VALID, OOD)
# Fractions: IID test, IID validation, and OOD validation of the OOD interactions.
_IID_TEST, _IID_VALID, _OOD_VALID = 0.1, 0.1, 0.2


@dataclass
class Split:
    """Rows of the interaction table by split.

    Attributes:
        rows: row indices of each split that the protocol has.
        diagnostics: statistics of the split (counts, shift, agreement...), JSON values only.
    """

    rows: dict[str, IntArray]
    diagnostics: dict[str, Any] = field(default_factory=dict)


def without_ood_validation(select_on: str, protocol: str) -> UserError:
    """The error for a ``select_on`` that needs OOD validation, which the protocol lacks."""
    return UserError(
        f"`select_on: {select_on}` needs an OOD validation split, which protocol `{protocol}` "
        "lacks here; set `select_on: iid` or another `protocol`"
    )


class LockedTestError(RuntimeError):
    """A test set was read before the final evaluation."""


class LockedTests:
    """Holds the test datasets, which cannot be read before :meth:`unlock`.

    Args:
        datasets: test name (``test``, ``ood``) to dataset.
    """

    def __init__(self, datasets: Mapping[str, Any]) -> None:
        self._datasets, self._open = dict(datasets), False

    @property
    def names(self) -> list[str]:
        """Names of the test sets, readable before :meth:`unlock`."""
        return list(self._datasets)

    def unlock(self) -> None:
        """Allow reading, after training and selection."""
        self._open = True

    def __getitem__(self, name: str) -> Any:
        if not self._open:
            raise LockedTestError(
                f"test set `{name}` was read before the final evaluation; "
                "selection may only read the validation splits"
            )
        return self._datasets[name]


def pair_keys(users: IntArray, items: IntArray) -> IntArray:
    """One integer per (user, item) pair."""
    return users * (int(items.max(initial=0)) + 1) + items


def check_splits(
    rows: Mapping[str, IntArray], users: IntArray, items: IntArray, folder: Path
) -> None:
    """Refuse splits from files with missing ids or common (user, item) pairs.

    Raises:
        UserError: naming the split or the two splits, and how many rows.
    """
    keys = pair_keys(users, items)
    for name, indices in rows.items():
        missing = int(((users[indices] == 0) | (items[indices] == 0)).sum())
        if missing:
            raise UserError(
                f"{folder}: {missing} rows of split `{name}` lack a user or an item; remove them"
            )
    for first, second in combinations(rows, 2):
        shared = len(np.intersect1d(keys[rows[first]], keys[rows[second]]))
        if shared:
            raise UserError(
                f"{folder}: {shared} (user, item) pairs are in split `{first}` and in split "
                f"`{second}`; remove them from one of the two files"
            )


def distinct_rows(users: IntArray, items: IntArray) -> IntArray:
    """First row of every distinct (user, item) pair, in table order."""
    return np.sort(np.unique(pair_keys(users, items), return_index=True)[1])


def hold_out(
    rows: IntArray, users: IntArray, items: IntArray, size: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Hold out ``size`` random rows, but keep one row of every user and every item.

    Returns:
        ``(kept, held out)``; fewer than ``size`` rows are held out if necessary.
    """
    order = rng.permutation(rows)
    anchor = np.zeros(len(order), dtype=bool)
    anchor[np.unique(users[order], return_index=True)[1]] = True
    anchor[np.unique(items[order], return_index=True)[1]] = True
    free = order[~anchor]
    return np.sort(np.concatenate([order[anchor], free[size:]])), np.sort(free[:size])


def split_iid_ood(
    iid: IntArray, ood: IntArray, users: IntArray, items: IntArray, rng: np.random.Generator
) -> dict[str, IntArray]:
    """All five splits: IID rows 8:1:1, OOD rows 2:8; every IID user and item keeps a training row.

    Args:
        iid: rows to train, validate and test on.
        ood: rows for OOD validation and OOD test.
        users: user of every row of the table.
        items: item of every row of the table.
        rng: random generator.
    """
    train, test = hold_out(iid, users, items, round(_IID_TEST * len(iid)), rng)
    train, valid = hold_out(train, users, items, round(_IID_VALID * len(iid)), rng)
    order, size = rng.permutation(ood), round(_OOD_VALID * len(ood))
    return {
        TRAIN: train,
        VALID: valid,
        TEST: test,
        OOD_VALID: np.sort(order[:size]),
        OOD: np.sort(order[size:]),
    }


def drop_cold(split: Split, users: IntArray, items: IntArray) -> Split:
    """Drop rows of the other splits whose user or item has no training row, and count them."""
    train = split.rows[TRAIN]
    warm = np.isin(users, users[train]) & np.isin(items, items[train])
    cold = {name: int((~warm[rows]).sum()) for name, rows in split.rows.items() if name != TRAIN}
    rows = {name: rows if name == TRAIN else rows[warm[rows]] for name, rows in split.rows.items()}
    sizes = {name: len(indices) for name, indices in rows.items()}
    return Split(rows, {**split.diagnostics, "sizes": sizes, "cold_dropped": cold})
