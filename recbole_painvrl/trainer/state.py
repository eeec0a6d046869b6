"""Everything that an interrupted run needs to go on as if nothing had happened, without pickle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Tensors = dict[str, Tensor]
State = dict[str, Any]


def global_rng() -> tuple[Tensors, State]:
    """State of the global generators of Python, numpy and torch (RecBole draws from them)."""
    legacy: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, cached = legacy
    version, words, gauss = random.getstate()
    tensors = {"rng/torch": torch.get_rng_state(), "rng/numpy": torch.tensor(keys.astype(np.int64))}
    if torch.cuda.is_available():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"rng/cuda{number}"] = state
    return tensors, {
        "numpy": [kind, int(position), int(has_gauss), float(cached)],
        "python": [version, list(words), gauss],
    }


def restore_global_rng(tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Inverse of :func:`global_rng`."""
    torch.set_rng_state(tensors["rng/torch"].cpu())
    cuda = [tensors[name].cpu() for name in sorted(tensors) if name.startswith("rng/cuda")]
    if cuda and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(cuda)
    kind, position, has_gauss, cached = state["numpy"]
    keys = tensors["rng/numpy"].cpu().numpy().astype(np.uint32)
    np.random.set_state((kind, keys, position, has_gauss, cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, State]:
    """An optimiser's state with its tensors apart."""
    full = optimizer.state_dict()
    tensors: Tensors = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, entries in full["state"].items():
        plain[str(number)] = {}
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{name}"] = value
            else:
                plain[str(number)][name] = value
    return tensors, {"plain": plain, "param_groups": full["param_groups"]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Inverse of :func:`optimizer_state`; the optimiser must have the same parameters."""
    entries: dict[int, dict[str, Any]] = {int(n): dict(v) for n, v in state["plain"].items()}
    for key, tensor in tensors.items():
        if key.startswith("optimizer/"):
            _, number, name = key.split("/", 2)
            entries[int(number)][name] = tensor
    optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})


def part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """The tensors under a prefix, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
