"""A run opens with nothing but its folder, or says in one line why not."""

from __future__ import annotations

import datetime
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from forks import forked
from recbole.data import data_preparation
from recbole.utils.case_study import full_sort_scores, full_sort_topk
from serving_support import MakeRun, pairs
from sklearn.metrics import roc_auc_score
from support import edited, id_pairs, result_of, run_main, write_inter

import recbole_painvrl
from recbole_painvrl.config import SafeConfig
from recbole_painvrl.errors import UserError
from recbole_painvrl.inference.loading import _callers_state, load_run
from recbole_painvrl.run.resume import settings_hash
from recbole_painvrl.training.checkpoint import read_checkpoint


@pytest.fixture
def copy(finished: MakeRun, tmp_path: Path) -> Path:
    """A run folder that a test may damage."""
    return Path(shutil.copytree(finished("UltraGCN"), tmp_path / "run"))


def stored(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    return read_checkpoint(folder / "checkpoint" / "best.safetensors", torch.device("cpu"))


def test_the_public_name(finished: MakeRun) -> None:
    folder = finished("PaInvRL")
    run = recbole_painvrl.load_run(str(folder))
    assert isinstance(run.config, SafeConfig)
    assert run.result == result_of(folder)
    assert set(run.parts) == {"train", "valid", "test", "ood_valid", "ood"}
    assert not run.model.training
    weights, _ = stored(folder)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, weights[name])
    with np.load(folder / "mask.npz", allow_pickle=False) as masks:
        for name, part in run.dataset.features.slices.items():
            assert np.array_equal(run.model.mask[part].numpy(), masks[name])
    with pytest.raises(AttributeError, match="no attribute 'load_runs'"):
        recbole_painvrl.load_runs  # noqa: B018


def test_in_a_fresh_process_from_another_place(finished: MakeRun, tmp_path: Path) -> None:
    folder = finished("PaInvRL")
    run = load_run(folder)
    scores = run.model.full_sort_predict({"user_id": torch.arange(1, 5)})
    place = tmp_path / "elsewhere"
    place.mkdir()

    def program() -> int:
        run = recbole_painvrl.load_run(folder)
        found = run.model.full_sort_predict({"user_id": torch.arange(1, 5)})
        print("scores", found.detach().double().numpy().tobytes().hex())
        return 0

    done = forked(program, place)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("scores "))
    found = np.frombuffer(bytes.fromhex(line.removeprefix("scores ")))
    assert np.allclose(found, scores.double().detach().numpy(), rtol=1e-6, atol=1e-9)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("visible", ["", None])
def test_the_callers_process_is_left_alone(
    visible: str | None, finished: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random numbers, cuDNN's flags, threads and visible devices."""
    folder, cudnn = finished("UltraGCN"), torch.backends.cudnn

    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(cudnn, "benchmark", True)
    monkeypatch.setattr(cudnn, "deterministic", False)
    threads = torch.get_num_threads()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draws()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    load_run(folder)
    assert draws() == expected
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    assert (cudnn.benchmark, cudnn.deterministic) == (True, False)
    assert torch.get_num_threads() == threads


def test_gpus_that_the_caller_had_not_used_have_the_callers_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opening a run of a GPU seeds it for the run."""
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    torch.manual_seed(7)
    with _callers_state():
        torch.manual_seed(1)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert seeds == [7, 1, 7]


def test_a_moved_dataset_is_found_and_a_changed_one_refused(copy: Path, tmp_path: Path) -> None:
    data = Path(yaml.safe_load((copy / "config.yaml").read_text())["data_path"]["value"])
    moved = Path(shutil.copytree(data, tmp_path / "moved" / "tiny"))
    assert load_run(copy, tmp_path / "moved").dataset.folder == moved
    table = moved / "tiny.train.inter"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))
    with pytest.raises(UserError, match=r"its files have changed.*train again"):
        load_run(copy, tmp_path / "moved")


def test_no_run(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; did you mean `run`"):
        load_run(tmp_path / "runn")
    with pytest.raises(UserError, match="not a run folder"):
        load_run(tmp_path)
    (copy / "result.json").unlink()
    with pytest.raises(UserError, match=f"not complete.*--resume={copy}"):
        load_run(copy)


def test_weights_of_another_run(copy: Path, finished: MakeRun) -> None:
    other = finished("UltraGCN", "--seed=7")
    shutil.copy(other / "checkpoint" / "best.safetensors", copy / "checkpoint")
    with pytest.raises(UserError, match=r"is not the checkpoint that result\.json was made with"):
        load_run(copy)
    # A result may name no weights, too.
    with edited(copy / "result.json") as result:
        del result["hashes"]["weights"]
    with pytest.raises(UserError, match=r"is not the checkpoint that result\.json was made with"):
        load_run(copy)


def test_another_split_than_that_of_the_run(copy: Path) -> None:
    with edited(copy / "result.json") as result:
        result["split"]["sizes"]["train"] += 1
    with pytest.raises(UserError, match="the split of the run had"):
        load_run(copy)


def test_a_relative_place_is_that_of_the_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, place = tmp_path / "home", tmp_path / "elsewhere"
    shutil.copytree(tiny_data, home / "dataset")
    place.mkdir()
    monkeypatch.chdir(home)
    done = run_main(Path("dataset"), Path(), "BPR", name="x")
    assert done.code == 0, done.err
    monkeypatch.chdir(place)
    assert load_run(home / "runs" / "x").dataset.item_num == 91
    (home / "dataset").rename(home / "away")
    with pytest.raises(UserError, match=r"dataset/tiny: no such folder.*--data-path"):
        load_run(home / "runs" / "x")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("words", [("BPR", "--protocol=random"), ("PaInvRL",), ("MultiVAE",)])
def test_recboles_case_study_gives_the_metrics_of_the_run(
    words: tuple[str, ...], finished: MakeRun
) -> None:
    run = load_run(finished(*words))
    public = {"ood": "ood", "test": "iid" if "ood" in run.parts else "test", "valid": "valid"}
    for split, name in public.items():
        if split not in run.parts:
            continue
        loader = run.full_sort_data(split)
        positives = [set(items.tolist()) for items in loader.uid2positive_item[loader.uid_list]]
        _, top = full_sort_topk(loader.uid_list.numpy(), run.model, loader, k=10)
        recall = [
            len(positive & set(row)) / len(positive)
            for positive, row in zip(positives, top.tolist(), strict=True)
        ]
        assert np.mean(recall) == pytest.approx(run.result["metrics"][name]["recall@10"], abs=1e-6)
    # RecBole's own preparation makes the same loader of the same split.
    train, valid, test = data_preparation(run.config, run.dataset)
    for own, theirs in ((run.valid_data, valid), (run.test_data, test)):
        users = theirs.uid_list.numpy()
        scores = [full_sort_scores(users, run.model, loader) for loader in (own, theirs)]
        assert torch.equal(*scores)
        # Also users without an interaction in the split.
        everybody = np.arange(1, run.dataset.user_num)
        assert full_sort_scores(everybody, run.model, own).shape == (120, 91)
    assert (
        len(train.dataset) == len(run.train_data.dataset) == run.result["split"]["sizes"]["train"]
    )


def test_the_ood_validation_ranks_what_iid_validation_holds(finished: MakeRun) -> None:
    """Selection knows the training split alone; a test also leaves validation out."""
    run = load_run(finished("PaInvRL"))
    for split, known in (
        ("ood_valid", ["train"]),
        ("valid", ["train"]),
        ("ood", ["train", "valid"]),
    ):
        expected: dict[int, set[int]] = {}
        for name in known:
            for user, item in id_pairs(run.parts[name]):
                expected.setdefault(user, set()).add(item)
        loader = run.full_sort_data(split)
        for user in loader.uid_list.tolist():
            assert set(loader.uid2history_item[user].tolist()) == expected[user]


def test_case_study_without_validation_and_with_a_user_who_has_seen_everything(
    tmp_path: Path,
) -> None:
    rows = (f"u{u}\ti{i}" for u in range(12) for i in range(8) if u == 0 or (u + i) % 3)
    data = write_inter(tmp_path, "all", "user_id:token\titem_id:token", rows)
    done = run_main(
        data, tmp_path, "BPR", "--dataset=all", "--epochs=1", "--topk=[2]", "--valid_metric=NDCG@2",
        "--eval_args={split: {RS: [8, 0, 2]}}", name="run",
    )  # fmt: skip
    assert done.code == 0, done.err
    run = load_run(done.folder)
    (user,) = run.dataset.token2id("user_id", ["u0"]).reshape(1)
    scores = full_sort_scores(np.array([user]), run.model, run.test_data)
    tests = {item for name, item in pairs(run, "test") if name == "u0"}
    left = {run.dataset.id2token("item_id", i) for i in scores[0].isfinite().nonzero().ravel()}
    assert left == tests
    with pytest.raises(UserError, match="no evaluation split `valid`, found \\['test'\\]"):
        run.valid_data  # noqa: B018


def test_a_labelled_run_opens_with_the_graph_it_was_trained_on(tmp_path: Path) -> None:
    """Rows with label 0 are no edges of LightGCN's graph."""
    rows = (
        f"u{u}\ti{(u * 7 + j * 3) % 30}\t{1 + (u + j) % 5}" for u in range(40) for j in range(10)
    )
    data = write_inter(tmp_path, "rated", "user_id:token\titem_id:token\trating:float", rows)
    done = run_main(
        data, tmp_path, "LightGCN", "--dataset=rated", "--eval_args={mode: labeled}",
        "--threshold={rating: 3}", "--load_col={inter: [user_id, item_id, rating]}",
        "--metrics=[AUC]", "--valid_metric=AUC", name="run",
    )  # fmt: skip
    assert done.code == 0, done.err
    run = load_run(done.folder)
    table = run.parts["test"].inter_feat
    with torch.no_grad():
        scores = run.model.predict(table.to(run.config["device"]))
    auc = roc_auc_score(table["label"].numpy(), scores.numpy())
    assert auc == pytest.approx(done.result["metrics"]["test"]["auc"], abs=1e-6)
    assert (run.parts["train"].inter_feat["label"] == 0).sum() > 0


def test_damaged_weights_and_weights_that_do_not_fit(copy: Path) -> None:
    path = copy / "checkpoint" / "best.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"best\.safetensors: not a readable checkpoint"):
        load_run(copy)
    path.write_bytes(content)
    kept = (copy / "config.yaml").read_text()
    for name, value in (("seed", datetime.date(2024, 1, 1)), ("embedding_size", 65)):
        (copy / "config.yaml").write_text(kept)
        with edited(copy / "config.yaml") as settings:
            settings[name]["value"] = value
        with pytest.raises(UserError, match=r"config\.yaml: has other settings"):
            load_run(copy)
    with_its_settings(copy)
    with pytest.raises(UserError, match="does not fit the model"):
        load_run(copy)


def with_its_settings(folder: Path) -> None:
    """Make the result that of the settings in ``config.yaml``."""
    with edited(folder / "result.json") as result:
        result["hashes"]["config"] = settings_hash(folder / "config.yaml")


def test_settings_without_effect_of_an_earlier_version_are_ignored(copy: Path) -> None:
    with edited(copy / "config.yaml") as settings:
        for name in ("config_file", "config_files", "resume"):
            settings[name] = {"value": "mine.yaml", "from": "file first.yaml"}
    with_its_settings(copy)
    assert load_run(copy).config["resume"] is None


def test_other_versions_are_a_warning(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with edited(copy / "result.json") as result:
        result["versions"]["torch"] = "1.0"
    load_run(copy)
    (line,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert "was made with torch 1.0 (now " in line


def test_another_training_split_is_refused(finished: MakeRun, tmp_path: Path) -> None:
    """Of the same size: other libraries may shuffle otherwise."""
    folder = Path(shutil.copytree(finished("BPR", "--protocol=random"), tmp_path / "run"))
    with edited(folder / "config.yaml") as values:
        values["seed"]["value"] += 1
    with_its_settings(folder)
    with pytest.raises(UserError, match="has other interactions"):
        load_run(folder)
