"""Functions that stay in single precision where RecBole trains in mixed precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
_HALF = (torch.float16, torch.bfloat16)


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function have no autocast, and float32 in place of its arguments in half precision.

    For sparse products and for gradients in closed form, which have no half-precision version, and
    for what 8 bits are not enough for: means of losses, the order of similar items.
    """

    def cast(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.dtype in _HALF else value

    @functools.wraps(function)
    def single(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [*args, *kwargs.values()]
        device = next((one.device.type for one in given if isinstance(one, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            cast_args: Any = map(cast, args)
            cast_kwargs: Any = {name: cast(value) for name, value in kwargs.items()}
            return function(*cast_args, **cast_kwargs)

    return single
