"""Runs a cell as a process of its own and says what came of it: the task of an executor."""

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

# Another process runs the cell; look again later.
BUSY = "busy"
# What decides the threads of NumPy, PyTorch and the libraries below them.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_GRACE = 30.0


class Launch:
    """Runs cells by ``python -m recbole_painvrl run``; may be called from several threads.

    Args:
        workers: how many cells run at a time; they share the cores.
        on_start: called with a cell and what happens to it, before its process starts.
    """

    def __init__(self, workers: int, on_start: Callable[[Cell, str], object]) -> None:
        threads = str(threads_per_cell(workers))
        root = str(Path(__file__).resolve().parents[2])
        self._environment = {**os.environ, **dict.fromkeys(_THREADS, threads)}
        if (Path(root) / "setup.py").is_file():
            # A checkout, whose package is found through the path alone.
            paths = [root, os.environ.get("PYTHONPATH", "")]
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._on_start = on_start
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def __call__(self, cell: Cell) -> str:
        """Run a cell, unless it is done or somebody else runs it.

        Returns:
            A line about what came of it, ``BUSY``, or nothing where there was nothing to do. A
            failure is recorded beside the cell's folder.
        """
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock(cell.lock_file):
                # A process whose grid was killed holds the lock of its run folder.
                if holder(cell.folder / LOCK):
                    return BUSY
                if self._stopped or cell.state() in ("done", "failed"):
                    return ""
                return self._run(cell)
        except HeldError:
            return BUSY

    def stop(self) -> None:
        """Ask all cells to stop so that they can go on later; kill what does not within a while.

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
        self._on_start(cell, "goes on" if cell.state() == "interrupted" else "starts")
        command = [sys.executable, "-m", "recbole_painvrl", "run", *cell_arguments(cell)]
        start = time.monotonic()
        with open(cell.log_file, "wb") as log:
            with self._guard:
                if self._stopped:
                    return ""
                # In a session of its own, so that Ctrl-C reaches it once, through us.
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
        # A run that was told to stop says so and ends with an ordinary exit code.
        cell.fail(reason, resumable=code < 0 or reason.startswith("stopped"))
        return f"failed: {reason} ({cell.log_file})"


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
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
    text = cell.log_file.read_text(encoding="utf-8", errors="replace")
    said = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return f"{(errors or said)[-1]} (exit code {code})"


def threads_per_cell(workers: int) -> int:
    """CPU threads of each of so many processes: together no more than the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // workers)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) else share
