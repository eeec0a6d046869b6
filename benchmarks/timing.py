"""Alternating measurements, and the facts of the machine that they were taken on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

# Of the matrices whose product gives the machine's rate.
SGEMM_SIZES = (768, 1536, 2304)


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


def sgemm_rate() -> float:
    """Floating-point operations per second of a large product in float32, at the best size."""

    def rate(size: int) -> float:
        first, second = torch.randn(size, size), torch.randn(size, size)
        return 2 * size**3 / best(lambda: first @ second)

    return max(rate(size) for size in SGEMM_SIZES)


def gather_rate(n_rows: int, width: int, n_drawn: int) -> float:
    """Bytes per second of ``index_select`` at random rows of a float32 table."""
    table = torch.randn(n_rows, width)
    rows = torch.randint(0, n_rows, (n_drawn,))
    return 4 * width * n_drawn / best(lambda: table.index_select(0, rows))


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
