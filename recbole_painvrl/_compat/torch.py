"""PyTorch loads its compiler for the first step of an optimizer, compiled or not."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

from recbole_painvrl._compat.wrapping import TAG

# Attribute in which `torch._compile` caches the wrapped method.
_REMEMBERED = "__dynamo_disable"


def step_without_compiler() -> None:
    """Let optimizers be made and step without importing ``torch._dynamo``, which takes a second.

    ``Optimizer`` imports it to keep some methods out of a compiled graph, and in ``step`` to break
    the graph. Where nothing is compiled both change nothing. For processes of our own commands
    alone. Unnecessary with a PyTorch that asks first whether the compiler is loaded.
    """
    if "torch._dynamo" in sys.modules:
        return
    optimizers = importlib.import_module("torch.optim")
    base = optimizers.Optimizer
    if hasattr(base, TAG):
        return
    setattr(base, TAG, True)
    for method in vars(base).values():
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and inner.__module__ == base.__module__:
            setattr(inner, _REMEMBERED, inner)
    for kind in vars(optimizers).values():
        is_optimizer = isinstance(kind, type) and issubclass(kind, base)
        step: Any = vars(kind).get("step") if is_optimizer else None
        # `hooked` marks a step that PyTorch wrapped once more for an optimizer; it is left alone.
        if hasattr(step, "__wrapped__") and not hasattr(step, "hooked"):
            kind.step = _without_gradients(step.__wrapped__)


def _without_gradients(step: Callable[..., Any]) -> Callable[..., Any]:
    """What PyTorch does around a step that is not itself differentiated."""
    no_grad = importlib.import_module("torch").no_grad

    @functools.wraps(step)
    def plain(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.defaults.get("differentiable"):
            return step(self, *arguments, **named)
        with no_grad():
            return step(self, *arguments, **named)

    return plain
