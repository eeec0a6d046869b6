"""How many CPU threads a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Below this many entries of the item table a step is too short for several threads: two are hardly
# faster on an idle machine, and several times slower on a busy one.
_SMALL = 2**21


def is_small(n_items: int, width: int) -> bool:
    """Whether data are so small that a run uses one thread unless the user sets ``n_threads``."""
    return n_items * width < _SMALL


def n_cpu_threads(n_threads: int | None, n_items: int, width: int) -> int:
    """Threads of a run: the user's choice, or one on small data and PyTorch's own choice otherwise.

    Args:
        n_threads: the user's choice, or None.
        n_items: items of the dataset.
        width: feature columns plus the width of the vectors of an item.
    """
    return n_threads or (1 if is_small(n_items, width) else torch.get_num_threads())


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
    torch.set_num_threads(n_cpu_threads(n_threads, n_items, width))
    try:
        yield
    finally:
        torch.set_num_threads(before)
