"""Uniform negatives: for each positive or shared by a batch, never the padding item."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

# Limit of redraws for users who have almost every item; draws still positive are then kept.
_MAX_REDRAWS = 100
# A larger table of flags takes more memory, but leaves fewer keys to search for.
_FLAGS_PER_KEY = 8

NegativeSampling = Literal["shared", "per_positive"]


class PairSet:
    """A set of integer keys with exact, vectorized membership tests.

    Almost all random pairs are not in the set. A table of flags, indexed by the lowest bits of a
    key, rejects them ten times faster than a search in the sorted keys.

    Args:
        keys: sorted, distinct ``user * n_items + item``, ``[n]``.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._low_bits = (1 << (_FLAGS_PER_KEY * len(keys)).bit_length()) - 1
        self._flags = torch.zeros(self._low_bits + 1, dtype=torch.bool, device=keys.device)
        self._flags[keys & self._low_bits] = True

    def contained(self, keys: Tensor) -> Tensor:
        """Indices into ``keys [n]`` of those that are in the set, ascending."""
        likely = self._flags.index_select(0, keys & self._low_bits).nonzero().squeeze(-1)
        if not len(likely):
            return likely
        candidates = keys.index_select(0, likely)
        found = torch.searchsorted(self.keys, candidates).clamp(max=len(self.keys) - 1)
        return likely[self.keys.index_select(0, found) == candidates]


@dataclass
class NegativeSampler:
    """Draws negatives uniformly from items 1..n_items-1, with repetition.

    Attributes:
        n_items: number of items, padding included.
        n_negatives: draws per positive, or the number of shared negatives.
        mode: ``per_positive`` as in the released codes; ``shared`` scores every positive against
            the same negatives (same expectation for each positive, correlated inside the batch).
        generator: random generator, on the device of the run.
        positive_keys: sorted ``user * n_items + item`` of the training positives if these are
            to be avoided (``per_positive`` only), or None.
    """

    n_items: int
    n_negatives: int
    mode: NegativeSampling
    generator: torch.Generator
    positive_keys: Tensor | None = None
    _positives: PairSet | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.positive_keys is not None and self.mode == "per_positive":
            self._positives = PairSet(self.positive_keys)

    def draw(self, users: Tensor) -> Tensor:
        """Negatives for a batch of users ``[B]``: ``[B, N]``, or ``[N]`` if shared."""
        if self.mode == "shared":
            return self._uniform(self.n_negatives)
        negatives = self._uniform(len(users), self.n_negatives)
        if self._positives is None:
            return negatives
        flat, offsets = negatives.view(-1), users * self.n_items
        pending = self._positives.contained((offsets[:, None] + negatives).view(-1))
        for _ in range(_MAX_REDRAWS):
            if not len(pending):
                break
            redrawn = flat[pending] = self._uniform(len(pending))
            rows = torch.div(pending, self.n_negatives, rounding_mode="floor")
            pending = pending[self._positives.contained(offsets[rows] + redrawn)]
        return negatives

    def _uniform(self, *shape: int) -> Tensor:
        return torch.randint(
            1, self.n_items, shape, generator=self.generator, device=self.generator.device
        )


def sorted_keys(users: Tensor, items: Tensor, n_items: int) -> Tensor:
    """Sorted ``user * n_items + item`` keys of the training positives."""
    keys: Tensor = torch.unique(users.long() * n_items + items.long())
    return keys
