"""The completion script, evaluated and asked by a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole_painvrl.cli import COMMANDS
from recbole_painvrl.cli import completion_names as names
from recbole_painvrl.cli.completion import main
from recbole_painvrl.cli.completion_script import SHELLS, script
from recbole_painvrl.config.lookup import model_names
from recbole_painvrl.config.validation import known_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "script.bash"
    path.write_text(script("bash"))
    return path


def ask(file: Path, line: str, cwd: Path) -> list[str]:
    """What bash would offer at the end of a line; its function is the one `complete` names."""
    program = line.split()[0].rpartition("/")[2]
    text = f"""
        source {file}
        function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        compopt() {{ :; }}
        COMP_LINE=$1 COMP_POINT=${{#1}}
        $function
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = ["bash", "--norc", "-c", text, "bash", line]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd)
    assert done.stderr == ""
    return [word for word in done.stdout.split("\n") if word]


def test_commands_models_datasets_and_settings(file: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset" / "mine").mkdir(parents=True)
    (tmp_path / "other" / "mined").mkdir(parents=True)
    assert ask(file, "recbole-painvrl ", tmp_path) == list(COMMANDS)
    assert ask(file, "recbole-painvrl be", tmp_path) == ["benchmark"]
    python = "/some/venv/bin/python -m recbole_painvrl "
    assert ask(file, python + "tu", tmp_path) == ["tune"]
    assert ask(file, python + "tune --tri", tmp_path) == ["--trials="]
    assert ask(file, python + "tune --model=PaI", tmp_path) == ["PaInvRL"]
    run = "python run_recbole.py "
    assert ask(file, run + "--model=Light", tmp_path) == ["LightGCN"]
    assert ask(file, run + "--dataset=mi", tmp_path) == ["mine"]
    assert ask(file, run + "--data_path=other --dataset=mi", tmp_path) == ["mined"]
    assert ask(file, run + "--dataset=pl", tmp_path) == ["planted"]
    assert ask(file, run + "--mask_step", tmp_path) == ["--mask_step_size="]
    assert ask(file, run + "--model=MMGCN --preset=", tmp_path) == [
        "kwai", "mmrec", "movielens", "tiktok",
    ]  # fmt: skip
    assert ask(file, run + "--protocol=iid", tmp_path) == ["iid_ood"]
    assert ask(file, "recbole-painvrl completion ", tmp_path) == list(SHELLS)


def test_values_after_a_space_and_in_lists(file: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset" / "planted").mkdir(parents=True)
    assert ask(file, "recbole-painvrl benchmark --dataset pl", tmp_path) == ["planted"]
    assert ask(file, "recbole-painvrl benchmark --models PaInvRL,Light", tmp_path) == [
        "PaInvRL,LightGCN"
    ]
    assert ask(file, "recbole-painvrl tune --model MMGCN --preset ti", tmp_path) == ["tiktok"]
    assert ask(file, "recbole-painvrl recommend RUN --exclude t", tmp_path) == ["train"]
    assert ask(file, "recbole-painvrl export RUN --what=m", tmp_path) == ["mask"]
    assert ask(file, "recbole-painvrl ablate --what losses,c", tmp_path) == ["losses,choices"]
    # An option with a file behind it.
    assert ask(file, "recbole-painvrl recommend RUN --users ", tmp_path) == []


def test_other_uses_of_python_are_left_alone(file: Path, tmp_path: Path) -> None:
    assert ask(file, "python other.py --mod", tmp_path) == []
    # Files are for the shell's own completion.
    assert ask(file, "python run_recbole.py --config_files=be", tmp_path) == []


def test_the_lists_are_those_of_the_package() -> None:
    assert names.models() == model_names()
    known = known_settings("PaInvRL", [])
    assert {"learning_rate", "protocol", "mask_step_size", "topk"} <= set(names.settings())
    for name in ("protocol", "select_on", "missing_modality", "unknown_items"):
        assert name in known


def test_the_script_comes_quickly_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.orig_argv = ['x', '-m', 'recbole_painvrl']; sys.argv = ['-m', 'x'];"
        "from recbole_painvrl.__main__ import main; sys.argv = ['x', 'completion', 'bash'];"
        "code = main(); assert not {'torch', 'recbole', 'numpy', 'yaml'} & set(sys.modules); "
        "sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == script("bash") + "\n"
    # A fifth of a second on an idle machine.
    assert time.perf_counter() - start < 3


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_evaluates_its_script(tmp_path: Path) -> None:
    path = tmp_path / "script.zsh"
    path.write_text(script("zsh"))
    text = (
        "autoload -Uz compinit && compinit -u -d $2/dump; source $1; "
        "_recbole_painvrl_words run --model=PaI; _recbole_painvrl_words '' tu"
    )
    command = ["zsh", "-f", "-c", text, "zsh", str(path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PaInvRL", "tune"]


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fish"]) == 2
    assert "expected one of bash, zsh" in capsys.readouterr().err
    assert main(["bsh"]) == 2
    assert "did you mean `bash`?" in capsys.readouterr().err
