"""Random batches of interaction indices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """All indices 0..n-1 once, in random order, in batches."""
    yield from torch.randperm(n, generator=generator).split(batch_size)
