"""Executes a run in a separate process and reports the outcome: the task of an executor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.locks import LOCK, HeldError, file_lock, holder
from recbole_painvrl.run.folder import RESULT
from recbole_painvrl.run.resume import can_resume

# Another process executes the run; check again later.
BUSY = "busy"
# Set the threads of NumPy, PyTorch and their libraries.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_GRACE = 30.0


class Launch:
    """Executes runs by ``python -m recbole_painvrl run``; may be called from several threads.

    Args:
        workers: number of parallel runs; they share the cores.
        on_start: called with a run and ``starts`` or ``resumes``, before its process starts.
    """

    def __init__(self, workers: int, on_start: Callable[[Cell, str], object]) -> None:
        threads = str(threads_per_cell(workers))
        root = str(Path(__file__).resolve().parents[2])
        self._environment = {**os.environ, **dict.fromkeys(_THREADS, threads)}
        if (Path(root) / "setup.py").is_file():
            # In a checkout, the package is found only through PYTHONPATH.
            paths = [root, os.environ.get("PYTHONPATH", "")]
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._on_start = on_start
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def __call__(self, cell: Cell) -> str:
        """Execute a run, unless it is done or another process executes it.

        Returns:
            A line about what came of it, ``BUSY``, or nothing where there was nothing to do. A
            failure is recorded beside the cell's folder.
        """
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock(cell.lock_file):
                # A run whose grid process was killed may still hold the lock of its folder.
                if holder(cell.folder / LOCK):
                    return BUSY
                if self._stopped or cell.state() in ("done", "failed"):
                    return ""
                return self._run(cell)
        except HeldError:
            return BUSY

    def stop(self) -> None:
        """Stop all runs so that they can be resumed; kill those that do not stop in time.

        Raises:
            KeyboardInterrupt: asked again meanwhile; everything is killed.
        """
        self._signal(signal.SIGTERM)
        end = time.monotonic() + _GRACE
        try:
            while self._running and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._guard:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

    def _run(self, cell: Cell) -> str:
        self._on_start(cell, "resumes" if cell.state() == "interrupted" else "starts")
        command = [sys.executable, "-m", "recbole_painvrl", "run", *cell_arguments(cell)]
        start = time.monotonic()
        with open(cell.log_file, "wb") as log:
            with self._guard:
                if self._stopped:
                    return ""
                # In a new session, so that Ctrl-C reaches it only once, through `stop`.
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=self._environment, start_new_session=True,
                )  # fmt: skip
                self._running.add(process)
            code = process.wait()
        with self._guard:
            self._running.discard(process)
        if (cell.folder / RESULT).is_file():
            return f"done in {time.monotonic() - start:.0f} s"
        if self._stopped:
            return ""
        if holder(cell.folder / LOCK):
            return BUSY
        reason = failure_reason(cell, code)
        # A stopped run ends with an ordinary exit code.
        cell.fail(reason, resumable=code < 0 or reason.startswith("stopped"))
        return f"failed: {reason} ({cell.log_file})"


def cell_arguments(cell: Cell) -> list[str]:
    """Arguments of ``run`` for a cell in its state; removes a folder that cannot be resumed."""
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
    """One line: why a process ended with this exit code and without a result."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{', possibly out of memory' if name == 'SIGKILL' else ''}"
    text = cell.log_file.read_text(encoding="utf-8", errors="replace")
    said = [line.strip() for line in text.splitlines() if line.strip()] or ["no output"]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return f"{(errors or said)[-1]} (exit code {code})"


def threads_per_cell(workers: int) -> int:
    """CPU threads per process, so that all together use no more than the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // workers)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) else share
