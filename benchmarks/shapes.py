"""Random data of named shapes, in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.functional.graph import degree_factors, item_neighbours
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import GraphWeights


@dataclass(frozen=True)
class Shape:
    """Sizes of a dataset and of the steps on it.

    Attributes:
        n_users: without padding.
        n_items: without padding.
        columns: width of every modality.
        n_interactions: of the training part.
        n_environments: |E|.
        batch: positives per step and environment of the published codes.
        n_negatives: draws per positive of the published codes.
    """

    n_users: int
    n_items: int
    columns: tuple[int, ...]
    n_interactions: int
    n_environments: int = 10
    batch: int = 512
    n_negatives: int = 50

    @property
    def width(self) -> int:
        """All feature columns."""
        return sum(self.columns)

    def quick(self) -> Shape:
        """A hundredth of it, for trying out the script."""
        return replace(
            self,
            n_users=max(60, self.n_users // 100),
            n_items=max(60, self.n_items // 100),
            columns=tuple(max(2, width // 50) for width in self.columns),
            n_interactions=max(600, self.n_interactions // 500),
            n_environments=3,
            batch=32,
            n_negatives=10,
        )


SHAPES = {
    "movielens": Shape(55_485, 5_986, (2_048, 128, 100), 990_000),
    "tiktok": Shape(36_656, 76_085, (128, 128, 128), 564_000),
}


class RandomData:
    """What a model asks of a training dataset, with random content.

    Item popularity falls as one over the square root of the rank, so that the graph has popular
    items, as real ones have.

    Args:
        shape: sizes.
        seed: of everything random.
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.shape = shape
        rng = np.random.default_rng(seed)
        n = shape.n_interactions
        users = np.concatenate(
            [np.arange(shape.n_users), rng.integers(0, shape.n_users, max(0, n - shape.n_users))]
        )[:n]
        items = (rng.random(n) ** 2 * shape.n_items).astype(np.int64)
        keys = np.unique(users * shape.n_items + items)
        self.users = torch.from_numpy(keys // shape.n_items + 1)
        self.items = torch.from_numpy(keys % shape.n_items + 1)
        source = torch.Generator().manual_seed(seed)
        table = torch.nn.functional.normalize(
            torch.randn(shape.n_items + 1, shape.width, generator=source)
        )
        table[0] = 0
        bounds = np.cumsum([0, *shape.columns]).tolist()
        slices = {
            f"modality {number}": slice(first, last)
            for number, (first, last) in enumerate(pairwise(bounds))
        }
        self.features = SimpleNamespace(matrix=table, slices=slices)

    def num(self, field: str) -> int:
        """Users or items, with padding."""
        return 1 + (self.shape.n_users if field == "user_id" else self.shape.n_items)

    def inter_matrix(self, form: str = "csr", value_field: str | None = None) -> Any:
        """Training interactions, SciPy sparse."""
        data = np.ones(len(self.users), dtype=np.float32)
        where = (self.users.numpy(), self.items.numpy())
        shape = (self.num("user_id"), self.num("item_id"))
        return sp.coo_matrix((data, where), shape=shape).asformat(form)

    def graph(self, n_neighbours: int) -> GraphWeights:
        """Tables of Eq. 6 and 8."""
        matrix = self.inter_matrix()
        degrees = (torch.from_numpy(matrix.getnnz(axis=a).astype(np.int64)) for a in (1, 0))
        user_factor, item_factor = degree_factors(*degrees)
        return GraphWeights(
            user_factor, item_factor, *item_neighbours(matrix, n_neighbours, "paper")
        )

    def tables(self, n_neighbours: int, size: int = 64) -> FrozenTables:
        """A random backbone."""
        n_users, n_items = self.num("user_id"), self.num("item_id")
        return FrozenTables(
            0.1 * torch.randn(n_users, size),
            0.1 * torch.randn(n_users, size),
            0.1 * torch.randn(n_items, size),
            self.features.matrix,
            self.graph(n_neighbours),
        )

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Users and items of random interactions."""
        rows = torch.randint(0, len(self.users), (size,))
        return self.users[rows], self.items[rows]


def settings(model: str, *arguments: str) -> Any:
    """The configuration of a model with its defaults, on the CPU."""
    return config_from_arguments(
        [f"--model={model}", "--dataset=planted", "--use_gpu=False", *arguments]
    )
