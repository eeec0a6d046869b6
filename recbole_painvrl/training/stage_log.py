"""Time, memory and figures of every stage of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

# Left out of the line in the log; ``result.json`` has all of them.
_NOT_IN_LINE = (
    *("name", "seconds", "peak_memory_mb", "history"),
    *("l_erm", "l_irm", "norm_erm", "norm_irm", "cosine", "stationarity", "mask_std"),
    *("mean_item_degree", "likelihoods", "reseeded", "two_groups"),
)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MiB (and of the GPU, if larger).

    Counted from :func:`reset_peak_memory` on, where that could be done.
    """
    mebibytes = _resident_peak()
    if torch.cuda.is_initialized():
        mebibytes = max(mebibytes, torch.cuda.max_memory_allocated() / 2**20)
    return round(mebibytes, 1)


def reset_peak_memory() -> None:
    """Count the largest memory afresh, where the system can: on Linux, and on the GPU."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _resident_peak() -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


class StageLog:
    """The ``stages`` list of ``result.json``."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        # Largest memory of the processes of this run before an interruption.
        self.earlier_peak_mb = 0.0
        # Largest memory of this process before the present stage.
        self._before_mb = 0.0

    def peak_memory_mb(self) -> float:
        """Largest memory of the run so far, whichever process and stage needed it."""
        return max(self.earlier_peak_mb, self._before_mb, peak_memory_mb())

    @contextmanager
    def measure(self, name: str, spent: float = 0.0) -> Iterator[dict[str, Any]]:
        """Add an entry with the seconds (``spent`` earlier included) and memory of the block.

        The memory of a stage that an earlier process began may be its peak in another stage.
        """
        entry: dict[str, Any] = {"name": name}
        self._before_mb = max(self._before_mb, peak_memory_mb())
        reset_peak_memory()
        start = time.perf_counter() - spent
        yield entry
        entry["seconds"] = round(time.perf_counter() - start, 3)
        entry["peak_memory_mb"] = max(peak_memory_mb(), self.earlier_peak_mb if spent else 0.0)
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
