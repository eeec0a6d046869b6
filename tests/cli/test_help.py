"""The overview and the pages of all commands."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recbole_painvrl.__main__ import main
from recbole_painvrl.arguments import Arguments
from recbole_painvrl.cli import COMMANDS
from recbole_painvrl.cli.completion_script import help_page
from recbole_painvrl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert name in page and summary in page


@pytest.mark.parametrize(
    "words",
    [
        "-m recbole_painvrl --help", "-m recbole_painvrl doctor --help",
        "-m recbole_painvrl completion bash", "{root}/run_recbole.py --help 2>&1",
        "{root}/run_recbole.py --model=Pop --dataset=tiny --data_path={data} --use_gpu=False",
    ],
)  # fmt: skip
def test_a_reader_may_leave_early(words: str, tiny_data: Path, tmp_path: Path) -> None:
    program = f"{sys.executable} {words.format(root=ROOT, data=tiny_data)}"
    text = f"{{ {program}; echo code $? >code; }} | true"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    # Whether the reader left before or after the last line is a race; it is never a traceback.
    assert (tmp_path / "code").read_text() in ("code 0\n", "code 1\n")
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="needs /proc")
@pytest.mark.parametrize("words", ["-m recbole_painvrl run", "{root}/run_recbole.py"])
def test_a_command_may_be_stopped_while_it_is_loaded(words: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, *words.format(root=ROOT).split(), "--model=Pop", "--dataset=ml-100k"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while process.poll() is None and "torch" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (1, "", "stopped before the command began\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_is_a_page_of_a_manual(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("usage: python ")
    assert "exit codes: 0 " in page
    # Examples stand on lines of their own, ready to be copied.
    assert "\n  python " in page or '\n  eval "' in page
    assert max(map(len, page.splitlines())) <= 100
    assert page.strip() == help_page(name).strip()


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"run", "completion"}))
def test_a_page_names_every_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"recbole_painvrl.cli.{name}")
    parsers: list[Arguments] = []

    def look(self: Arguments, argv: Any) -> None:
        parsers.append(self)
        raise UserError("seen")

    for method in ("parse_args", "parse_intermixed_args", "parse_with_settings"):
        monkeypatch.setattr(Arguments, method, look)
    assert module.main(["--something=1"]) == 2
    (parser,) = parsers
    for action in parser._actions:
        names = action.option_strings
        assert not names or any(name in module.HELP for name in names), names
