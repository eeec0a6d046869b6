"""Commands that messages print can be typed where the program was called."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from recbole_painvrl.run import program
from recbole_painvrl.run.program import shell_command


@pytest.mark.parametrize(
    ("called", "start"),
    [
        ("run_recbole.py", "python run_recbole.py"),
        ("/usr/bin/recbole-painvrl", "recbole-painvrl run"),
        ("/x/recbole_painvrl/__main__.py", "python -m recbole_painvrl run"),
    ],
)
def test_the_command_is_that_of_the_program(
    called: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr(program, "_is_found", lambda name: True)
    line = shell_command(resume=Path("my runs/x"))
    assert line.startswith(start + " ")
    assert shlex.split(line)[-1] == "--resume=my runs/x"


def test_an_interpreter_that_no_shell_finds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run_recbole.py"])
    monkeypatch.setattr(program, "_is_found", lambda name: False)
    monkeypatch.setattr(sys, "executable", "/opt/some python/bin/python3.14")
    words = shlex.split(shell_command(resume="x"))
    assert words == ["/opt/some python/bin/python3.14", "run_recbole.py", "--resume=x"]
