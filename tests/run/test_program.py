"""Commands that messages print can be typed where the program was called."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from recbole_painvrl.run import program
from recbole_painvrl.run.program import shell_command


def test_an_interpreter_that_no_shell_finds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run_recbole.py"])
    monkeypatch.setattr(program, "_is_found", lambda name: False)
    monkeypatch.setattr(sys, "executable", "/opt/some python/bin/python3.14")
    words = shlex.split(shell_command(resume="x"))
    assert words == ["/opt/some python/bin/python3.14", "run_recbole.py", "--resume=x"]


@pytest.mark.parametrize(
    ("called", "named"),
    [("run_recbole.py", "run_recbole.py"), ("./run_recbole.py", "run_recbole.py"),
     ("{here}/run_recbole.py", "run_recbole.py"), ("../x/run_recbole.py", "../x/run_recbole.py")],
)  # fmt: skip
def test_a_script_of_another_folder_is_named_with_it(
    called: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [called.format(here=tmp_path)])
    assert shlex.split(shell_command())[-1] == named
