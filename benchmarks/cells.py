"""Runs commands into named run folders, goes on where one was interrupted, reads the results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recbole_painvrl.config import parse_overrides

Result = dict[str, Any]


class NotRunError(Exception):
    """There is no result, and nothing may be run."""


def cell(folder: Path, settings: Sequence[str], may_run: bool = True) -> Result:
    """Result of one command, run only if its folder holds none yet.

    Args:
        folder: the run folder.
        settings: arguments of run_recbole.py, without output folder and run name.
        may_run: whether to run what is missing.

    Raises:
        NotRunError: there is no result yet and ``may_run`` is false.
        SystemExit: the run failed, with its message on stderr, or the folder holds a run with
            other settings.
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
        print("+", " ".join(command[1:]), file=sys.stderr, flush=True)
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(f"error: {folder.name}: the run failed, its message is above")
    read: Result = json.loads(result.read_text(encoding="utf-8"))
    return read


def check_settings(folder: Path, settings: Sequence[str]) -> None:
    """Refuse a folder whose run was made with other settings than these.

    Raises:
        SystemExit: naming the first setting that differs.
    """
    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for name, wanted in parse_overrides(settings).items():
        found = stored[name]["value"]
        if name != "data_path" and found != wanted:
            raise SystemExit(
                f"{folder}: was run with {name}={found}, expected {wanted}; delete the folder or "
                "choose another --output"
            )


def best_epoch(result: Result) -> int:
    """Epoch that validation chose, of the last stage."""
    return int(result["stages"][-1]["best_epoch"])


def spread(values: list[Any]) -> str:
    """Mean and standard deviation over the seeds; of one seed the value alone."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
