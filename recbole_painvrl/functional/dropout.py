"""Dropout whose mask comes from a generator of its own, not from torch's global one."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, rate: float, source: torch.Generator) -> Tensor:
    """``x`` with entries zeroed at ``rate`` and the others divided by ``1 - rate``.

    Args:
        x: any shape.
        rate: fraction of the entries to zero, below 1.
        source: generator on the device of ``x``; left alone where ``rate`` is 0.
    """
    if rate == 0:
        return x
    mask = torch.empty_like(x).bernoulli_(1 - rate, generator=source)
    return x * mask.div_(1 - rate)
