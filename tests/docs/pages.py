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
from forks import Fork, forked

from recbole_painvrl.doctor import system
from recbole_painvrl.experiments import launch
from recbole_painvrl.report.plots.style import Figures
from recbole_painvrl.report.render import Drawing


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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "subprocess", SimpleNamespace(run=probe, TimeoutExpired=OSError))
        popen = SimpleNamespace(Popen=Fork, DEVNULL=subprocess.DEVNULL)
        patch.setattr(launch, "subprocess", popen)
        patch.setattr(Figures, "write", lambda *given: Drawing(given[-1], "0 0 1 1", ""))
        patch.chdir(folder)
        yield run
