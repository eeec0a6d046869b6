"""Commands in processes of their own: new interpreters, and forks that need no imports."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from recbole_painvrl import specs


class Fork:
    """Stands for ``subprocess.Popen`` of ``[python, -m, package, ...]`` or ``[python, script]``.

    In place of a command it also takes a function that returns the exit code.
    """

    def __init__(
        self,
        command: Sequence[str] | Callable[[], int],
        *,
        stdout: IO[Any],
        stderr: IO[Any],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **_: object,
    ) -> None:
        with warnings.catch_warnings():
            # Python 3.12 warns of other threads; those of the tests hold no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            os.chdir(cwd or Path.cwd())
            os.environ |= env or {}
            warnings.simplefilter("ignore")
            code = command() if callable(command) else _run(list(command[1:]))
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001  # nothing of pytest may run in the child
            traceback.print_exc()
        finally:
            os._exit(code)

    def wait(self) -> int:
        """The exit code."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None before the end."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode if pid else None

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


ROOT = Path(__file__).resolve().parents[1]


def fresh(words: Sequence[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter, which finds this project, in a folder."""
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


# In place of `subprocess` in experiments.launch: the runs of a grid are forks of its process.
SUBPROCESS = SimpleNamespace(Popen=Fork, DEVNULL=subprocess.DEVNULL)


def _run(words: list[str]) -> int:
    sys.path[:0] = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    specs._installed.cache_clear()
    if words[0] == "-m":
        module = importlib.import_module(f"{words[1]}.__main__")
        program, words = str(module.__file__), words[2:]
    else:
        module = importlib.import_module("recbole_painvrl.__main__")
        program, words = words[0], ["run", *words[1:]]
    sys.argv = [program, *words]
    code: int = module.main(words)
    return code


def forked(
    command: Sequence[str] | Callable[[], int], folder: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; what ``subprocess.run`` would give."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = Fork(command, stdout=out, stderr=err, cwd=folder, env=env).wait()
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())  # type: ignore[arg-type]
