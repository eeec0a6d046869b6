"""PaInvRL by one command on the tiny planted data: everything the run folder promises."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import SHORT_STAGES, Finished, assert_means, run_main

from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
from recbole_painvrl.models.painvrl.final_stage import compare

METRICS = {f"{name}@{k}" for name in ("recall", "ndcg", "precision") for k in (5, 10)}


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    place = tmp_path_factory.mktemp("painvrl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("sys.argv", ["pytest"])
        words = [*SHORT_STAGES, "--topk=[5,10]"]
        return {
            name: run_main(tiny_data, place, "PaInvRL", *words, f"--seed={seed}", name=name)
            for name, seed in (("first", 1), ("again", 1), ("other", 2))
        }


@pytest.fixture(scope="module")
def first(runs: dict[str, Finished]) -> Finished:
    assert runs["first"].code == 0, runs["first"].err
    return runs["first"]


def test_result_says_who_made_it_from_what(first: Finished) -> None:
    result = first.result
    assert (result["model"], result["dataset"], result["seed"]) == ("PaInvRL", "tiny", 1)
    assert (result["protocol"], result["edition"]) == ("files", "planted")
    sizes = result["split"]["sizes"]
    assert result["data"] == {"users": 120, "items": 90, "interactions": sum(sizes.values())}
    assert set(result["metrics"]) == {"valid", "iid", "ood"}
    for values in result["metrics"].values():
        assert set(values) == METRICS
        assert all(0 <= value <= 1 for value in values.values())
    names = ["backbone", "environments 1", "mask 1", "form", "final", "final with oracle mask"]
    assert [stage["name"] for stage in result["stages"]] == names
    assert all(stage["seconds"] >= 0 for stage in result["stages"])
    stages = {stage["name"]: stage for stage in result["stages"]}
    assert stages["backbone"]["epochs"] == stages["final"]["epochs"] == 2
    assert stages["mask 1"]["epochs"] == 2
    assert sum(stages["environments 1"]["sizes"]) == result["split"]["sizes"]["train"]
    assert {"recbole", "torch", "numpy", "python", "recbole_painvrl"} <= set(result["versions"])
    assert all(len(value) == 64 for value in result["hashes"].values())
    assert result["split"]["shift"] == "planted"
    assert result["seconds"] > 0


def test_every_stage_has_its_history(first: Finished) -> None:
    stages = {stage["name"]: stage for stage in first.result["stages"]}
    for name in ("backbone", "final"):
        history = stages[name]["history"]
        assert [entry["epoch"] for entry in history] == [1, 2]
        assert all(entry["loss"] > 0 and set(entry["valid"]) == METRICS for entry in history)
    final = stages["final"]
    assert final["history"][final["best_epoch"] - 1]["valid"] == final["best_valid"]
    assert final["history"][-1]["loss"] == final["loss"]
    steps = stages["mask 1"]["history"]
    assert [entry["epoch"] for entry in steps] == [1, 2]
    assert all({"l_erm", "l_irm", "w_erm"} <= set(entry) for entry in steps)
    rounds = stages["environments 1"]["history"]
    assert rounds[-1]["sizes"] == stages["environments 1"]["sizes"]
    assert len(rounds) == stages["environments 1"]["rounds"]
    assert "history" not in (first.folder / "train.log").read_text()


def test_result_scores_against_the_planted_truth(first: Finished) -> None:
    planted = first.result["planted"]
    for key in ("mask_auc", "mask_auc_shuffled"):
        assert set(planted[key]) == {"visual", "acoustic", "overall"}
        assert all(0 <= value <= 1 for value in planted[key].values())
    assert planted["mask_auc_shuffled"]["overall"] == pytest.approx(0.5, abs=0.1)
    assert -1 <= planted["environment_ari"] <= 1
    assert abs(planted["environment_ari_shuffled"]) < 0.1
    assert planted["environment_ari_supervised"] > 0.2
    assert set(planted["oracle"]) == {"iid", "ood"}
    assert planted["oracle"] != {k: v for k, v in first.result["metrics"].items() if k != "valid"}


def _without_columns(truth: Path) -> None:
    lines = (truth / "columns.tsv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("visual")]
    (truth / "columns.tsv").write_text("".join(kept))


def _all_invariant(truth: Path) -> None:
    lines = (truth / "columns.tsv").read_text().splitlines()
    kept = [line[:-1] + "1" if line.startswith("visual") else line for line in lines]
    (truth / "columns.tsv").write_text("\n".join(kept) + "\n")


def _one_environment(truth: Path) -> None:
    lines = (truth / "environments.tsv").read_text().splitlines()
    rows = [line.rpartition("\t")[0] + "\t0" for line in lines[1:]]
    (truth / "environments.tsv").write_text("\n".join([lines[0], *rows]) + "\n")


def _not_of_these_rows(truth: Path) -> None:
    lines = (truth / "environments.tsv").read_text().splitlines(keepends=True)
    (truth / "environments.tsv").write_text("".join(lines[:-300]))


@pytest.mark.parametrize(
    ("edit", "absent"),
    [
        (_without_columns, {"mask", "oracle"}),
        (_all_invariant, {"mask", "oracle"}),
        (_one_environment, {"environment"}),
        (_not_of_these_rows, {"environment"}),
    ],
)
def test_truth_that_says_nothing_of_this_run_is_left_out(
    edit: Any, absent: set[str], own_data: Path, tmp_path: Path
) -> None:
    """Such as ``--modalities=[textual]`` of ml-trailers: found at the end of the run."""
    edit(own_data / "tiny" / "truth")
    words = [*SHORT_STAGES, "--modalities=[visual]"]
    run = run_main(own_data, tmp_path, "PaInvRL", *words, name="run")
    assert run.code == 0, run.err
    found = {name.partition("_")[0] for name in run.result["planted"]}
    assert found == {"mask", "oracle", "environment"} - absent
    names = {stage["name"] for stage in run.result["stages"]}
    assert ("final with oracle mask" in names) == ("oracle" not in absent)
    said = run.result["answer"]
    if "mask" in absent:
        assert said["mask"] in ("not known", "nothing found")
    if "environment" in absent:
        assert said["environments"] == "not known"


def test_mask_and_trajectory_are_stored(first: Finished) -> None:
    arrays = first.arrays("mask")
    assert arrays["visual"].shape == (16,)
    assert arrays["acoustic"].shape == (8,)
    for modality in ("visual", "acoustic"):
        assert arrays[modality].min() >= 0
        assert arrays[modality].max() <= 1
        np.testing.assert_array_equal(arrays[modality], arrays[f"round 1/{modality}"])
    steps = {name: a for name, a in arrays.items() if name.startswith("round 1/trajectory/")}
    assert {name.rsplit("/", 1)[1] for name in steps} >= {
        "l_erm", "l_irm", "w_erm", "effective_w_erm", "norm_erm", "norm_irm", "cosine",
    }  # fmt: skip
    assert len({len(values) for values in steps.values()}) == 1
    assert all(np.isfinite(values).all() for values in steps.values())
    # The default l2 makes Eq. 17 one half; the raw gradients' weights are those of their norms.
    erm, irm = (steps[f"round 1/trajectory/norm_{name}"] for name in ("erm", "irm"))
    np.testing.assert_allclose(steps["round 1/trajectory/w_erm"], 0.5, atol=1e-6)
    raw = steps["round 1/trajectory/effective_w_erm"]
    np.testing.assert_allclose(raw, irm / (erm + irm), rtol=1e-4)
    used = np.concatenate([arrays["used/acoustic"], arrays["used/visual"]])
    np.testing.assert_array_equal(first.weights()["mask"].numpy(), used)


def test_environments_are_stored_with_their_pairs(first: Finished, tiny_data: Path) -> None:
    arrays = first.arrays("environments")
    lines = (tiny_data / "tiny" / "tiny.train.inter").read_text().splitlines()[1:]
    pairs = set(zip(arrays["user_id"], arrays["item_id"], strict=True))
    assert pairs == {tuple(line.split("\t")[:2]) for line in lines}
    sizes = np.bincount(arrays["environment"])
    assert sizes.tolist() == arrays["round 1/sizes"][-1].tolist()
    assert len(arrays["round 1/moved"]) == len(arrays["round 1/sizes"])


def test_metrics_per_user(first: Finished) -> None:
    assert_means(first.per_user, first.result["metrics"])


def test_tensorboard_has_the_trajectory(first: Finished) -> None:
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(first.folder / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    for name in ("l_erm", "l_irm", "norm_erm", "norm_irm", "cosine", "w_erm", "effective_w_erm"):
        assert f"mask 1/{name}" in tags
    assert "mask 1/visual/mask_mean" in tags
    assert "environments 1/moved" in tags
    assert {"backbone/loss", "final/loss"} <= tags


@pytest.mark.parametrize(
    ("score", "epochs", "reg_per", "expected"),
    [
        (0.05, 7, "step", "the backbone at 0.1 (NDCG@10): its L2 may be too strong"),
        (0.05, 7, "step", "--preset=large"),
        (0.05, 7, "interaction", "lower it"),
        (0.095, 7, "step", None),
        # At its last epoch it may only have been trained too briefly.
        (0.05, 20, "step", None),
    ],
)
def test_a_converged_final_model_far_below_the_backbone_is_a_warning(
    score: float,
    epochs: int,
    reg_per: str,
    expected: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    weights = {"embedding_reg_weight": 1.0, "backbone_embedding_reg_weight": 0.1}
    trainer: Any = SimpleNamespace(
        settings=SimpleNamespace(reg_per=reg_per, **weights),
        config={"epochs": 20},
        valid_metric="NDCG@10",
        valid_metric_bigger=True,
        log=logging.getLogger("test"),
    )
    backbone = BackboneStage()
    backbone.outcome = (0.1, None)
    context: Any = SimpleNamespace(trainer=trainer, valid_data=())
    compare(context, score, epochs, backbone)
    assert (expected in caplog.text) if expected else not caplog.text
    assert reg_per == "step" or "--preset" not in caplog.text


def test_same_seed_same_numbers(runs: dict[str, Finished]) -> None:
    first, again = runs["first"], runs["again"]
    for key in ("metrics", "planted", "split", "hashes"):
        assert first.result[key] == again.result[key]
    for name in ("best", "backbone"):
        weights, same = first.weights(name), again.weights(name)
        assert set(weights) == set(same)
        for key, tensor in weights.items():
            assert tensor.numpy().tobytes() == same[key].numpy().tobytes(), key
    for name in ("mask", "environments"):
        np.testing.assert_equal(first.arrays(name), again.arrays(name))
    assert first.per_user.equals(again.per_user)


def test_other_seed_other_numbers(runs: dict[str, Finished]) -> None:
    first, other = runs["first"], runs["other"]
    assert first.result["metrics"] != other.result["metrics"]
    assert first.result["split"] == other.result["split"], "the split has a seed of its own"
    masks = [run.arrays("mask")["visual"] for run in (first, other)]
    assert not np.array_equal(*masks)
    assert first.result["hashes"]["data"] == other.result["hashes"]["data"]
    assert first.result["hashes"]["config"] != other.result["hashes"]["config"]
