"""Random batches of interaction numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every number 0..n-1 once, in random order; ``[batch_size]`` each, the last may be less."""
    yield from torch.randperm(n, generator=generator).split(batch_size)
