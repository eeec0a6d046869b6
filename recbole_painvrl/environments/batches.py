"""Random batches of interactions with their negatives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def epoch_draws(
    n: int,
    batch_size: int,
    n_items: int,
    n_negatives: int,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows ``[B]`` and shared negatives ``[N]`` of every batch, moved to the device at once.

    Args:
        n: interactions; every one is in one batch.
        batch_size: B; the last batch may be smaller.
        n_items: with padding, which is never drawn.
        n_negatives: N.
        generator: of the order and the negatives, on the CPU.
        device: of the tensors returned.
    """
    rows = torch.randperm(n, generator=generator).to(device).split(batch_size)
    negatives = torch.randint(1, n_items, (len(rows), n_negatives), generator=generator)
    return zip(rows, negatives.to(device), strict=True)
