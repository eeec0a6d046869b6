"""Planted data of any size, written in minutes: every block of users chooses from its own items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.data.folder import DatasetContent, Truth, write_dataset

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_FACTORS, _NOISE, _GAMMA, _MAJORITY = 8, 0.3, 2.0, 0.8
_USER_BLOCK, _ITEM_BLOCK = 1000, 8192
# Items that a block of users chooses from, per interaction of a user.
_CHOICE = 10
_SPLITS = ("train", "valid", "test", "ood_valid", "ood")


@dataclass(frozen=True)
class Size:
    """How large the data are; ``test_users`` of the users have validation and test rows."""

    users: int
    items: int
    per_user: int
    columns: int
    test_users: int
    seed: int = 0


class PlantedColumns:
    """Features of all items as a stream: half the columns show the content, half the style."""

    def __init__(self, contents: FloatArray, styles: FloatArray, columns: int, seed: int) -> None:
        self.shape, self.dtype = (len(contents), columns), np.dtype(np.float32)
        self._latent = np.concatenate([contents, styles], axis=1)
        rng = np.random.default_rng([seed, 1])
        self.invariant: npt.NDArray[np.bool_] = rng.permutation(columns) < columns // 2
        mixture = rng.standard_normal((2 * _FACTORS, columns)) / np.sqrt(_FACTORS)
        mixture[:_FACTORS, ~self.invariant] = 0
        mixture[_FACTORS:, self.invariant] = 0
        self._mixture, self._seed = mixture, seed

    def blocks(self) -> Iterator[FloatArray]:
        """Consecutive rows, a bounded piece at a time."""
        rng = np.random.default_rng([self._seed, 2])
        for start in range(0, self.shape[0], _ITEM_BLOCK):
            block = self._latent[start : start + _ITEM_BLOCK] @ self._mixture
            yield block + _NOISE * rng.standard_normal(block.shape)


def write_planted(size: Size, folder: Path) -> dict[str, int]:
    """Draw the data and write the dataset folder; returns its counts.

    The design is that of ``recbole_painvrl/data/planted.py`` with one difference: a user chooses
    from a sample of the items that a block of users shares, not from all of them.
    """
    rng = np.random.default_rng([size.seed, 0])
    tastes, personal = (rng.standard_normal((size.users, _FACTORS)) for _ in range(2))
    contents, styles = (rng.standard_normal((size.items, _FACTORS)) for _ in range(2))
    style_tastes = rng.standard_normal(_FACTORS) + 0.3 * personal
    users, items, environment, part = (
        np.concatenate(parts)
        for parts in zip(*_draws(size, tastes, style_tastes, contents, styles, rng), strict=True)
    )
    # An item that nobody chose would be unknown to a recommender.
    seen, items = np.unique(items, return_inverse=True)
    columns = PlantedColumns(contents[seen], styles[seen], size.columns, size.seed)
    frame = pd.DataFrame(
        {"user_id": _categories("u", users, size.users), "item_id": _categories("i", items)}
    )
    splits = {
        name: frame[part == number] for number, name in enumerate(_SPLITS) if (part == number).any()
    }
    names = frame["item_id"].cat.categories.tolist()
    truth = frame[part == 0].assign(environment=environment[part == 0].astype(str))
    counts = {"interactions": len(frame), "users": size.users, "items": len(seen)}
    content = DatasetContent(
        name=folder.name,
        edition="planted",
        source="synthetic data of benchmarks.load",
        licence="made by this program; no third-party data",
        interactions=frame,
        splits=splits,
        features={"content": (columns, names)},
        truth=Truth({"content": columns.invariant}, truth),
        default_protocol="files",
        counts=counts,
    )
    write_dataset(content, folder)
    return counts


def _draws(
    size: Size,
    tastes: FloatArray,
    style_tastes: FloatArray,
    contents: FloatArray,
    styles: FloatArray,
    rng: np.random.Generator,
) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
    """User, item, environment and part of the interactions of one block of users at a time."""
    order, scale = rng.permutation(size.items), np.sqrt(_FACTORS)
    n_major = round(_MAJORITY * size.per_user)
    n_blocks = -(-size.users // _USER_BLOCK)
    for number, start in enumerate(range(0, size.users, _USER_BLOCK)):
        rows = np.arange(start, min(start + _USER_BLOCK, size.users))
        # Together the blocks offer every item.
        own = np.array_split(order, n_blocks)[number]
        wanted = min(size.items, max(_CHOICE * size.per_user, len(own)))
        others = np.setdiff1d(rng.choice(size.items, wanted, replace=False), own)
        offered = np.concatenate([own, others[: max(0, wanted - len(own))]])
        liked = 2 * tastes[rows] @ contents[offered].T / scale
        style = _GAMMA * style_tastes[rows] @ styles[offered].T / scale
        major = _top(liked + style + rng.gumbel(size=liked.shape), n_major)
        scores = liked - style + rng.gumbel(size=liked.shape)
        np.put_along_axis(scores, major, -np.inf, axis=1)
        minor = _top(scores, size.per_user - n_major)
        part = np.zeros((len(rows), size.per_user), dtype=np.int64)
        test = rows < size.test_users
        tenth, twentieth = max(1, size.per_user // 10), max(1, size.per_user // 20)
        # Minority rows are the last ones; of both kinds the first tenths are held out.
        part[test, :tenth], part[test, tenth : 2 * tenth] = 1, 2
        part[test, n_major : n_major + twentieth] = 3
        part[test, n_major + twentieth : n_major + 3 * twentieth] = 4
        environment = np.broadcast_to(np.arange(size.per_user) >= n_major, part.shape)
        chosen = offered[np.concatenate([major, minor], axis=1)]
        yield (
            np.repeat(rows, size.per_user),
            chosen.ravel(),
            environment.astype(np.int64).ravel(),
            part.ravel(),
        )


def _top(scores: FloatArray, count: int) -> IntArray:
    """Columns of the ``count`` largest scores of each row, in random order."""
    best: IntArray = np.argpartition(scores, -count, axis=1)[:, -count:]
    return best


def _categories(prefix: str, numbers: Any, size: int | None = None) -> pd.Categorical[str]:
    """Ids as categories of strings, which large data can afford."""
    size = int(numbers.max()) + 1 if size is None else size
    return pd.Categorical.from_codes(
        numbers.astype(np.int32), pd.Index([f"{prefix}{number}" for number in range(size)])
    )
