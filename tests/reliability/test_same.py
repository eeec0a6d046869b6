"""Two threads, recorded seeds, and resuming after data, settings or versions have changed."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from support import SHORT_STAGES, Finished, MakeConfig, edited, result_of, run_main

from benchmarks.reliability.determinism import metric_distance, weight_distance
from recbole_painvrl import seeds
from recbole_painvrl.cli.run import main
from recbole_painvrl.config import SafeConfig
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.locks import LOCK
from recbole_painvrl.run import folder as run_folder
from recbole_painvrl.run.folder import CONFIG, FINAL_CONFIG, config_hash, write_config, write_result
from recbole_painvrl.run.resume import interrupted_run, keep_data_path
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.checkpoint import tensors_hash, weights_hash

# What docs/reliability.md promises for one thread against two.
METRIC, WEIGHT = 1e-3, 1e-3


@pytest.mark.parametrize("model", ["VBPR", "LightGCN", "MMSSL"])
def test_two_threads_give_nearly_the_same(model: str, tiny_data: Path, tmp_path: Path) -> None:
    batch = "--train_batch_size=1000"
    one, two = (
        run_main(tiny_data, tmp_path, model, batch, f"--n_threads={n}", name=f"{n}") for n in (1, 2)
    )
    assert (one.code, two.code) == (0, 0)
    assert (one.result["threads"], two.result["threads"]) == (1, 2)
    assert metric_distance(one.result["metrics"], two.result["metrics"]) <= METRIC
    assert weight_distance(one.folder, two.folder) <= WEIGHT


def test_the_hash_of_the_weights(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(2), "n": torch.tensor(3)}
    same = tensors_hash(weights)
    assert tensors_hash(dict(reversed(weights.items()))) == same
    others: list[dict[str, torch.Tensor]] = [
        {**weights, "a": torch.zeros(3, 2)},
        {**weights, "b": torch.ones(2, dtype=torch.float64)},
        {**weights, "b": torch.ones(2).view(torch.int32)},
        {**weights, "b": torch.nextafter(torch.ones(2), torch.tensor(2.0))},
        {"a": weights["a"], "c": weights["b"], "n": weights["n"]},
    ]
    assert len({same, *map(tensors_hash, others)}) == 6


@pytest.mark.parametrize(
    ("model", "argv"),
    [
        ("PaInvRL", (*SHORT_STAGES, "--outer_rounds=2")),
        *[
            (model, ("--train_batch_size=400",))
            for model in ("UltraGCN", "MMSSL", "MMGCN", "VBPR", "BPR")
        ],
    ],
)
def test_every_seed_in_use_is_recorded(
    model: str,
    argv: tuple[str, ...],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: dict[int, str] = {}

    def spy(seed: int, purpose: str) -> int:
        used[derive_seed(seed, purpose)] = purpose
        return derive_seed(seed, purpose)

    monkeypatch.setattr(seeds, "derive_seed", spy)
    run = run_main(tiny_data, tmp_path, model, *argv, "--seed=7", name="x")
    assert run.code == 0, run.err
    recorded = run.result["seeds"]
    assert recorded["run"] == 7
    training = {number: purpose for number, purpose in used.items() if "planted" not in purpose}
    assert not {n: p for n, p in training.items() if n not in recorded.values()}
    derived = [number for number in recorded.values() if number > 7]
    assert len(derived) == len(set(derived)), "every purpose has another seed"
    assert set(derived) == set(training), "and draws from it"
    assert run.result["hashes"]["weights"] == weights_hash(
        run.folder / "checkpoint" / "best.safetensors"
    )
    if model == "PaInvRL":
        wanted = {"initial values", "shuffling", "negatives", "mask 1 gate noise", "environments 1"}
        assert wanted <= set(recorded)


Stopped = tuple[Path, Path]


@pytest.fixture(scope="module")
def complete(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a run, ``runs/x``, and its own copy of the data."""
    place = tmp_path_factory.mktemp("complete")
    shutil.copytree(tiny_data, place / "data")
    run: Finished = run_main(place / "data", place, "BPR", name="x")
    assert run.code == 0, run.err
    return place


@pytest.fixture
def stopped(complete: Path, tmp_path: Path) -> Iterator[Stopped]:
    """A run stopped after its last stage, and the folder of its data; both are restored."""
    shutil.copytree(complete, tmp_path / "before")
    (complete / "runs" / "x" / "result.json").unlink()
    yield complete / "runs" / "x", complete / "data" / "tiny"
    shutil.rmtree(complete)
    shutil.copytree(tmp_path / "before", complete)


def test_the_hash_of_the_settings_leaves_out_where_a_run_is_written_and_how_it_is_shown() -> None:
    settings = SafeConfig("PaInvRL", "tiny").effective()
    settings |= {name: {"value": "x", "from": "set by the run"} for name in ("run_folder",)}
    whole = config_hash(settings)
    left_out = {
        name for name in settings if config_hash({**settings, name: {"value": "other"}}) == whole
    }
    assert left_out == {
        "output_dir", "run_name", "run_folder", "checkpoint_dir", "data_path", "resume",
        "show_progress", "state", "memory_check", "profile",
    }  # fmt: skip


def test_a_figure_that_is_not_finite_is_none_in_the_result(tmp_path: Path) -> None:
    write_result(tmp_path, {"metrics": {"valid": {"auc": math.nan}}, "range": [1.5, -math.inf]})
    assert result_of(tmp_path) == {"metrics": {"valid": {"auc": None}}, "range": [1.5, None]}


def resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    return main([f"--resume={folder}", "--show_progress=False"]), capsys.readouterr().err


def test_other_data_are_refused(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    folder, data = stopped
    path = data / "tiny.train.inter"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    code, message = resumed(folder, capsys)
    assert code == 2
    assert "it began with other data (" in message and "start a new run" in message
    assert not (folder / LOCK).exists()


def test_another_default_protocol_is_refused(
    stopped: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest of the epochs would train on other interactions, among them those of the tests."""
    folder, data = stopped
    path = data / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "default_protocol": "random"}))
    code, message = resumed(folder, capsys)
    assert code == 2
    assert "it began with other protocol (files then, random now)" in message
    assert not (folder / "result.json").exists()


def test_other_planted_truth_is_refused(
    stopped: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores of the mask and the oracle mask would be those of another truth."""
    folder, data = stopped
    path = data / "truth" / "columns.tsv"
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, last[:-1] + str(1 - int(last[-1]))]) + "\n")
    code, message = resumed(folder, capsys)
    assert code == 2
    assert "it began with other truth (" in message
    assert not (folder / "result.json").exists()


def test_other_settings_are_refused(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = stopped
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("epochs:\n  from: ", "epochs:\n  from: edited, ", 1))
    code, _ = resumed(folder, capsys)
    assert code == 0, "the source of a value is not a setting"
    (folder / "result.json").unlink()
    text = path.read_text()
    lines = text.splitlines()
    lines[lines.index("learning_rate:") + 2] = "  value: 0.5"
    path.write_text("\n".join(lines) + "\n")
    code, message = resumed(folder, capsys)
    assert code == 2
    assert "it began with other settings (" in message


@pytest.mark.parametrize(
    ("package", "code", "words"),
    [
        ("torch", 2, "it began with other torch ("),
        ("recbole", 2, "it began with other recbole ("),
        ("recbole_painvrl", 2, "it began with other recbole_painvrl ("),
        ("pandas", 0, "resumed with other pandas ("),
        ("python", 0, "resumed with other python ("),
    ],
)
def test_other_versions(
    package: str,
    code: int,
    words: str,
    stopped: Stopped,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _ = stopped
    installed = run_folder.versions()
    monkeypatch.setattr(run_folder, "versions", lambda: {**installed, package: "0.0.1"})
    found, message = resumed(folder, capsys)
    assert found == code, message
    assert words in message and "0.0.1 now" in message


def test_other_threads(
    stopped: Stopped, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On large data without `n_threads`, their number is that of the machine or OMP_NUM_THREADS."""
    monkeypatch.setattr("recbole_painvrl.run.threads._SMALL", 0)
    torch.set_num_threads(2)
    code, message = resumed(stopped[0], capsys)
    assert code == 0, message
    assert "resumed with other threads (1 then, 2 now); figures may differ" in message


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_goes_on_with_the_gpus_that_it_is_given(
    processes: int, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the environment; without it, every process of torchrun takes its own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    began = tiny_config("BPR", "--use_gpu=True").effective()
    write_config(tmp_path, began)
    if processes == 1:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    else:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.setenv("WORLD_SIZE", "2")
    _, config = interrupted_run([f"--resume={tmp_path}"])
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == ("3" if processes == 1 else None)
    assert config_hash(config.effective()) == config_hash(began), "no other setting"
    write_config(tmp_path, tiny_config("BPR", "--use_gpu=True", "--gpu_id=2").effective())
    interrupted_run([f"--resume={tmp_path}"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2", "as the user chose"


def test_a_run_without_a_checkpoint_starts_over(
    stopped: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = stopped
    expected = (folder / "checkpoint" / "best.safetensors").read_bytes()
    shutil.rmtree(folder / "checkpoint")
    with edited(folder / "config.yaml") as settings:
        # As of an older version, which had one setting less.
        del settings["ndcg_hits"]
    code, message = resumed(folder, capsys)
    assert code == 0, message
    assert "stopped before its first checkpoint; it begins again" in message
    assert (folder / "checkpoint" / "best.safetensors").read_bytes() == expected
    assert load_run(folder).result["metrics"]


def test_other_code_is_said_and_recorded(
    stopped: Stopped,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The result of two codes has the hash of neither."""
    folder, _ = stopped
    before = result_of(tmp_path / "before" / "runs" / "x")
    monkeypatch.setattr("recbole_painvrl.run.runner.code_hash", lambda: "0" * 64)
    hashes = []
    for _ in range(2):
        code, message = resumed(folder, capsys)
        assert code == 0
        assert "resumed with other code (" in message
        hashes.append(result_of(folder)["hashes"]["code"])
        (folder / "result.json").unlink()
    assert hashes[0] == hashes[1] not in (before["hashes"]["code"], "0" * 64)


@pytest.fixture
def interrupted(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A run to be resumed, begun in a directory with relative paths and perhaps a link."""
    shutil.copytree(tiny_data, tmp_path / "data")
    if request.param == "link":
        (tmp_path / "scratch" / "runs").mkdir(parents=True)
        (tmp_path / "runs").symlink_to(tmp_path / "scratch" / "runs")
    monkeypatch.chdir(tmp_path)
    run = run_main(Path("data"), Path(), "BPR", name="x")
    assert run.code == 0, run.err
    (run.folder / "result.json").unlink()
    return run.folder


@pytest.mark.parametrize("interrupted", ["plain"], indirect=True)
def test_a_run_is_resumed_from_another_directory(
    interrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    code, message = resumed(Path("..") / interrupted, capsys)
    assert code == 0, message
    assert not any((tmp_path / "else").iterdir())
    for place in (tmp_path / "else", tmp_path, tmp_path.parent):
        monkeypatch.chdir(place)
        load_run(tmp_path / interrupted)


def test_the_final_model_learns_too_where_the_data_are(tmp_path: Path) -> None:
    for name in (CONFIG, FINAL_CONFIG):
        write_config(tmp_path, {"data_path": {"value": "data/tiny", "from": "file"}}, name)
    keep_data_path(tmp_path, "else/tiny")
    for name in (CONFIG, FINAL_CONFIG):
        kept = yaml.safe_load((tmp_path / name).read_text())["data_path"]
        assert kept == {"value": str(Path.cwd() / "else" / "tiny"), "from": "file"}


@pytest.mark.parametrize("interrupted", ["link"], indirect=True)
def test_a_link_to_the_runs_leaves_the_data_where_they_are(
    interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (interrupted / "config.yaml").read_bytes()
    code, message = resumed(interrupted, capsys)
    assert code == 0, message
    assert (interrupted / "config.yaml").read_bytes() == before
    load_run(interrupted)
