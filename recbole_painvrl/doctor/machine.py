"""Cores, memory and disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from recbole_painvrl.doctor.findings import Finding

_GIB = 2**30
# Importing PyTorch and RecBole alone takes about half of it.
_LEAST_MEMORY = 1.0
_LEAST_DISK, _LITTLE_DISK = 0.5, 5.0
_MEMORY_FILE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def check_cores() -> list[Finding]:
    """Cores that this process may use, and what limits the threads."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS")
    said = f", OMP_NUM_THREADS={limit}" if limit else ""
    found = [Finding("ok", f"{cores} CPU cores{said}")]
    if limit is not None and limit.isdigit() and int(limit) > cores:
        text = f"OMP_NUM_THREADS={limit} is more than the {cores} cores: every step gets slower"
        found.append(Finding("note", text, f"type: export OMP_NUM_THREADS={cores}"))
    return found


def check_memory() -> list[Finding]:
    """Memory that is free now."""
    free = free_memory()
    if free is None:
        return [Finding("note", "free memory is not known on this system")]
    text = f"{free / _GIB:.1f} GiB of memory free"
    if free < _LEAST_MEMORY * _GIB:
        return [Finding("FAIL", f"{text}: a run needs more", "end other programs")]
    return [Finding("ok", text)]


def free_memory() -> int | None:
    """Bytes that can still be taken: of the machine, or of the container if that is less."""
    if not _MEMORY_FILE.is_file():
        return None
    lines = _MEMORY_FILE.read_text(encoding="utf-8").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    limit, used = _number(_GROUP / "memory.max"), _number(_GROUP / "memory.current")
    if limit is not None and used is not None:
        free = min(free, limit - used)
    return max(free, 0)


def check_disk(output: Path) -> list[Finding]:
    """Free space and permission where runs are written, and in the temporary folder."""
    found = []
    for what, folder in (("run folders", output), ("temporary files", Path(tempfile.gettempdir()))):
        found += _folder(what, folder)
    return found


def _folder(what: str, folder: Path) -> list[Finding]:
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        text = f"{existing}: cannot be written ({error.strerror}), for {what}"
        return [Finding("FAIL", text, "choose another folder by `--output_dir` (TMPDIR), or chmod")]
    free = shutil.disk_usage(existing).free / _GIB
    text = f"{existing}: writable, {free:.1f} GiB free, for {what}"
    if free < _LEAST_DISK:
        return [Finding("FAIL", text, "delete what is not needed any more")]
    return [Finding("note" if free < _LITTLE_DISK else "ok", text)]


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
