"""A model's loss in float64 and with the same draws every time, as the laws of gradients need."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor


def as_double(model: Any) -> Any:
    """The model in float64, RecBole's plain tensor attributes too."""
    model.double()
    for name, value in vars(model).items():
        if isinstance(value, Tensor) and value.is_floating_point():
            setattr(model, name, value.double())
        elif hasattr(value, "item_factor"):
            setattr(model, name, _double_graph(value))
    return model


def _double_graph(graph: Any) -> Any:
    double = copy.copy(graph)
    for name, value in vars(graph).items():
        if value.is_floating_point():
            object.__setattr__(double, name, value.double())
    return double


def training_loss(model: Any, batch: Interaction, dtype: torch.dtype = torch.float32) -> Tensor:
    """The loss of a batch in training mode, the same draws every time."""
    model.train()
    with same_draws(model, dtype):
        value = model.calculate_loss(batch.to(model.device))
    return total_loss(value)


def total_loss(loss: Any) -> Tensor:
    """Some of RecBole's models return the terms of their loss."""
    return torch.stack(loss).sum() if isinstance(loss, tuple) else loss


@contextmanager
def same_draws(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Inside, every generator starts from where it was; afterwards it is put back there."""
    generators = [torch.default_generator, *_generators(model)]
    states = [generator.get_state() for generator in generators]
    # RecBole's regulariser adds into a tensor of the default type.
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators(model: Any) -> Iterator[torch.Generator]:
    owners = [model, *(value for value in vars(model).values() if hasattr(value, "generator"))]
    for owner in owners:
        for value in vars(owner).values():
            if isinstance(value, torch.Generator):
                yield value
