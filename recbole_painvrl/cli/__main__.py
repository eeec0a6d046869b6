"""A run of a grid, or a worker of a search, in a process of its own; started by ``launch``."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_painvrl.errors import WriteError
from recbole_painvrl.experiments.launch import BUSY, FAILED, REFUSED, STOPPED
from recbole_painvrl.experiments.runs import ENDED, GridRun
from recbole_painvrl.locks import HeldError, file_lock, remove_run
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.code import code_hash

_PR_SET_PDEATHSIG = 1


def main(words: Sequence[str]) -> int:
    """Execute the task that the words describe; returns one of the exit codes of ``launch``.

    Args:
        words: number of the parent process; JSON with ``shared``, a file that this machine must
            see or null, and either ``run`` or ``tune``.
    """
    _end_with(int(words[0]))
    task = json.loads(words[1])
    if task["shared"] is not None and not Path(task["shared"]).is_file():
        print(f"{Path(task['shared']).parent} is not the folder that the command writes; share it")
        return REFUSED
    try:
        return _run(GridRun.from_json(task["run"])) if "run" in task else _tune(task["tune"])
    except KeyboardInterrupt:
        return STOPPED
    except WriteError as error:
        print(error)
        return REFUSED


def _end_with(parent: int) -> None:
    """On Linux, save and end when the parent ends; elsewhere the process runs on, with its lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(STOPPED)


def _run(run: GridRun) -> int:
    """Execute a run of a grid under its lock; what it prints goes to its log file."""
    start = time.monotonic()
    try:
        with file_lock(run.lock_file):
            if run.state() in ENDED:
                return 0
            if run.is_started_by_hand():
                return BUSY
            changed = _changed(run)
            if changed:
                what = " and ".join(changed)
                print(f"other {what} than where the command runs, or changed since it began")
                return REFUSED
            return _execute(run, start)
    except HeldError:
        return BUSY


def _changed(run: GridRun) -> list[str]:
    """Parts of the run's identity that differ from those on the machine that planned it."""
    import recbole_painvrl

    recbole_painvrl.start()
    from recbole_painvrl.config import config_from_arguments
    from recbole_painvrl.experiments.planning import prepared_hash, run_key

    config = config_from_arguments(run.arguments)
    here = run_key(config, prepared_hash(config), code_hash())
    return run.key.changed(vars(here))


def _execute(run: GridRun, start: float) -> int:
    from recbole_painvrl.cli.run import main as run_main

    answer = os.dup(1)
    with open(run.log_file, "wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = run_main(_arguments(run))
    sys.stdout.flush()
    if (run.folder / RESULT).is_file():
        os.write(answer, f"done in {time.monotonic() - start:.0f} s".encode())
        return 0
    reason = _reason(run, code)
    if reason.startswith("stopped"):
        return STOPPED
    if run.is_started_by_hand():
        return BUSY
    run.fail(reason, resumable=False)
    os.write(answer, f"failed: {reason} ({run.log_file})".encode())
    return FAILED


def _arguments(run: GridRun) -> list[str]:
    """Arguments that resume or start the run; removes a folder that cannot be resumed."""
    from recbole_painvrl.config import config_from_arguments
    from recbole_painvrl.run.resume import can_resume

    if run.folder.is_dir():
        if can_resume(run.folder):
            # The data are where the command finds them, perhaps in another working directory.
            data_path = Path(config_from_arguments(run.arguments)["data_path"]).parent
            return [
                f"--resume={run.folder}",
                f"--data_path={data_path}",
                "--show_progress=False",
            ]
        # Unless a process has taken it up by hand since it was looked for.
        remove_run(run.folder)
    return [
        *(word for word in run.arguments if not word.startswith("--show_progress=")),
        f"--output_dir={run.folder.parent}",
        f"--run_name={run.folder.name}",
        "--show_progress=False",
    ]


def _reason(run: GridRun, code: int) -> str:
    """One line: why a run ended with this exit code and without a result."""
    text = run.log_file.read_text(encoding="utf-8", errors="replace")
    said = [line.strip() for line in text.splitlines() if line.strip()] or ["no output"]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return f"{(errors or said)[-1]} (exit code {code})"


def _tune(task: dict[str, Any]) -> int:
    """Run trials of a search until none is left."""
    from recbole_painvrl.cli.tune import main as tune_main

    if task["code"] != code_hash():
        print("other code than where the command runs, or changed since it began")
        return REFUSED
    return tune_main(task["words"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
