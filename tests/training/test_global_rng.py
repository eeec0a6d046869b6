"""The state of the global generators, as a checkpoint keeps it."""

from __future__ import annotations

import json
import random

import numpy as np
import torch

from recbole_painvrl.training.checkpoint import pack, unpack
from recbole_painvrl.training.state import global_rng, restore_global_rng


def draws() -> list[float]:
    """Normal numbers are drawn in pairs, of which one is kept."""
    normal = [random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))]
    return [*normal, random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_every_generator_goes_on_where_it_was() -> None:
    before = global_rng()
    try:
        draws()
        tensors, plain = pack(global_rng())
        plain = json.loads(json.dumps(plain))
        kept = {name: tensor.clone() for name, tensor in tensors.items()}
        expected = draws() + draws()
        draws()
        restore_global_rng(unpack(kept, plain))
        assert draws() + draws() == expected
    finally:
        restore_global_rng(before)
