"""Uniform negatives: per positive or one shared pool, never the padding item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# A user who has (almost) every item would be drawn again for ever; what is left then stays.
_MOST_REDRAWS = 100

NegativeSampling = Literal["shared", "per_positive"]


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

    def draw(self, users: Tensor) -> Tensor:
        """Negatives for a batch of users ``[B]``: ``[B, N]``, or ``[P]`` if shared."""
        shape = (self.n_negatives,) if self.mode == "shared" else (len(users), self.n_negatives)
        negatives = self._uniform(shape)
        if self.positive_keys is None or self.mode == "shared":
            return negatives
        return self._redraw_positives(users, negatives)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(
            1, self.n_items, shape, generator=self.generator, device=self.generator.device
        )

    def _redraw_positives(self, users: Tensor, negatives: Tensor) -> Tensor:
        flat = negatives.view(-1)
        offsets = (users * self.n_items)[:, None].expand_as(negatives).reshape(-1)
        pending = torch.nonzero(self._is_positive(offsets + flat)).squeeze(-1)
        for _ in range(_MOST_REDRAWS):
            if not len(pending):
                break
            flat[pending] = self._uniform((len(pending),))
            pending = pending[self._is_positive(offsets[pending] + flat[pending])]
        return negatives

    def _is_positive(self, keys: Tensor) -> Tensor:
        assert self.positive_keys is not None
        found = torch.searchsorted(self.positive_keys, keys).clamp(max=len(self.positive_keys) - 1)
        known: Tensor = self.positive_keys[found] == keys
        return known


def sorted_keys(users: Tensor, items: Tensor, n_items: int) -> Tensor:
    """Sorted ``user * n_items + item`` keys of the training positives."""
    keys: Tensor = torch.unique(users.long() * n_items + items.long())
    return keys
