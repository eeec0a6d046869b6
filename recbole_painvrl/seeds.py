"""One explicit random generator per purpose, all derived from the run's seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

# Imported where it is used: preparing data needs seeds, and no PyTorch.
if TYPE_CHECKING:
    import torch

# Random numbers of one mask stage, beside its negatives.
MASK_PURPOSES = ("initial values", "order", "gate noise")
# Random numbers of the test behind the form of the mask.
FORM_PURPOSES = ("form order", "form negatives")


def run_seeds(
    seed: int,
    split_seed: int,
    own_generators: frozenset[str] = frozenset(),
    purposes: Sequence[str] = (),
) -> dict[str, int]:
    """The seed of every purpose of a run, as ``result.json`` records them.

    Args:
        seed: the run's seed; it seeds RecBole's own generators itself (torch's global one, numpy's
            global one and the loader's), so that its models have the numbers of RecBole.
        split_seed: seed of the split.
        own_generators: which of ``initial values``, ``shuffling`` and ``negatives`` have a
            generator of their own.
        purposes: names of further purposes that have a generator of their own.
    """
    # Name in `result.json` -> purpose from which the seed is derived.
    names = {"initial values": "initial values", "shuffling": "batches", "negatives": "negatives"}
    common = {
        name: derive_seed(seed, purpose) if name in own_generators else seed
        for name, purpose in names.items()
    }
    return {
        "run": seed,
        "split": split_seed,
        **common,
        "evaluation": derive_seed(seed, "evaluation"),
        **{purpose: derive_seed(seed, purpose) for purpose in purposes},
    }


def derive_seed(seed: int, purpose: str) -> int:
    """Seed of a purpose (``"negatives"``, ``"gate noise"``...): the same pair, the same number."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator of a purpose; changing how often one purpose draws leaves the others alone."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, purpose))


@contextmanager
def separate_draws(seed: int, purpose: str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed the global generators of PyTorch and numpy for one purpose inside the block.

    Afterwards their earlier state is restored. For code of RecBole, which uses these alone.

    Args:
        seed: of the run.
        purpose: what the numbers are for.
        device: whose generator the code may use beside the CPU's.
    """
    import torch

    state = np.random.get_state()
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    derived = derive_seed(seed, purpose)
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived)
        np.random.seed(derived % 2**32)
        try:
            yield
        finally:
            np.random.set_state(state)
