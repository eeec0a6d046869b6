"""Uniform negatives: per positive or one shared pool, never the padding item."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

# A user who has (almost) every item would be drawn again for ever; what is left then stays.
_MOST_REDRAWS = 100
# Two odd multipliers (of splitmix64) that spread keys over the filter of PairSet.
_SPREAD = (-7046029254386353131, -4658895280553007687)
# Places of the filter per key; more places, fewer searches.
_PLACES_PER_KEY = 8

NegativeSampling = Literal["shared", "per_positive"]


class PairSet:
    """The training positives as a set that answers for many pairs at once, exactly.

    A search in the sorted keys takes most of a microsecond. Almost all pairs drawn at random
    are not in the set, and a hashed filter says so at once; only the others are searched.

    Args:
        keys: sorted, distinct ``user * n_items + item``, ``[n]``.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._bits = max(10, (_PLACES_PER_KEY * len(keys)).bit_length())
        self._filter = torch.zeros(1 << self._bits, dtype=torch.uint8, device=keys.device)
        if len(keys):
            first, second = (self._places(keys, number) for number in (0, 1))
            marked = self._filter.clone()
            self._filter[first] = 1
            marked[second] = 2
            self._filter |= marked

    def contained(self, keys: Tensor) -> Tensor:
        """Which positions of ``keys [n]`` hold a key of the set: their numbers, ascending."""
        if not len(self.keys):
            return torch.zeros(0, dtype=torch.long, device=keys.device)
        likely = (self._filter.index_select(0, self._places(keys, 0)) & 1).nonzero().squeeze(-1)
        rest = keys.index_select(0, likely)
        again = (self._filter.index_select(0, self._places(rest, 1)) & 2).nonzero().squeeze(-1)
        likely, rest = likely.index_select(0, again), rest.index_select(0, again)
        found = torch.searchsorted(self.keys, rest).clamp(max=len(self.keys) - 1)
        return likely[self.keys.index_select(0, found) == rest]

    def _places(self, keys: Tensor, number: int) -> Tensor:
        """The highest bits of a product that wraps around 64 bits."""
        return (keys * _SPREAD[number] >> (64 - self._bits)) & ((1 << self._bits) - 1)


@dataclass
class NegativeSampler:
    """Draws negatives uniformly from items 1..n_items-1, with repetition.

    Attributes:
        n_items: number of items, padding included.
        n_negatives: draws per positive, or the size of the shared pool.
        mode: ``per_positive`` is the public codes' draw; ``shared`` scores every positive
            against one pool (same expectation for each positive, correlated inside the batch).
        generator: source of the draws, on the device of the run.
        positive_keys: sorted ``user * n_items + item`` of the training positives where these
            must be avoided (``per_positive`` only), else None.
    """

    n_items: int
    n_negatives: int
    mode: NegativeSampling
    generator: torch.Generator
    positive_keys: Tensor | None = None
    _known: PairSet | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.positive_keys is not None and self.mode == "per_positive":
            self._known = PairSet(self.positive_keys)

    def draw(self, users: Tensor) -> Tensor:
        """Negatives for a batch of users ``[B]``: ``[B, N]``, or ``[P]`` if shared."""
        shape = (self.n_negatives,) if self.mode == "shared" else (len(users), self.n_negatives)
        negatives = self._uniform(shape)
        if self._known is None:
            return negatives
        return self._redraw_positives(users, negatives, self._known)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(
            1, self.n_items, shape, generator=self.generator, device=self.generator.device
        )

    def _redraw_positives(self, users: Tensor, negatives: Tensor, known: PairSet) -> Tensor:
        flat = negatives.view(-1)
        offsets = users * self.n_items
        pending = known.contained((offsets[:, None] + negatives).view(-1))
        for _ in range(_MOST_REDRAWS):
            if not len(pending):
                break
            redrawn = self._uniform((len(pending),))
            flat[pending] = redrawn
            owners = torch.div(pending, negatives.shape[1], rounding_mode="floor")
            pending = pending[known.contained(offsets[owners] + redrawn)]
        return negatives


def sorted_keys(users: Tensor, items: Tensor, n_items: int) -> Tensor:
    """Sorted ``user * n_items + item`` keys of the training positives."""
    keys: Tensor = torch.unique(users.long() * n_items + items.long())
    return keys
