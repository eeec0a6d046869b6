"""Checks of the machine, and of the imports of PyTorch, RecBole and the plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recbole_painvrl.run.cgroups import cgroup_memory

_GIB = 2**30
# Importing PyTorch and RecBole alone takes about half of it.
_LEAST_MEMORY = 1.0
_LEAST_DISK, _LITTLE_DISK = 0.5, 5.0
# Run in a separate process, since a library may crash it.
_PROBE = """
import json
def say(**values): print(json.dumps(values), flush=True)
import torch
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
say(PyTorch=f"{torch.__version__} imports; threads: {torch.get_num_threads()}", gpus=gpus)
import recbole
say(RecBole=f"{recbole.__version__} imports")
import recbole_painvrl
from recbole_painvrl.config.lookup import model_names
from recbole_painvrl.specs import specs
say(plugin=f"imports; {len(model_names())} models, of which its own: {', '.join(specs())}")
"""
_STEPS = {"PyTorch": "PyTorch", "RecBole": "RecBole", "plugin": "the plugin"}
_SECONDS = 180


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        level: ``ok``, ``note`` (a run works, but see the advice) or ``FAIL``.
        text: what was found.
        advice: what to do; may be empty.
    """

    level: Literal["ok", "note", "FAIL"]
    text: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"\n        {self.advice}" if self.advice else ""
        return f"  {self.level:<4}  {self.text}{advice}"


Check = Callable[[], Sequence[Finding]]


def isolated(name: str, check: Check) -> list[Finding]:
    """The findings of a check; an exception in it becomes a finding."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001
        text = " ".join(str(error).split())
        return [Finding("FAIL", f"{name} could not be checked: {type(error).__name__}: {text}")]


def check_imports(probe: str = _PROBE) -> list[Finding]:
    """Import PyTorch, RecBole and the plugin in a separate process and report the outcome."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", probe],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={**os.environ, "PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired as late:
        return [_too_slow(late.stdout or b"")]
    said: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            said.update(json.loads(line))
    found: list[Finding] = []
    for step, name in _STEPS.items():
        if step not in said:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            if done.returncode < 0:
                reason = f"the process was ended by signal {-done.returncode}"
            advice = f"fix what is marked FAIL above; if nothing is, install {name} again"
            return [*found, Finding("FAIL", f"{name} cannot be imported: {reason}", advice)]
        found.append(Finding("ok", f"{name} {said[step]}"))
    return [*found, _gpu(said["gpus"])]


def _too_slow(output: str | bytes) -> Finding:
    """The finding of imports that did not end in time; ``output``: what they had printed."""
    said = output if isinstance(output, str) else output.decode(errors="replace")
    waiting = (name for step, name in _STEPS.items() if f'"{step}"' not in said)
    text = f"{next(waiting, 'the plugin')} was not imported within {_SECONDS} s"
    advice = (
        "the first import after an installation, on a busy machine or a network disk is slow: "
        "run doctor again"
    )
    return Finding("FAIL", text, advice)


def check_cores() -> list[Finding]:
    """Check the CPU cores and the limit of threads."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    found = [Finding("ok", f"{cores} CPU cores{f', OMP_NUM_THREADS={limit}' if limit else ''}")]
    if limit.isdigit() and int(limit) > cores:
        text = f"OMP_NUM_THREADS={limit} is more than the {cores} cores: every step gets slower"
        found.append(Finding("note", text, f"type: export OMP_NUM_THREADS={cores}"))
    return found


def check_memory() -> list[Finding]:
    """Check the free memory."""
    free = free_memory()
    text = f"{free / _GIB:.1f} GiB of memory free"
    if free < _LEAST_MEMORY * _GIB:
        return [Finding("FAIL", f"{text}: a run needs more", "end other programs")]
    return [Finding("ok", text)]


def free_memory() -> int:
    """Free bytes of the machine, or of the container or job if that has less."""
    import psutil

    return min([int(psutil.virtual_memory().available), *cgroup_memory()])


def check_disk(output: Path) -> list[Finding]:
    """Check free space and permissions of the output folder and of the temporary folder."""
    folders = {"run folders": output, "temporary files": Path(tempfile.gettempdir())}
    return [_folder(what, folder) for what, folder in folders.items()]


def _gpu(names: list[str]) -> Finding:
    if names:
        return Finding("ok", f"GPU: {', '.join(names)}")
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        text = "there is an NVIDIA GPU, but PyTorch does not see it"
        return Finding("note", text, "install the CUDA build of PyTorch, or its driver")
    return Finding("ok", "no GPU: runs use the CPU")


def _folder(what: str, folder: Path) -> Finding:
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        text = f"{existing}: cannot be written ({error.strerror}), for {what}"
        return Finding("FAIL", text, "choose another folder by `--output_dir` (TMPDIR), or chmod")
    free = shutil.disk_usage(existing).free / _GIB
    text = f"{existing}: writable, {free:.1f} GiB free, for {what}"
    if free < _LEAST_DISK:
        return Finding("FAIL", text, "delete what is not needed any more")
    return Finding("note" if free < _LITTLE_DISK else "ok", text)
