"""Runs the commands of a page as a reader would, without the seconds of starting Python."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forks import SUBPROCESS, forked
from support import empty_figures

from recbole_painvrl.doctor import system
from recbole_painvrl.experiments import launch


@contextmanager
def page_commands(folder: Path) -> Iterator[Callable[[str], None]]:
    """A function that runs a command of a page in a folder, which is also the working directory.

    Every command is a fork of this process, also those that a benchmark and ``doctor`` start. The
    figures of the report, which have tests of their own, are empty.
    """

    def run(command: str) -> None:
        done = forked([sys.executable, *shlex.split(command)[1:]], folder)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout + done.stderr)

    def probe(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return forked(lambda: exec(command[2], {}) or 0, folder)

    with pytest.MonkeyPatch.context() as patch, empty_figures():
        patch.setattr(system, "subprocess", SimpleNamespace(run=probe, TimeoutExpired=OSError))
        patch.setattr(launch, "subprocess", SUBPROCESS)
        patch.chdir(folder)
        yield run
