"""Options and settings on one command line, and the pages of all commands."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from forks import ROOT, fresh

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli import COMMANDS, base
from recbole_painvrl.config.properties import preset_names
from recbole_painvrl.errors import UserError
from recbole_painvrl.specs import specs


@pytest.fixture
def parse(capsys: pytest.CaptureFixture[str]) -> Any:
    """Parses words as a command with options and settings; a mistake is a line of text."""

    def call(*words: str) -> Any:
        seen: dict[str, Any] = {}

        @base.command("tune", shown_settings={})
        @base.option("--trials", type=int, default=3)
        @base.option("--seeds", type=int, default=1)
        @base.option("--output")
        @base.option("--force", is_flag=True)
        def command(**values: Any) -> None:
            seen.update(values)
            if "--trails=4" in values["settings"]:
                raise UserError("unknown setting `trails` (command line); remove it")

        code = base.execute(command, words)
        return seen if code == 0 else (code, capsys.readouterr().err)

    return call


def test_options_are_taken_and_settings_are_passed_on(parse: Any) -> None:
    found = parse(
        "--trials", "5", "--model=BPR", "--force", "--learning_rate", "0.1", "--margin", "-1.5",
        "--topk=[10]", "--output", "x",
    )  # fmt: skip
    assert (found["trials"], found["force"], found["output"]) == (5, True, "x")
    assert found["settings"] == (
        "--model=BPR", "--learning_rate", "0.1", "--margin", "-1.5", "--topk=[10]",
    )  # fmt: skip


def test_an_option_is_never_abbreviated_and_may_be_negative(parse: Any) -> None:
    assert parse("--seed=7")["settings"] == ("--seed=7",)
    assert parse("--trials", "-1")["trials"] == -1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--trials", "many"], "'many'"),
        (["--trials"], "--trials"),
        (["--output", "--trials=3"], "expected a value"),
        (["--trails=4"], "did you mean `--trials`?"),
    ],
)
def test_a_mistake_is_one_line(parse: Any, words: list[str], part: str) -> None:
    code, line = parse(*words)
    assert code == 2 and line.startswith("error: ") and line.count("\n") == 1 and part in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("train", "unknown command `train`"),
        ("exprot x", "did you mean `export`?"),
        ("doctor --outputdir=x", "did you mean `--output_dir`?"),
        ("completion bsh", "'bsh'"),
        ("settings VBRP", "did you mean `VBPR`?"),
        ("run --model=Nothing --help", "unknown model"),
    ],
)
def test_a_mistake_of_a_name(words: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1 and part in line


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_help_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"Usage: python -m recbole_painvrl {name}".strip())
    assert "exit codes: 0 " in page and max(map(len, page.splitlines())) <= 100


def test_a_page_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.orig_argv = ['x', '-m', 'recbole_painvrl']; sys.argv = ['-m']"
        "; from recbole_painvrl.__main__ import main; code = [main([*name.split(), '--help']) for "
        f"name in {['', *COMMANDS]}]; assert not {{'torch', 'recbole', 'numpy'}} & set(sys.modules)"
    )
    done = fresh(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_setting_and_preset_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "MMGCN"]) == 0
    listed = capsys.readouterr().out
    heads = [line for line in listed.splitlines() if line.startswith("--")]
    names = [line[2:].partition("=")[0] for line in heads]
    fields = specs()["MMGCN"].schema.model_fields
    assert names == [*fields, *["preset"] * len(preset_names("MMGCN"))]
    # The help page of a run with this model has the same list.
    assert main(["run", "--model=MMGCN", "--help"]) == 0
    assert listed in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "-m recbole_painvrl --help", "{root}/run_recbole.py --help",
    ],
)  # fmt: skip
def test_a_reader_may_leave_early(words: str, tmp_path: Path) -> None:
    program = f"{sys.executable} {words.format(root=ROOT)}"
    text = f"{{ {program}; echo code $? >code; }} | true"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    # Whether the reader left before or after the last line is a race; it is never a traceback.
    assert (tmp_path / "code").read_text() in ("code 0\n", "code 1\n")
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_signs_that_the_terminal_lacks_do_not_end_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    def action() -> int:
        print("Pop \u00b7 \u540d")
        return 0

    assert base.piped(action) == 0
    assert written.getvalue() == b"Pop \\xb7 \\u540d\n"


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


def test_a_missing_dash_is_no_call_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """``-epochs=2`` has an ``h``, the short name of help; nothing would have been trained."""
    from recbole_painvrl.cli.run import main

    assert main(["--model=BPR", "--dataset=planted", "-epochs=2"]) == 2
    assert "found '-epochs=2'" in capsys.readouterr().err
    assert main(["-h"]) == 0
