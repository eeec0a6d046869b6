"""A final model other than UltraGCN: its settings, its features, and what such a run can do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support import (
    STAGES_ALONE,
    TINY,
    Finished,
    MakeConfig,
    empty_figures,
    every_mask_is_cut,
    killing,
    planted_data,
    result_of,
    run_main,
)

from recbole_painvrl import load_run
from recbole_painvrl.__main__ import main as command_line
from recbole_painvrl.cli.run import main
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.inference.vectors import content_vectors
from recbole_painvrl.run.build import build_data
from recbole_painvrl.run.final_model import check_final, final_config

WORDS = (*STAGES_ALONE, "--seed=5", "--mask_form=binary", "--train_batch_size=256")
FINAL = ("--final_model=VBPR", "--final_settings={reg_weight: 0.05, embedding_size: 6}")


@pytest.fixture(scope="module", autouse=True)
def _cut() -> Iterator[None]:
    with every_mask_is_cut():
        yield


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    place = tmp_path_factory.mktemp("final")
    found = run_main(tiny_data, place, "PaInvRL", *WORDS, *FINAL, name="vbpr")
    assert found.code == 0, found.err
    return found


def test_the_final_model_has_its_own_settings_and_the_masked_features(run: Finished) -> None:
    result = run.result
    assert result["model"] == "PaInvRL" and result["stages"][-1]["model"] == "VBPR"
    assert "--models=VBPR" in result["answer"]["lines"][-1]
    opened = load_run(run.folder)
    assert type(opened.model).__name__ == "VBPR"
    settings = {name: opened.config[name] for name in ("reg_weight", "embedding_size")}
    assert settings == {"reg_weight": 0.05, "embedding_size": 6}
    assert opened.config["train_batch_size"] == 256 and opened.config["learning_rate"] == 0.01
    arrays = run.arrays("mask")
    used = np.concatenate([arrays["used/acoustic"], arrays["used/visual"]])
    assert set(used) == {0.0, 1.0}
    features = opened.model.features
    assert features[:, used == 0].eq(0).all() and not features[:, used == 1].eq(0).all()
    # The stages before it have the run's own settings.
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["embedding_size"]["value"] == 64


def test_another_mask_or_other_settings_are_refused(run: Finished, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(run.folder, copied)
    load_run(copied)
    settings = copied / "final.yaml"
    settings.write_text(settings.read_text().replace("value: 0.05", "value: 0.06"))
    with pytest.raises(UserError, match=r"final\.yaml: has other settings"):
        load_run(copied)
    shutil.copy(run.folder / "final.yaml", copied)
    with np.load(run.folder / "mask.npz") as arrays:
        np.savez(copied / "mask.npz", **{name: 1 - arrays[name] for name in arrays.files})
    with pytest.raises(UserError, match="is not the mask"):
        load_run(copied)


def test_recommend_export_cold_items_and_report_work(run: Finished, tmp_path: Path) -> None:
    folder, out = str(run.folder), tmp_path / "top.csv"
    assert command_line(["recommend", folder, "--k=3", "--users=all", f"--out={out}"]) == 0
    assert len(out.read_text().splitlines()) > 100
    for what in ("embeddings", "mask", "representations"):
        written = f"--out={tmp_path / what}.npy"
        assert command_line(["export", folder, f"--what={what}", written]) == 0
    mask = np.load(tmp_path / "mask.visual.npy")
    np.testing.assert_array_equal(mask, run.arrays("mask")["used/visual"])
    opened = load_run(folder)
    cold = content_vectors(opened.model, torch.rand(2, 24))
    assert cold is not None and cold.shape[0] == 2
    with empty_figures():
        page = f"--output={tmp_path / 'page.html'}"
        assert command_line(["report", folder, page]) == 0


# Backbone twice and done, environments, two epochs of the mask and done, form: within the final
# model from the tenth on.
@pytest.mark.parametrize("at", [3, 10])
def test_a_killed_run_goes_on_to_the_same_numbers(
    at: int, run: Finished, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with killing(at):
        run_main(tiny_data, tmp_path, "PaInvRL", *WORDS, *FINAL, name="cut")
    folder = tmp_path / "runs" / "cut"
    assert not (folder / "result.json").exists() and (folder / "final.yaml").exists()
    kept = (folder / "final.yaml").read_text()
    (folder / "final.yaml").write_text(kept.replace("value: 0.05", "value: 0.06"))
    assert main([f"--resume={folder}", "--show_progress=False"]) == 2
    assert "other final.yaml" in capsys.readouterr().err
    (folder / "final.yaml").write_text(kept)
    assert main([f"--resume={folder}", "--show_progress=False"]) == 0
    same = result_of(folder)
    assert same["metrics"] == run.result["metrics"]
    assert same["hashes"]["weights"] == run.result["hashes"]["weights"]


def test_checking_the_final_model_searches_no_neighbours(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among 100,000 items it would take as long as the search of the final model itself."""
    searched = []

    def search(rows: torch.Tensor, present: torch.Tensor, *words: Any) -> Any:
        searched.append(int(present.sum()))
        return nearest_rows(rows, present, *words)

    monkeypatch.setattr("recbole_painvrl.models.item_graphs.nearest_rows", search)
    config = tiny_config("PaInvRL", "--final_model=FREEDOM")
    final = final_config(config)
    assert final is not None
    check_final(final, build_data(config)[1])
    assert searched == [0, 0]


def test_a_setting_of_the_log_is_a_warning_once(tiny_config: MakeConfig) -> None:
    """It was handed on to the final model, which warned of it again."""
    config = tiny_config("PaInvRL", "--final_model=VBPR", "--state=DEBUG")
    final = final_config(config)
    assert final is not None
    assert [len(one.idle) for one in (config, final)] == [1, 0]


def test_a_ridge_that_is_too_small_is_refused_before_anything_is_trained(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """The check of features that were all zeros found nothing: the last stage ended the run."""
    wide = replace(TINY, modalities={"visual": 80, "acoustic": 40})
    words = ("--final_model=ContentEASE", "--final_settings={form: whitened, reg_weight: 1.0e-7}")
    config = tiny_config("PaInvRL", *words, data=planted_data(wide, tmp_path / "wide"))
    final = final_config(config)
    assert final is not None
    with pytest.raises(UserError, match="too small for the form whitened"):
        check_final(final, build_data(config)[1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--final_model=VBRP"], "did you mean `VBPR`"),
        (["--final_model=LightGCN"], "expected a model with features"),
        (["--final_model=InvRL"], "expected a model with features"),
        (["--final_model=VBPR", "--final_settings={reg_wieght: 1}"], "reg_wieght"),
        (["--final_model=VBPR", "--mask_form=validation"], "`mask_form: validation`"),
        (["--final_settings={reg_weight: 1}"], "`final_settings`"),
        (["--final_model=VBPR", "--final_settings={modalities: [visual]}"], "has no effect"),
        (["--final_model=VBPR", "--final_settings={feature_mask: x.npz}"], "has no effect"),
        (["--final_model=VBPR", "--final_settings={seed: 3}"], "seed, device, metrics and folder"),
        (["--final_model=VBPR", "--final_settings={valid_metric: Recall@10}"], "has no effect"),
        (
            ["--final_model=BM3", "--final_settings={content_weight: 0.0}"],
            "BM3, which uses no features with these settings",
        ),
        (["--final_model=VBPR", "--compare_backbone=True"], "benchmark --models=VBPR"),
        # What only the model itself, its loader or its trainer can tell.
        (["--final_model=FREEDOM", "--final_settings={modality_weights: {x: 1}}"], "modality `x`"),
        (["--final_model=VBPR", "--final_settings={train_neg_sample_args: ~}"], "needs negatives"),
        (["--final_model=MMSSL", "--final_settings={train_batch_size: 1}"], "at least 2 users"),
        (["--final_model=MMSSL", "--final_settings={enable_amp: True}"], "two optimisers"),
        (["--final_model=VBPR", "--final_settings={enable_scaler: True}"], "on GPUs only"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_trained(
    words: list[str], expected: str, tiny_data: Path, tmp_path: Path
) -> None:
    found = run_main(tiny_data, tmp_path, "PaInvRL", *STAGES_ALONE, *words, name="wrong")
    assert found.code == 2 and expected in found.err and not found.folder.exists()
    assert len(found.err.strip().splitlines()) == 1, found.err


def test_a_setting_without_effect_is_named_once(tiny_data: Path, tmp_path: Path) -> None:
    """Once for the run and its final model, here before the latter is refused."""
    words = ("--final_model=VBPR", "--eval_step=0", "--stopping_step=3", "--topk=[10,9999]")
    found = run_main(tiny_data, tmp_path, "PaInvRL", *STAGES_ALONE, *words, name="once")
    assert found.code == 2 and "`topk`" in found.err
    assert found.err.count("`stopping_step` has no effect") == 1


def test_its_settings_come_before_those_of_the_run_whose_preset_is_not_its_own(
    tiny_config: MakeConfig,
) -> None:
    given = ("--preset=large", "--embedding_size=32", "--learning_rate=0.5")
    found = final_config(tiny_config("PaInvRL", *given, *FINAL))
    assert found is not None and found["preset"] is None
    assert (found["embedding_size"], found["learning_rate"]) == (6, 0.5)


def test_it_is_the_model_trained_alone_on_the_mask_of_the_run(
    run: Finished, tiny_data: Path, tmp_path: Path
) -> None:
    own = ("--seed=5", "--train_batch_size=256", "--reg_weight=0.05", "--embedding_size=6")
    mask = f"--feature_mask={run.folder}"
    alone = run_main(tiny_data, tmp_path, "VBPR", *own, mask, name="alone")
    assert alone.code == 0, alone.err
    assert alone.result["metrics"] == run.result["metrics"]
    assert alone.result["hashes"]["weights"] == run.result["hashes"]["weights"]
