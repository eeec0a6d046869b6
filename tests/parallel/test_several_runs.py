"""Runs of several processes: the same results, one folder, one message, exact resume."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from forks import ROOT, fresh
from ranks import Ended, exit_at, run_ranks
from support import STAGES_ALONE, Finished, MakeConfig, last_values, quick, result_of, run_command

from recbole_painvrl.__main__ import main
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.ultragcn import UltraGCN
from recbole_painvrl.parallel.launch import command
from recbole_painvrl.report.collect import collect
from recbole_painvrl.run.processes import check_processes
from recbole_painvrl.training import pipeline, shard_files

STAGES = (*STAGES_ALONE, "--mask_batch_size=128", "--mask_form=auto", "--oracle=True")


@dataclass(frozen=True)
class Runs:
    """Whole runs of the same command in 1, 2 and 3 processes."""

    finished: dict[str, Finished]
    printed: dict[str, Ended]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    place = tmp_path_factory.mktemp("processes")
    argv = ["--model=PaInvRL", *quick(tiny_data, place), *STAGES]
    finished, printed = {"1": run_command(*argv, name="1")}, {}
    for name in ("2", "3"):
        ended = run_ranks(int(name), [*argv, f"--run_name={name}"], place)
        assert ended.codes == [0] * int(name), ended.errors
        printed[name] = ended
        finished[name] = Finished(0, ended.out, "", place / "runs" / name)
    return Runs(finished, printed)


@pytest.mark.parametrize("name", ["2", "3"])
def test_results_do_not_depend_on_the_number_of_processes(name: str, runs: Runs) -> None:
    one, several = runs.finished["1"], runs.finished[name]
    pd.testing.assert_frame_equal(one.per_user, several.per_user)
    assert one.result["metrics"] == several.result["metrics"]
    assert several.result["processes"] == int(name)
    assert set(several.result) - set(one.result) == {"processes"}
    assert several.result["command"][:2] == ["torchrun", f"--nproc-per-node={name}"]
    for key, found in several.arrays("environments").items():
        assert np.array_equal(found, one.arrays("environments")[key]), key
    for key, found in several.arrays("mask").items():
        np.testing.assert_allclose(found, one.arrays("mask")[key], atol=1e-4, err_msg=key)
    for key, tensor in several.weights().items():
        torch.testing.assert_close(tensor, one.weights()[key], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "settings",
    [
        ("--model=InvRL", *STAGES_ALONE, "--mask_form=soft", "--known_environments=True",
         "--compare_backbone=True"),
        ("--model=UltraGCN", "--modalities=[]"),
    ],
)  # fmt: skip
def test_further_settings_do_not_depend_on_the_number(
    settings: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    argv = [*quick(tiny_data, tmp_path), *settings]
    one = run_command(*argv, name="one").result
    ended = run_ranks(2, [*argv, "--run_name=two"], tmp_path)
    assert ended.codes == [0, 0], ended.errors
    two = result_of(tmp_path / "runs" / "two")
    for key in ("metrics", "all_features"):
        for test, values in one.get(key, {}).items():
            assert two[key][test] == pytest.approx(values, abs=2e-3)
    assert "all_features" in one or "UltraGCN" in settings[0]


def test_one_process_writes_and_speaks(runs: Runs) -> None:
    one, two = runs.finished["1"], runs.finished["2"]
    names = {path.name for path in two.folder.iterdir()}
    assert names == {path.name for path in one.folder.iterdir()}
    assert not [path for path in two.folder.parent.iterdir() if path.name.startswith(".data")]
    assert two.out.count("test (OOD)") == one.out.count("test (OOD)") > 0
    assert runs.printed["2"].errors[1] == ""
    manifest_is_complete(two.folder)


def test_other_commands_take_the_run_folder(runs: Runs, tmp_path: Path) -> None:
    folder = runs.finished["2"].folder
    lists, vectors = tmp_path / "lists.parquet", tmp_path / "vectors.safetensors"
    assert main(["recommend", str(folder), "--users", "all", "--k", "5", "--out", str(lists)]) == 0
    assert main(["export", str(folder), "--what", "embeddings", "--out", str(vectors)]) == 0
    assert len(collect([folder]).runs) == 1
    assert len(pd.read_parquet(lists)) == 5 * 120


def manifest_is_complete(folder: Path) -> None:
    manifest = folder / "checkpoint" / "last.json"
    if manifest.is_file():
        for name in json.loads(manifest.read_text())["shards"]:
            assert (manifest.parent / name).is_file()


@contextmanager
def edited_config(folder: Path) -> Iterator[dict[str, Any]]:
    """Change the ``config.yaml`` of a run."""
    path = folder / "config.yaml"
    content = yaml.safe_load(path.read_text())
    yield content
    path.write_text(yaml.safe_dump(content))


def words(data: Path, place: Path, name: str) -> list[str]:
    words = ["--model=UltraGCN", *quick(data, place), "--epochs=4", f"--run_name={name}"]
    return last_values(words)


def save_often(_: int = 0) -> None:
    pipeline._SAVING_FRACTION = 1e9


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    assert run_ranks(2, words(tiny_data, place, "whole"), place).codes == [0, 0]
    return place / "runs" / "whole"


@pytest.mark.parametrize(("rank", "after"), [(1, False), (0, True)])
def test_killed_and_resumed(
    rank: int, after: bool, whole: Path, tiny_data: Path, tmp_path: Path
) -> None:
    """Killed before its third shard is written, or before the third manifest is."""

    def kill(own: int) -> None:
        save_often()
        name = "write_json" if after else "write_checkpoint"
        if own == rank:
            vars(shard_files)[name] = exit_at(3, vars(shard_files)[name])

    ended = run_ranks(2, words(tiny_data, tmp_path, "killed"), tmp_path, kill)
    assert ended.codes[rank] == 9 and ended.codes[1 - rank] == 1
    assert len(ended.lines) == 1 and "another process of the run ended" in ended.lines[0]
    folder = tmp_path / "runs" / "killed"
    assert (folder / "checkpoint" / "last.json").is_file()
    manifest_is_complete(folder)
    resumed = run_ranks(2, [f"--resume={folder}"], tmp_path, save_often)
    assert resumed.codes == [0, 0], resumed.errors
    assert result_of(folder)["hashes"] == result_of(whole)["hashes"]
    manifest_is_complete(folder)


@pytest.mark.parametrize("size", [1, 3])
def test_resumed_by_another_number_of_processes(
    size: int, whole: Path, tiny_data: Path, tmp_path: Path
) -> None:
    stopped = run_ranks(2, words(tiny_data, tmp_path, "stopped"), tmp_path, stop_at_step_12)
    assert stopped.codes == [1, 1]
    (line,) = stopped.lines
    assert line.startswith("stopped; go on with: torchrun --nproc-per-node=2 run_recbole.py")
    folder = tmp_path / "runs" / "stopped"
    if size == 1:
        assert main(["run", f"--resume={folder}"]) == 0
        assert not (folder / "checkpoint" / "last.json").is_file()
    else:
        # From another directory, where a relative `output_dir` would be a new folder.
        with edited_config(folder) as content:
            content["output_dir"]["value"] = "runs"
        (tmp_path / "away").mkdir()
        assert run_ranks(3, [f"--resume={folder}"], tmp_path / "away").codes == [0] * 3
        assert not list((tmp_path / "away").iterdir())
    one, other = result_of(whole), result_of(folder)
    for name, values in one["metrics"].items():
        assert other["metrics"][name] == pytest.approx(values, abs=2e-3)
    frame = pd.read_parquet(folder / "per_user.parquet")
    assert list(frame["user_id"]) == list(pd.read_parquet(whole / "per_user.parquet")["user_id"])


def at_call(call: int, action: Callable[[Any], Any]) -> None:
    """Change the n-th loss of this process."""
    original, count = UltraGCN.calculate_loss, 0

    def loss(self: UltraGCN, batch: Any) -> Any:
        nonlocal count
        count += 1
        value = original(self, batch)
        return action(value) if count == call else value

    UltraGCN.calculate_loss = loss  # type: ignore[method-assign]


def stop_at_step_12(rank: int) -> None:
    """SIGTERM to one process, in the third epoch; what is kept in memory is saved."""

    def stop(value: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return value

    if rank == 1:
        at_call(12, stop)


def test_a_bad_number_in_one_process_stops_all(tiny_data: Path, tmp_path: Path) -> None:
    def spoil(rank: int) -> None:
        if rank == 1:
            at_call(3, lambda value: value * torch.nan)

    ended = run_ranks(2, words(tiny_data, tmp_path, "nan"), tmp_path, spoil)
    assert ended.codes == [1, 1]
    (line,) = ended.lines
    assert "stage train, epoch 1, batch 3: the training loss is nan" in line


REFUSED = {
    "LightGCN": [],
    "MMGCN": [],
    "FREEDOM": [],
    "UltraGCN": [
        "--negative_sampling=per_positive",
        "--clip_grad_norm={max_norm: 1}",
        "--enable_scaler=True",
        "--fast_loader=False",
        "--eval_args={mode: uni20}",
        "--profile=True",
    ],
    "VBPR": ["--regularizer=norm"],
    "PaInvRL": ["--environment_model=full", "--final_model=FREEDOM"],
    "InvRL": ["--environment_model=full"],
}


@pytest.mark.parametrize(
    ("model", "argument"),
    [(model, word) for model, listed in REFUSED.items() for word in listed or [""]],
)
def test_refusals_name_the_setting(
    model: str, argument: str, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="cannot be trained by 2 processes") as caught:
        check_processes(tiny_config(model, *[argument] * bool(argument)))
    name = argument[2:].partition("=")[0] or f"model: {model}"
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_supported_models_are_not_refused(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for model in ("UltraGCN", "VBPR", "PaInvRL", "InvRL"):
        check_processes(tiny_config(model))
    config = tiny_config("UltraGCN")
    config["use_gpu"] = True
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"with 1 GPUs .* each needs its own"):
        check_processes(config)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with pytest.raises(UserError, match="--resume=RUN"):
        check_processes(tiny_config("VBPR"))


def test_a_refusal_is_one_line_of_all_processes(tiny_data: Path, tmp_path: Path) -> None:
    argv = ["--model=LightGCN", *quick(tiny_data, tmp_path)]
    ended = run_ranks(3, argv, tmp_path)
    assert ended.codes == [2, 2, 2] and len(ended.lines) == 1
    assert not (tmp_path / "runs").exists()
    # A mistake that only the process which reads the data can find.
    argv = ["--model=UltraGCN", *quick(tiny_data, tmp_path, "none")]
    ended = run_ranks(2, argv, tmp_path)
    assert ended.codes == [2, 2] and len(ended.lines) == 1 and "dataset `none`" in ended.lines[0]


def test_other_commands_and_a_stray_world_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_data: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for words in (["benchmark"], ["ablate"], ["tune", "--model=VBPR"]):
        assert main([*words, "--dataset=tiny"]) == 2
        assert "runs in one process, found WORLD_SIZE=2" in capsys.readouterr().err
    assert main(["run", "--model=UltraGCN", *quick(tiny_data, Path.cwd())]) == 2
    assert "torchrun --nproc-per-node" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "own", "machines"), [("2", "2", None), ("4", "2", 2), ("5", "3", 2), ("3", "1", 3)]
)
def test_the_command_starts_as_many_processes_again(
    size: str, own: str, machines: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", own)
    words = [f"--nnodes={machines}"] * bool(machines) + [f"--nproc-per-node={own}"]
    words += ["--rdzv-backend=c10d", "--rdzv-endpoint=HOST:PORT"] * bool(machines)
    assert command() == ["torchrun", *words]


def test_torchrun_gives_the_same_bits(tiny_data: Path, tmp_path: Path, whole: Path) -> None:
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "run_recbole.py"]
    command += words(tiny_data, tmp_path, "torchrun")
    done = fresh(command, ROOT, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert result_of(tmp_path / "runs" / "torchrun")["hashes"] == result_of(whole)["hashes"]
