"""Which users a process has, and which rows of a global order are theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

# Numbers of a table that are drawn at a time. PyTorch draws normal numbers in groups of 16.
_BLOCK, _GROUP = 2**20, 16


@dataclass(frozen=True)
class Sharding:
    """How the users of a model can be divided over processes: its class attribute ``sharding``.

    The scores must be products of a user's and an item's vector, and a user's vector a look-up.

    Attributes:
        user_tables: parameters that have a row per user; all others are replicated.
        loss: whether the loss is a sum over the rows of a batch, or a mean (then with terms of the
            replicated parameters alone, and without random draws).
        needs: settings that it needs for this, with their value.
    """

    user_tables: tuple[str, ...]
    loss: Literal["sum", "mean"]
    needs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class UserShard:
    """The users ``first`` to ``last - 1`` of ``n_users`` (padding included), of one process."""

    first: int
    last: int
    n_users: int
    n_shards: int = 1

    @classmethod
    def whole(cls, n_users: int) -> UserShard:
        """All users."""
        return cls(0, n_users, n_users)

    @property
    def n_rows(self) -> int:
        """Rows of a table of these users."""
        return self.last - self.first

    @property
    def is_whole(self) -> bool:
        """Whether no other process has users; one of several may have all users, too."""
        return self.n_shards == 1

    def local(self, users: Tensor) -> Tensor:
        """Rows of users in the tables of this shard."""
        return users - self.first if self.first else users

    def has(self, users: Tensor) -> Tensor:
        """Which of the users are of this shard."""
        return (users >= self.first) & (users < self.last)

    def rows(self, table: Tensor) -> Tensor:
        """The rows of this shard if the table has all users; any other table as it is."""
        if self.is_whole or len(table) != self.n_users:
            return table
        return table[self.first : self.last].clone()

    def normal(self, width: int, source: torch.Generator) -> Tensor:
        """Rows ``[n, width]`` of a table of standard normal numbers; see :meth:`drawn`."""
        return self.drawn(lambda n: torch.randn(n, width, generator=source), width)

    def drawn(self, draw: Callable[[int], Tensor], width: int) -> Tensor:
        """Draw a table of all users row by row, and return the rows of this shard.

        Every process draws the whole table, in blocks, and keeps its rows: they do not depend on
        the number of processes.

        Args:
            draw: gives so many more rows.
            width: numbers of a row.
        """
        if self.is_whole:
            return draw(self.n_users)
        step = max(_GROUP, _BLOCK // max(1, width) // _GROUP * _GROUP)
        starts = [*range(0, self.n_users, step)]
        if len(starts) > 1 and (self.n_users - starts[-1]) * width < _GROUP:
            # Fewer numbers than a group are drawn in another way: they join the block before.
            starts.pop()
        kept = []
        for start, stop in zip(starts, [*starts[1:], self.n_users], strict=True):
            rows = draw(stop - start)
            first, last = max(self.first, start) - start, min(self.last, stop) - start
            kept.append(rows[first : max(first, last)].clone())
        return torch.cat(kept)


def user_tables(model: Any) -> tuple[str, ...]:
    """Names of the parameters of which a process has the rows of its users; none of one process."""
    shard: UserShard | None = getattr(model, "shard", None)
    if shard is None or shard.is_whole:
        return ()
    found = dict(model.named_parameters())
    # Without features there is no table of the users' content embeddings.
    return tuple(name for name in model.sharding.user_tables if name in found)


def balanced_shards(counts: Tensor, n_shards: int) -> list[UserShard]:
    """Consecutive blocks of users with about equally many interactions.

    Args:
        counts: interactions of every user, ``[n_users]``.
        n_shards: number of blocks, of which some may be empty.
    """
    total = torch.cumsum(counts.double(), 0)
    wanted = total[-1] * torch.arange(1, n_shards, dtype=torch.float64) / n_shards
    cuts = (torch.searchsorted(total, wanted) + 1).clamp(max=len(counts)).tolist()
    bounds = [0, *cuts, len(counts)]
    return [UserShard(*pair, len(counts), n_shards) for pair in pairwise(bounds)]


class OwnRows:
    """The rows of a table that a process has, found in any order of all rows.

    Args:
        owned: which of the ``n`` rows it has, on the CPU.

    Attributes:
        rows: numbers of its rows, ascending.
    """

    def __init__(self, owned: Tensor) -> None:
        self.rows = torch.nonzero(owned).squeeze(1)
        self._index = torch.full((len(owned),), -1, dtype=torch.int32)
        self._index[self.rows] = torch.arange(len(self.rows), dtype=torch.int32)

    def __len__(self) -> int:
        return len(self._index)

    def among(self, rows: Tensor) -> OwnRows:
        """The own rows of a table that has the given rows in this order; see :meth:`pick`."""
        part = OwnRows.__new__(OwnRows)
        part._index = self._index[rows]
        part.rows = torch.nonzero(part._index >= 0).squeeze(1)
        return part

    def pick(self, order: Tensor, step: int) -> tuple[Tensor, Tensor, list[int]]:
        """Own rows of every batch of an order.

        Args:
            order: row numbers, ``[m]``, on the CPU, cut into batches of ``step``.
            step: rows of a batch.

        Returns:
            Indices among the own rows, their positions in ``order``, and how many there are in each
            batch.
        """
        index = self._index[order]
        positions = torch.nonzero(index >= 0).squeeze(1)
        n_batches = -(-len(order) // step)
        counts = torch.bincount(positions // step, minlength=n_batches)
        return index[positions].long(), positions, counts.tolist()
