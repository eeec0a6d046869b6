"""What the tab key offers, as a shell asks for it, and the scripts that let it ask."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli import COMMANDS, names
from recbole_painvrl.cli.completion import SHELLS, answer
from recbole_painvrl.cli.group import ALL
from recbole_painvrl.config import RunSettings
from recbole_painvrl.config.lookup import model_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Words offered at the end of a line, of which bash cuts the words at ``=``."""

    def call(line: str, shell: str = "bash") -> list[str]:
        words = re.findall(r"=|[^\s=]+" if shell == "bash" else r"\S+", line)
        words += [""] if line.endswith(" ") else []
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words) - 1))
        monkeypatch.setenv("_RECBOLE_PAINVRL_COMPLETE", f"{shell}_complete")
        assert answer(ALL) == 1
        lines = capsys.readouterr().out.splitlines()
        if shell == "zsh":
            return lines[1::3]
        return [word.partition(",")[2].partition("\t")[0] for word in lines]

    return call


RUN = "python run_recbole.py "
CALL = "/some/venv/bin/python -m recbole_painvrl "


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("recbole-painvrl ", list(COMMANDS)),
        ("recbole-painvrl be", ["benchmark"]),
        (CALL + "tu", ["tune"]),
        (CALL + "tune --tri", ["--trials"]),
        (CALL + "tune --model=PaI", ["PaInvRL"]),
        (RUN + "--model=Light", ["LightGCN"]),
        (RUN + "--dataset=mi", ["mine"]),
        (RUN + "--mask_step", ["--mask_step_size"]),
        (RUN + "--model=MMGCN --preset=", ["kwai", "mmrec", "movielens", "tiktok"]),
        ("recbole-painvrl tune --model MMGCN --preset ti", ["tiktok"]),
        (RUN + "--protocol=iid", ["iid_ood"]),
        ("recbole-painvrl benchmark --models PaInvRL,Light", ["PaInvRL,LightGCN"]),
        ("recbole-painvrl recommend RUN --exclude t", ["train"]),
        ("recbole-painvrl ablate --what losses,ch", ["losses,choices"]),
    ],
)
def test_what_is_offered(ask: Any, line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "dataset" / "mine").mkdir(parents=True)
    assert ask(line) == offered


def test_hidden_folders_are_no_datasets(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "dataset" / ".cache").mkdir(parents=True)
    assert ".cache" not in ask(RUN + "--dataset=.")


@pytest.mark.parametrize("place", ["", "content/"])
def test_settings_and_presets_of_an_installed_model_are_offered(
    place: str, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder that the docs name, without importing the model."""
    module = f"models_of_mine.{place.replace('/', '.')}mf"
    own = tmp_path / "models_of_mine" / place / "properties"
    for name in ("model/ContentMF.yaml", "preset/ContentMF/sparse.yaml"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("width_of_mine: 32\n")
    (tmp_path / "models_of_mine" / "__init__.py").write_text("raise RuntimeError\n")
    point = importlib.metadata.EntryPoint("ContentMF", f"{module}:SPEC", names.GROUP)
    missing = importlib.metadata.EntryPoint("Gone", "no_such_package.gone:SPEC", names.GROUP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (point, missing))
    names.setting_options.cache_clear()
    try:
        assert ask(RUN + "--model=ContentMF --width_of") == ["--width_of_mine"]
        assert ask(RUN + "--model=ContentMF --preset=") == ["sparse"]
    finally:
        names.setting_options.cache_clear()


def test_other_shells_replace_the_whole_word(ask: Any) -> None:
    for shell in ("zsh", "fish"):
        assert ask("recbole-painvrl run --model=Light", shell) == ["--model=LightGCN"]
        assert ask("recbole-painvrl run --model Light", shell) == ["LightGCN"]


def test_the_lists_are_those_of_the_package() -> None:
    assert names.models() == model_names()
    assert {"learning_rate", "protocol", "mask_step_size", "topk"} <= set(names.settings())
    for name, values in names.VALUES.items():
        allowed = str(RunSettings.model_fields[name].annotation)
        assert all(f"'{value}'" in allowed for value in values)
        assert len(values) == allowed.count("'") // 2
    # Those with nothing but a choice of words; `shift_ultragcn` is also true or false.
    fields = RunSettings.model_fields
    choices = {name for name, one in fields.items() if get_origin(one.annotation) is Literal}
    assert choices <= names.VALUES.keys()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_evaluates_its_script(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    path = tmp_path / "script"
    path.write_text(capsys.readouterr().out)
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    texts = {
        "bash": f"""
            source {path}; compopt() {{ :; }}
            COMP_WORDS=({sys.executable} -m recbole_painvrl tu) COMP_CWORD=3
            $(complete -p python | sed 's/.*-F \\([^ ]*\\) .*/\\1/') {sys.executable}
            echo "${{COMPREPLY[@]}}"
            COMP_WORDS=(python other.py tu) COMP_CWORD=2 COMPREPLY=()
            _recbole_painvrl_python python; echo "${{COMPREPLY[@]}}" """,
        "zsh": f"autoload -Uz compinit && compinit -u -d {tmp_path}/dump; source {path}; "
        "echo $_comps[recbole-painvrl] $_comps[python]",
        "fish": f"source {path}; complete --command recbole-painvrl",
    }
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *options, "-c", texts[shell]], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if shell == "bash":
        assert done.stdout == "tune\n\n"
    else:
        assert "_recbole_painvrl_completion" in done.stdout
        assert shell == "fish" or "_recbole_painvrl_python" in done.stdout
