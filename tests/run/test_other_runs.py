"""Other models and protocols: the same command, the same kind of run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import SHORT_STAGES, assert_means, files_in, run_main

FILES = {
    "config.yaml",
    "result.json",
    "per_user.parquet",
    "train.log",
    "tensorboard",
    "checkpoint/best.safetensors",
}


@pytest.mark.parametrize(
    ("model", "argv"),
    [
        ("UltraGCN", ("--modalities=[]",)),
        ("UltraGCN", ("--modalities=[visual]", "--negative_sampling=per_positive",
                      "--n_negatives=5", "--exclude_positives=True")),
        ("NGCF", ()),
        ("Pop", ()),
    ],
    ids=["ID-only", "one modality", "NGCF", "Pop"],
)  # fmt: skip
def test_every_model_leaves_the_same_kind_of_folder(
    model: str, argv: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    run = run_main(tiny_data, tmp_path, model, *argv, name="x")
    assert run.code == 0, run.err
    assert files_in(run.folder) >= FILES
    assert not {"mask.npz", "environments.npz"} & files_in(run.folder)
    result = run.result
    assert result["model"] == model and "answer" not in result
    assert set(result["metrics"]) == {"valid", "iid", "ood"}
    assert result["metrics"]["iid"]["ndcg@10"] > 0
    assert [stage["name"] for stage in result["stages"]] == ["train"]
    assert_means(run.per_user, result["metrics"])
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    used = {} if "--modalities=[]" in argv else result["modalities"]
    assert result["modalities"] == used
    for words in (f"{model} on tiny", "test (IID)", "test (OOD)"):
        assert words in run.out


def test_known_environments_and_several_outer_rounds(tiny_data: Path, tmp_path: Path) -> None:
    argv = (*SHORT_STAGES, "--known_environments=True", "--outer_rounds=2", "--oracle=False")
    run = run_main(tiny_data, tmp_path, "PaInvRL", *argv, name="x")
    assert run.code == 0, run.err
    names = [stage["name"] for stage in run.result["stages"]]
    assert "mask 2" in names
    assert "final with oracle mask" not in names
    assert "oracle" not in run.result["planted"]
    assert run.result["planted"].get("environment_ari") is None, "nothing was identified"


@pytest.mark.parametrize(("model", "preset"), [("PaInvRL", "paper_literal"), ("InvRL", "released")])
def test_presets_run(model: str, preset: str, tiny_data: Path, tmp_path: Path) -> None:
    short = (*SHORT_STAGES, "--environment_epochs=1", "--outer_rounds=1", "--oracle=False")
    argv = (f"--preset={preset}", "--n_environments=3", "--eval_step=1", *short)
    run = run_main(tiny_data, tmp_path, model, *argv, name="x")
    assert run.code == 0, run.err
    assert len(run.result["stages"][1]["sizes"]) == 3


def test_best_epoch_is_the_one_that_was_kept(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--epochs=3", "--eval_step=2", name="two")
    assert run.result["stages"][0]["best_epoch"] == 2


@pytest.mark.parametrize("model", ["EASE", "RP3beta"])
def test_a_model_without_training_is_validated_after_its_one_epoch(
    model: str, tiny_data: Path, tmp_path: Path
) -> None:
    """Whatever `eval_step` and `epochs` are, which other models of a grid may need."""
    rarely = run_main(tiny_data, tmp_path, model, "--epochs=6", "--eval_step=5", name="rarely")
    always = run_main(tiny_data, tmp_path, model, name="always")
    assert rarely.code == 0, rarely.err
    assert rarely.result["metrics"] == always.result["metrics"]
    assert rarely.result["stages"][0]["best_epoch"] == 1
