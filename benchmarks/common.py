"""What several benchmarks share: run folders, measured processes and Markdown tables.

It does not import NumPy or PyTorch, whose threads would start before ``reliability.runs.warm_up``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
Result = dict[str, Any]


class NotRunError(Exception):
    """There is no result, and nothing may be run."""


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of the benchmark as it is."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=formatter)


def finished_run(folder: Path, settings: Sequence[str], may_run: bool = True) -> Result:
    """Result of a command of run_recbole.py; runs or resumes it if the folder holds no result.

    Args:
        folder: the run folder.
        settings: arguments of run_recbole.py, without output folder and run name.
        may_run: whether to run what is missing.

    Raises:
        NotRunError: there is no result yet and ``may_run`` is false.
        SystemExit: the run failed, or the folder holds a run with other settings.
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
    """Refuse a folder whose run was made with other settings than these.

    Raises:
        SystemExit: naming the first setting that differs.
    """
    from recbole_painvrl.config import parse_overrides

    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for name, wanted in parse_overrides(settings).items():
        found = stored[name]["value"]
        if name != "data_path" and found != wanted:
            raise SystemExit(
                f"{folder}: was run with {name}={found}, expected {wanted}; delete the folder or "
                "choose another --output"
            )


@dataclass(frozen=True)
class Process:
    """Exit code, wall-clock and processor seconds, and peak memory in GB of a process."""

    code: int
    seconds: float
    processor_seconds: float
    peak_gb: float


def run_process(command: Sequence[str], quiet: bool = False, cwd: Path | None = None) -> Process:
    """Run a command and measure it; its messages go to stderr as they come.

    Args:
        command: program and arguments.
        quiet: whether its stdout is dropped.
        cwd: where it starts; by default here.
    """
    print("+", " ".join(command[1:]), file=sys.stderr, flush=True)
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stdout = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    # Else Popen would wait for it once more.
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    peak = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return Process(process.returncode, seconds, usage.ru_utime + usage.ru_stime, peak)


def slug(name: str) -> str:
    """A name as part of a folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def spread(values: Sequence[Any]) -> str:
    """Mean and standard deviation over the seeds; of one seed the value alone, of none nothing."""
    if len(values) < 2:
        return f"{values[0]:.4f}" if values else ""
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*columns: str) -> str:
    """The first two lines of a Markdown table."""
    return f"{row(*columns)}\n{'|---' * len(columns)}|"
