"""The state of the global generators, as a checkpoint keeps it."""

from __future__ import annotations

import json
import random
from typing import NoReturn

import numpy as np
import pytest
import torch

from recbole_painvrl.training.checkpoint import pack, unpack
from recbole_painvrl.training.stage_log import peak_memory_mb, reset_peak_memory
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


def test_a_run_on_the_cpu_leaves_the_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking them would initialise them, which takes memory of theirs, or fails."""

    def initialise(*_: object) -> NoReturn:
        raise AssertionError("CUDA is initialised")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", initialise)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", initialise)
    assert global_rng()["cuda"] == []
    reset_peak_memory()
    assert peak_memory_mb() > 0


def test_a_run_goes_on_with_fewer_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    before, restored = global_rng(), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.extend)
    restore_global_rng(before | {"cuda": [torch.zeros(1), torch.ones(1)]})
    assert restored == [torch.zeros(1)]
