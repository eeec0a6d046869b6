"""Alternating measurements, and the facts of the machine that they were taken on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


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
