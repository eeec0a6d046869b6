"""One explicit random generator per purpose, all derived from the run's seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

# Imported where it is used: preparing data needs seeds, and no PyTorch.
if TYPE_CHECKING:
    import torch

# Random numbers of one mask stage, beside its negatives.
MASK_PURPOSES = ("initial values", "order", "gate noise")
# Models whose initial values have a generator of their own.
_OWN_VALUES = frozenset({"PaInvRL", "InvRL", "UltraGCN", "VBPR", "MMGCN", "MMSSL"})
# Models that draw their negatives themselves, from a generator of their own.
OWN_NEGATIVES = frozenset({"PaInvRL", "InvRL", "UltraGCN", "MMSSL"})
_STAGED = frozenset({"PaInvRL", "InvRL"})


def run_seeds(seed: int, split_seed: int, model: str, outer_rounds: int = 1) -> dict[str, int]:
    """The seed of every purpose of a run, as ``result.json`` records them.

    Args:
        seed: the run's seed; it seeds RecBole's own generators itself (torch's global one, numpy's
            global one and the loader's), so that its models have the numbers of RecBole.
        split_seed: seed of the split.
        model: name of the model.
        outer_rounds: rounds of environments and mask (PaInvRL, InvRL).
    """

    def own(purpose: str) -> int:
        return derive_seed(seed, purpose)

    seeds = {
        "run": seed,
        "split": split_seed,
        "initial values": own("initial values") if model in _OWN_VALUES else seed,
        "shuffling": own("batches") if model == "MMSSL" else seed,
        "negatives": own("negatives") if model in OWN_NEGATIVES else seed,
        "evaluation": own("evaluation"),
    }
    if model == "MMSSL":
        parts = (f"discriminator {part}" for part in ("columns", "initial values", "noise"))
        seeds |= {name: own(name) for name in ("dropout", *parts)}
    if model in _STAGED:
        seeds["final initial values"] = own("final initial values")
        for number in range(1, outer_rounds + 1):
            names = (f"mask {number} {purpose}" for purpose in (*MASK_PURPOSES, "negatives"))
            seeds |= {name: own(name) for name in (f"environments {number}", *names)}
    return seeds


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
    """The global generators of PyTorch and numpy start a purpose of their own inside.

    Afterwards they go on where they were. For code of RecBole, which knows no other generators.

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
