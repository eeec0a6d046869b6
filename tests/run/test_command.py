"""The command that a run records makes the same run again, from a shell and as it stands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forks import SUBPROCESS, forked
from support import result_of

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli.run import main as run
from recbole_painvrl.cli.tune import main as tune
from recbole_painvrl.config import SafeConfig, config_from_arguments
from recbole_painvrl.config.loading import parse_overrides
from recbole_painvrl.experiments import launch
from recbole_painvrl.run.command import command_again
from recbole_painvrl.run.folder import config_hash, write_config

ROOT = Path(__file__).resolve().parents[2]


def again(result: dict[str, Any], place: Path, real: bool = False) -> dict[str, Any]:
    """The result of the recorded command, in an empty place; if ``real`` typed into a shell."""
    place.mkdir()
    folder = Path(sys.executable).parent
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder}:{os.environ['PATH']}",
        # Where the run took its threads from the machine, they are in the command.
        "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    if real:
        command = shlex.join(result["command"])
        subprocess.run(["bash", "-c", command], check=True, cwd=place, env=environment)
    else:
        # Without `python` before it in the place of this Python.
        done = forked([sys.executable, *result["command"][1:]], place, OMP_NUM_THREADS="2")
        assert done.returncode == 0, done.stderr
    (path,) = place.glob("runs/*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def assert_same(result: dict[str, Any], other: dict[str, Any]) -> None:
    assert other["metrics"] == result["metrics"]
    for name in ("weights", "data"):
        assert other["hashes"][name] == result["hashes"][name]


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A folder of datasets with a blank and more in its name."""
    return Path(shutil.copytree(tiny_data, tmp_path / "my data $HOME 'x'"))


def test_of_a_benchmarks_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    settings = tmp_path / "common settings.yaml"
    settings.write_text("epochs: 2\neval_args: {split: {RS: [0.7, 0.1, 0.2]}}\nprotocol: random\n")
    own = tmp_path / "own.yaml"
    own.write_text("learning_rate: 0.003\n")
    code = main([
        "benchmark", "--dataset=tiny", "--models=BPR", "--seeds=7,", f"--data_path={data}",
        "--use_gpu=False",
        f"--config_files=['{settings}']", f"--model-config=BPR={own}", "--topk=[3,5]",
        "--valid_metric=NDCG@5", "--set=BPR.embedding_size=12", f"--output={tmp_path / 'b b'}",
    ])  # fmt: skip
    assert code == 0
    (path,) = (tmp_path / "b b" / "cells").glob("*/result.json")
    result = json.loads(path.read_text())
    assert result["seed"] == 7
    # The command does not need the files any more.
    settings.unlink()
    own.unlink()
    other = again(result, tmp_path / "again", real=True)
    assert_same(result, other)
    assert other["hashes"]["config"] == result["hashes"]["config"]
    assert other["command"][1:] == result["command"][1:]


def test_of_a_tested_trial_of_a_search(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "search"
    words = ["--model=UltraGCN", "--dataset=tiny", f"--data_path={data}", "--use_gpu=False"]
    assert tune([*words, "--epochs=1", "--trials=2", f"--output={output}"]) == 0
    assert run([f"--resume={output / 'trial-0001'}", "--show_progress=False"]) == 0
    result = result_of(output / "trial-0001")
    assert "--resume" not in " ".join(result["command"])
    assert_same(result, again(result, tmp_path / "again"))


@pytest.mark.parametrize(
    "words",
    [
        ["--model=PaInvRL", "--preset=large", "--modalities=[visual]", "--loss_weighting=erm"],
        ["--model=BPR", "--eval_args={split: {LS: valid_and_test}, order: TO}", "--seed=3"],
        ["--model=BPR", "--protocol=random", "--eval_args={mode: {valid: uni5, test: full}}"],
        ["--model=UltraGCN", "--user_inter_num_interval=[5,inf)", "--train_batch_size=64"],
        ["--model=LightGCN", "--train_neg_sample_args={distribution: popularity, sample_num: 1}"],
        ["--model=MultiVAE", "--mlp_hidden_size=[16]", "--weight_decay=1e-5", "--n_threads=1"],
        ["--model=BPR", "--field_separator=\\t", "--metrics=[MRR, NDCG]", "--clip_grad_norm=~"],
        ["--model=Pop", "--load_col={inter: [user_id, item_id]}", "--data_path=some where"],
        ["--model=NeuMF", "--gpu_id=0", "--state=ERROR", "--mlp_hidden_size=[8, 4]"],
    ],
)  # fmt: skip
def test_the_same_configuration(words: list[str], tmp_path: Path) -> None:
    config = config_from_arguments(["--dataset=tiny", "--output_dir=x", "--run_name=y", *words])
    write_config(tmp_path, config.effective())
    command = command_again(tmp_path, None)
    start = next(index for index, word in enumerate(command) if word.startswith("--model="))
    other = config_from_arguments(command[start:])
    assert config_hash(other.effective()) == config_hash(config.effective())
    assert other["data_path"] == config["data_path"]
    assert (other["output_dir"], other["run_name"]) == ("runs", None)
    # What is no setting of the user stays a default, and typed in a shell it is the same.
    assert set(parse_overrides(shlex.split(shlex.join(command[start:])))) <= {
        "model", "dataset", *(word[2:].partition("=")[0] for word in words),
    }  # fmt: skip


def test_the_threads_of_the_machine_are_named_where_they_matter(tmp_path: Path) -> None:
    config = SafeConfig("BPR", "tiny")
    write_config(tmp_path, config.effective())
    assert command_again(tmp_path, 3)[-1] == "--n_threads=3"


def test_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(tmp_path, SafeConfig("BPR", "tiny").effective())
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "recbole-painvrl"):
        (programs / name).write_text("")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    tail = ["--model=BPR", "--dataset=tiny"]
    for path, called, expected in (
        (str(programs), "run_recbole.py", ["python", "run_recbole.py"]),
        (str(programs), "/x/recbole-painvrl", ["recbole-painvrl", "run"]),
        (str(programs), "/x/__main__.py", ["python", "-m", "recbole_painvrl", "run"]),
        ("/nowhere", "/x/recbole-painvrl", ["bin/python", "-m", "recbole_painvrl", "run"]),
        ("/nowhere", "run_recbole.py", ["bin/python", "run_recbole.py"]),
    ):  # fmt: skip
        monkeypatch.setenv("PATH", path)
        monkeypatch.setattr(sys, "argv", [called])
        assert command_again(tmp_path, None) == [*expected, *tail]


def test_it_holds_no_value_that_yaml_would_read_otherwise(tmp_path: Path) -> None:
    """A preset or file may hold text that looks like a number."""
    config = SafeConfig("BPR", "tiny", overrides={"val_interval": {"rating": "[3,inf)"}})
    values = config.effective()
    values["user_inter_num_interval"] = {"value": "1e3", "from": "file x.yaml"}
    write_config(tmp_path, values)
    words = command_again(tmp_path, None)
    found = parse_overrides([word for word in words if word.startswith("--")])
    assert found["user_inter_num_interval"] == "1e3"
    assert found["val_interval"] == {"rating": "[3,inf)"}
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["value"] == "BPR"
