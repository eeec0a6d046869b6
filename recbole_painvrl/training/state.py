"""Everything that an interrupted run needs to go on as if nothing had happened, without pickle."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
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


class ModelAttributes:
    """What some of RecBole's models count or collect in plain attributes while they train.

    Examples are MultiVAE's number of steps and DiffRec's losses per diffusion step. Caches of
    propagated tables (``restore_...``) and private attributes are made anew and left out.

    Args:
        model: as it was built; what has not changed since is not kept.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._initial = {
            name: (value, value._version if isinstance(value, Tensor) else None)
            for name, value in self._all()
        }

    def changed(self) -> tuple[Tensors, State]:
        """Tensors and numbers that differ from the model as it was built."""
        found = [(name, value) for name, value in self._all() if self._has_changed(name, value)]
        tensors = {n: v for n, v in found if isinstance(v, Tensor)}
        return tensors, {n: v for n, v in found if n not in tensors}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Inverse of :meth:`changed`.

        Raises:
            ValueError: the model has no such attribute, or another kind of it.
        """
        places = {name for name, _ in self._all()}
        places |= {name for name, value in vars(self._model).items() if value is None}
        for name, value in {**tensors, **numbers}.items():
            if name not in places or not isinstance(value, Tensor | int | float):
                raise ValueError(f"the model keeps nothing in `{name}`")
            setattr(self._model, name, value)

    def _has_changed(self, name: str, value: Any) -> bool:
        if name not in self._initial:
            return True
        first, version = self._initial[name]
        if isinstance(value, Tensor):
            return value is not first or value._version != version
        return bool(value != first)

    def _all(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self._model).items():
            if name.startswith(("_", "restore_")) or name == "training":
                continue
            dense = isinstance(value, Tensor) and value.layout == torch.strided
            if dense or type(value) in (int, float):
                yield name, value


def further_optimizers(trainer: Any) -> dict[str, torch.optim.Optimizer]:
    """Optimisers that RecBole's trainers have beside ``optimizer`` (RecVAE's), by attribute."""
    return {
        name: value
        for name, value in vars(trainer).items()
        if isinstance(value, torch.optim.Optimizer) and name != "optimizer"
    }


def part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """The tensors under a prefix, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
