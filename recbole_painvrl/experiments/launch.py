"""Starts a cell as a process of its own and says why one failed."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.run.resume import can_resume

# What decides the threads of NumPy, PyTorch and the libraries below them.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Running(Protocol):
    """A cell at work."""

    def poll(self) -> int | None:
        """Exit code, or None while it works."""

    def stop(self) -> None:
        """Ask it to stop so that it can go on later."""

    def kill(self) -> None:
        """End it at once."""


class Launch(Protocol):
    """Starts a cell; the real one is :class:`ProcessLaunch`."""

    def __call__(self, cell: Cell, lock: int) -> Running:
        """Start the cell, which holds the descriptor ``lock`` as long as it lives."""


class CellProcess:
    """A cell in a process of its own session, so that Ctrl-C reaches it once, through us."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        """Exit code, or None while it works."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to stop; SIGTERM works where a shell made it deaf to SIGINT."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class ProcessLaunch:
    """Runs cells by ``python -m recbole_painvrl run``.

    Args:
        threads: CPU threads of each.
    """

    def __init__(self, threads: int) -> None:
        self._environment = {
            **os.environ,
            **_import_path(),
            **dict.fromkeys(_THREADS, str(threads)),
        }

    def __call__(self, cell: Cell, lock: int) -> CellProcess:
        """Start the cell: resumed where it can be, else from the beginning in a clean folder."""
        command = [sys.executable, "-m", "recbole_painvrl", "run", *cell_arguments(cell)]
        with open(cell.log_file, "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                # The lock outlives us with the process that it speaks of.
                pass_fds=(lock,),
            )
        return CellProcess(process)


def cell_arguments(cell: Cell) -> list[str]:
    """Arguments of ``run`` for a cell as it stands; a folder that cannot go on is removed."""
    if cell.folder.is_dir():
        if can_resume(cell.folder):
            return [f"--resume={cell.folder}", "--show_progress=False"]
        shutil.rmtree(cell.folder)
    return [
        *(word for word in cell.arguments if not word.startswith("--show_progress=")),
        f"--output_dir={cell.folder.parent}",
        f"--run_name={cell.folder.name}",
        "--show_progress=False",
    ]


def failure_reason(cell: Cell, code: int) -> str:
    """One line: why the process of a cell ended with this code and without a result."""
    try:
        lines = cell.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"ended by {name}{hint}"
    said = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    last = errors[-1] if errors else (said[-1] if said else "it said nothing")
    return f"{last} (exit code {code})"


def threads_per_cell(workers: int) -> int:
    """CPU threads of each of so many processes: together no more than the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // workers)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) else share


def _import_path() -> dict[str, str]:
    """Lets the process import this package where it runs from a checkout."""
    root = str(Path(__file__).resolve().parents[2])
    if root in [*site.getsitepackages(), site.getusersitepackages()]:
        return {}
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}
