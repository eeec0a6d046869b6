"""One explicit random generator per purpose, all derived from the run's seed."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, purpose: str) -> int:
    """Seed of a purpose (``"negatives"``, ``"gate noise"``...): the same pair, the same number."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator of a purpose; changing how often one purpose draws leaves the others alone."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, purpose))
