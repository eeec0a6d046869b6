"""What the benchmarks share: run folders, measured processes, timings and Markdown tables.

Importing it needs the standard library only: ``stacks --install-only`` runs before anything is
installed, and ``reliability.runs.warm_up`` changes settings of PyTorch before its import.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Settings of a run that depend on where it is written and read, or that show its progress.
_OF_A_FOLDER = {"data_path", "output_dir", "run_name", "show_progress"}
# Further settings on which no figure depends, or that the machine decides.
_WITHOUT_EFFECT = {"checkpoint_dir", "gpu_id", "state", "memory_check", "profile", "resume"}
Result = dict[str, Any]


class NotRunError(Exception):
    """A run has no result, and starting it is not allowed."""


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """A parser that prints the docstring of the benchmark unchanged."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=formatter)


def finished_run(folder: Path, settings: Sequence[str], may_run: bool = True) -> Result:
    """Result of a run; runs or resumes it if the folder holds no result.

    ``settings`` are arguments of run_recbole.py without output folder and run name.

    Raises :class:`NotRunError` if there is no result and ``may_run`` is false, SystemExit if the
    run failed or the folder holds a run with other settings.
    """
    result = folder / "result.json"
    if (folder / "config.yaml").is_file():
        check_settings(folder, settings)
    if not result.is_file():
        if not may_run:
            raise NotRunError(folder.name)
        if (folder / "checkpoint" / "last.safetensors").is_file():
            arguments = [f"--resume={folder}"]
        else:
            arguments = [*settings, f"--output_dir={folder.parent}", f"--run_name={folder.name}"]
        command = [sys.executable, "run_recbole.py", *arguments, "--show_progress=False"]
        if run_process(command, quiet=True).code:
            raise SystemExit(f"error: {folder.name}: the run failed, its message is above")
    read: Result = json.loads(result.read_text(encoding="utf-8"))
    return read


def check_settings(folder: Path, settings: Sequence[str]) -> None:
    """Raise SystemExit, naming the first difference, if the run in a folder has other settings.

    Defaults count as well: they may have changed since the run was made.
    """
    import yaml

    from recbole_painvrl.config import config_from_arguments

    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    present = config_from_arguments(settings).effective()
    given = {name for name, entry in present.items() if entry["from"] == "command line"}
    names = (stored.keys() & present.keys()) | given
    for name in sorted(names - _OF_A_FOLDER - _WITHOUT_EFFECT):
        before, now = stored.get(name, {"value": None, "from": ""}), present[name]["value"]
        derived = before["from"] in ("derived by RecBole", "set by the run")
        if before["value"] != now and not derived:
            raise SystemExit(
                f"{folder}: was run with {name}={before['value']}, now it is {now}; delete the "
                "folder, choose another --output, or run the version that it was made with"
            )


@dataclass(frozen=True)
class Process:
    """Exit code, wall-clock and processor seconds, and peak memory in GB of a process."""

    code: int
    seconds: float
    processor_seconds: float
    peak_gb: float


def run_process(command: Sequence[str], quiet: bool = False, cwd: Path | None = None) -> Process:
    """Run a command and measure it; if ``quiet``, its stdout is discarded."""
    print("+", " ".join(command[1:]), file=sys.stderr, flush=True)
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stdout = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    # Otherwise Popen would wait for the process again.
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    peak = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return Process(process.returncode, seconds, usage.ru_utime + usage.ru_stime, peak)


def alternately(steps: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of every step, measured in turns so that other load affects all alike.

    Each step is called once before as a warm-up.
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
    """Lines about processor, threads, versions and load."""
    import torch

    processor = platform.processor() or "unknown"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    load = os.getloadavg()[0]
    return [
        f"processor: {processor}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used",
        f"system: {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}",
        f"load at the start: {load:.1f}{' (busy)' if load > 1.5 else ''}",
    ]


def slug(name: str) -> str:
    """A name as part of a folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def replaced(settings: Sequence[str], own: Sequence[str]) -> list[str]:
    """Settings ``--name=value``, with those of ``own`` in place of others of the same name."""
    names = {word.partition("=")[0] for word in own}
    return [*(word for word in settings if word.partition("=")[0] not in names), *own]


def spread(values: Sequence[Any]) -> str:
    """Mean and standard deviation over the seeds; for a single seed, only its value."""
    if len(values) < 2:
        return f"{values[0]:.4f}" if values else ""
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines of a Markdown table, each as soon as its row is there."""
    for cells in chain([columns, ["---"] * len(columns)], rows):
        yield f"| {' | '.join(map(str, cells))} |"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    return "\n".join(table_lines(columns, rows))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, each row as soon as it is there."""
    for line in table_lines(columns, rows):
        print(line, flush=True)
