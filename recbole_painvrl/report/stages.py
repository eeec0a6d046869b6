"""Time, memory and figures of every stage of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_NOT_IN_LINE = ("name", "seconds", "peak_memory_mb", "history")


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MiB (and of the GPU, if larger)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mebibytes = peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
    if torch.cuda.is_available():
        mebibytes = max(mebibytes, torch.cuda.max_memory_allocated() / 2**20)
    return round(mebibytes, 1)


class StageLog:
    """The ``stages`` list of ``result.json``."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        # Of the processes before this one, where the run was interrupted.
        self.earlier_peak_mb = 0.0

    def peak_memory_mb(self) -> float:
        """Largest memory of the run so far, whichever process needed it."""
        return max(self.earlier_peak_mb, peak_memory_mb())

    @contextmanager
    def measure(self, name: str, spent: float = 0.0) -> Iterator[dict[str, Any]]:
        """Add an entry with the seconds (``spent`` earlier included) and memory of the block."""
        entry: dict[str, Any] = {"name": name}
        start = time.perf_counter() - spent
        yield entry
        entry["seconds"] = round(time.perf_counter() - start, 3)
        entry["peak_memory_mb"] = self.peak_memory_mb()
        self.entries.append(entry)

    def line(self, name: str) -> str:
        """One line of figures of the newest stage of that name."""
        entry = next(e for e in reversed(self.entries) if e["name"] == name)
        figures = [
            f"{key} {_short(value)}"
            for key, value in entry.items()
            if key not in _NOT_IN_LINE and value not in (None, [], {})
        ]
        return f"{name}: {', '.join(figures)} ({entry['seconds']:.1f} s)"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "[" + " ".join(_short(item) for item in value) + "]"
    return str(value)
