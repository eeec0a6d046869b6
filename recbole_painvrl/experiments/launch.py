"""Starts a process, watches it and stops it: the task of every executor.

Dask's workers receive this code by value, so it uses the standard library alone: only the process
that is started needs the package.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

# Exit codes of `python -m recbole_painvrl.cli`: a recorded failure, another process executes the
# run, stopped by a signal, and a machine that lacks what the run needs.
FAILED, BUSY, STOPPED, REFUSED = 74, 75, 76, 77
_PAUSE, _GRACE = 0.1, 30.0
# States of a worker of Dask that waits for its tasks before it ends.
_CLOSING = ("closing", "closed", "failed")


def launch(
    words: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    stops: Callable[[], int] = lambda: 0,
) -> tuple[int, str]:
    """Run ``python -m recbole_painvrl.cli`` to its end; returns exit code and last line printed.

    Args:
        words: its arguments, without the number of the parent process.
        folder: folder to run in.
        environment: variables to set; ``PYTHONPATH`` is extended.
        stops: how often the process was asked to stop: once to save and end, twice to be killed.
    """
    paths = [environment.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "recbole_painvrl.cli", str(os.getpid()), *words]
    with tempfile.TemporaryFile() as said:
        try:
            # In a new session, so that Ctrl-C reaches it only once, through `stops`.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                env=variables,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            return REFUSED, f"{error.filename}: no such folder on this machine"
        end = 0.0
        while process.poll() is None:
            if stops() and not end:
                process.terminate()
                end = time.monotonic() + _GRACE
            if end and (stops() > 1 or time.monotonic() > end):
                process.kill()
            time.sleep(_PAUSE)
        said.seek(0)
        lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    code, text = process.returncode, (lines or [""])[-1].strip().removeprefix("error: ")
    # SIGTERM ended it before its handler was set, or it is a worker of a search that was stopped.
    if code == -signal.SIGTERM or (code == 1 and text.startswith("stopped")):
        code = STOPPED
    return code, text


def launch_on_worker(
    words: Sequence[str], name: str, folder: str, environment: Mapping[str, str], topic: str
) -> tuple[int, str]:
    """The same as a task of Dask; a cancelled task or a closing worker stops its process.

    Args:
        words, folder, environment: of :func:`launch`.
        name: sent to the subscribers of the topic when the process starts.
        topic: of Dask's log.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    worker.log_event(topic, name)

    def stops() -> int:
        task = worker.state.tasks.get(key)
        return int(task is None or task.state == "cancelled" or worker.status.name in _CLOSING)

    code, text = launch(words, folder, environment, stops)
    if code == STOPPED and stops():
        raise Reschedule
    told = code in (0, FAILED, BUSY, STOPPED)
    return code, text if told else f"worker {worker.address}: {text}"
