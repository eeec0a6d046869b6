"""Alternating measurements, and the facts of the machine that they were taken on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_ATEN = torch.ops.aten
_PRODUCTS = frozenset({_ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm})
_ADAM = frozenset({_ATEN._fused_adam_})


def alternately(steps: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of every step, taken in turns so that all meet the same disturbances.

    Args:
        steps: name -> what to time; called once before, to warm up.
        repeats: rounds.
    """
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def best(step: Callable[[], object], repeats: int = 15) -> float:
    """Shortest of several runs, in seconds: what the machine can do."""
    step()
    found = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        found = min(found, time.perf_counter() - start)
    return found


def sgemm_rate(sizes: Sequence[int] = (768, 1536, 2304)) -> float:
    """Floating-point operations per second of a large product in float32, at the best size."""

    def rate(size: int) -> float:
        first, second = torch.randn(size, size), torch.randn(size, size)
        return 2 * size**3 / best(lambda: first @ second)

    return max(rate(size) for size in sizes)


def gather_rate(n_rows: int, width: int, n_drawn: int) -> float:
    """Bytes per second of ``index_select`` at random rows of a float32 table."""
    table = torch.randn(n_rows, width)
    rows = torch.randint(0, n_rows, (n_drawn,))
    return 4 * width * n_drawn / best(lambda: table.index_select(0, rows))


def copy_rate(n: int = 1 << 25) -> float:
    """Bytes per second, read and written, of copying a float32 tensor that no cache holds."""
    source, target = torch.randn(n), torch.empty(n)
    return 2 * 4 * n / best(lambda: target.copy_(source))


def seconds_in_products(step: Callable[[], object], repeats: int = 15) -> float:
    """Shortest of several runs' seconds in matrix products, forward and backward."""
    return _shortest(step, _PRODUCTS, repeats).seconds


def adam_rate(step: Callable[[], object], repeats: int = 15) -> tuple[float, float]:
    """Seconds of fused Adam in a call, and its bytes per second; 0 where there is none.

    Adam reads a float32 table, its gradient and both moments, and writes all but the gradient.
    """
    timer = _shortest(step, _ADAM, repeats)
    return timer.seconds, 7 * 4 * timer.elements / timer.seconds if timer.seconds else 0.0


def _shortest(step: Callable[[], object], operators: Set[object], repeats: int) -> _Timer:
    step()
    timers = [_Timer(operators) for _ in range(repeats)]
    for timer in timers:
        with timer:
            step()
    return min(timers, key=lambda timer: timer.seconds)


class _Timer(TorchDispatchMode):
    """Adds up the time of some operators on the calling thread and the CPU.

    Attributes:
        seconds: in all their calls.
        elements: of the lists of tensors that are their first arguments.
    """

    def __init__(self, operators: Set[object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operators = operators
        self.seconds, self.elements = 0.0, 0

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        start = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in self._operators:
            self.seconds += time.perf_counter() - start
            if isinstance(args[0], list):
                self.elements += sum(tensor.numel() for tensor in args[0])
        return result


def gemm_operations(step: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products in one call, as PyTorch counts them.

    Called once before: a first call may make what later ones keep.
    """
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def machine_facts() -> list[str]:
    """Lines about processor, threads, load and versions."""
    facts = [
        f"processor: {_processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads used",
        f"system: {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}",
    ]
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        facts.append(f"load when it began: {load:.1f}" + (" (busy)" if load > 1.5 else ""))
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
