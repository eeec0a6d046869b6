"""How many CPU threads a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Entries of the item table below which a step is too short to share: two threads then gain
# little on an idle machine and lose several times over on a busy one.
_SMALL = 2**21


def is_small(n_items: int, width: int) -> bool:
    """Whether a run on such data takes one thread wherever it runs, unless the user says more."""
    return n_items * width < _SMALL


@contextmanager
def cpu_threads(n_threads: int | None, n_items: int, width: int) -> Iterator[None]:
    """Set PyTorch's threads for the duration of a run.

    Args:
        n_threads: the user's choice, or None for one thread on small data and PyTorch's own
            choice otherwise. It depends on the data alone, so that equal runs have equal numbers.
        n_items: items of the dataset.
        width: feature columns plus the width of the vectors of an item.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or (1 if is_small(n_items, width) else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
