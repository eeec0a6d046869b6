"""The form of the mask: what each gives the final model, and what a run says of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import STAGES_ALONE, Finished, every_mask_is_cut, run_main
from torch import Tensor

from recbole_painvrl.cli.run import main
from recbole_painvrl.functional.mask_form import cut_by_modality
from recbole_painvrl.models.painvrl import form_stage
from recbole_painvrl.models.painvrl.form_stage import FormStage
from recbole_painvrl.training.pipeline import Pipeline

FORMS = ("soft", "binary", "auto", "validation")
COLUMNS = {"acoustic": slice(0, 8), "visual": slice(8, 24)}


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    place = tmp_path_factory.mktemp("forms")
    common = (*STAGES_ALONE, "--seed=3", "--oracle=False")
    with every_mask_is_cut():
        found = {
            form: run_main(tiny_data, place, "PaInvRL", *common, f"--mask_form={form}", name=form)
            for form in FORMS
        }
    assert not [run.err for run in found.values() if run.code]
    return found


def _whole(run: Finished, above: str = "") -> Tensor:
    arrays = run.arrays("mask")
    return torch.cat([torch.from_numpy(arrays[above + name]) for name in COLUMNS])


def test_the_learnt_mask_is_kept_whatever_the_form(runs: dict[str, Finished]) -> None:
    learnt = [_whole(run) for run in runs.values()]
    assert all(torch.equal(one, learnt[0]) for one in learnt)


@pytest.mark.parametrize("form", FORMS)
def test_the_final_model_has_the_mask_that_the_run_says(
    runs: dict[str, Finished], form: str
) -> None:
    run = runs[form]
    learnt, used, said = _whole(run), _whole(run, "used/"), run.result["mask"]
    with every_mask_is_cut():
        kept, _ = cut_by_modality(learnt, COLUMNS)
    expected = {
        "soft": learnt,
        "binary": kept,
        "ones": torch.ones_like(learnt),
        "zeros": torch.zeros_like(learnt),
    }[said["used"]]
    assert torch.equal(used, expected)
    assert torch.equal(run.weights()["mask"], used)
    assert said["form"] == form and said["columns"] == len(learnt)
    assert said["dropped"]["overall"] == int((used == 0).sum())
    assert said["dropped"]["visual"] == int((used[COLUMNS["visual"]] == 0).sum())
    if form in ("soft", "binary"):
        assert said["used"] == form and "candidates" not in said


def test_a_mask_without_groups_is_that_of_all_features(tiny_data: Path, tmp_path: Path) -> None:
    words = (*STAGES_ALONE, "--oracle=False", "--compare_backbone=True", "--mask_form=binary")
    run = run_main(tiny_data, tmp_path, "InvRL", *words, name="one")
    said = run.result["mask"]
    assert not any(one["found"] for one in said["two_groups"].values())
    assert said["used"] == "ones" and "all_features" not in run.result
    assert "has all features, too" in run.result["answer"]["lines"][0]


def test_validation_keeps_the_best_candidate_and_the_points_of_all(
    runs: dict[str, Finished],
) -> None:
    run, said = runs["validation"], runs["validation"].result["mask"]
    assert set(said["candidates"]) == {"ones", "soft", "binary", "zeros"}
    points = {name: one["valid"]["ndcg@10"] for name, one in said["candidates"].items()}
    assert points[said["used"]] == max(points.values())
    assert all(set(one) == {"valid", "ood_valid"} for one in said["candidates"].values())
    metrics = run.result["metrics"]["valid"]
    assert metrics == pytest.approx(said["candidates"][said["used"]]["valid"], abs=1e-6)
    last, chosen = run.result["stages"][-1], run.weights(f"final-{said['used']}")
    assert last["name"] == "final" and last["mask"] == said["used"]
    # What is not decided yet is not said.
    (decided,) = (one for one in run.result["stages"] if one["name"] == "form")
    assert decided["candidates"] == [*said["candidates"]] and "used" not in decided
    assert all(torch.equal(value, chosen[name]) for name, value in run.weights().items())


def test_without_a_validation_part_it_cannot_decide(tiny_data: Path, tmp_path: Path) -> None:
    words = ("--protocol=random", "--eval_args={split: {RS: [0.8, 0.0, 0.2]}}", *STAGES_ALONE)
    run = run_main(tiny_data, tmp_path, "PaInvRL", *words, "--mask_form=validation", name="none")
    assert run.code == 2 and "needs a validation split" in run.err


def test_nothing_is_chosen_by_validation_that_is_never_made(
    tiny_data: Path, tmp_path: Path
) -> None:
    words = (*STAGES_ALONE, "--eval_step=0")
    run = run_main(tiny_data, tmp_path, "PaInvRL", *words, "--mask_form=validation", name="none")
    assert run.code == 2 and "`eval_step` above 0" in run.err
    run = run_main(tiny_data, tmp_path, "PaInvRL", *words, "--mask_form=auto", name="auto")
    assert run.code == 0, run.err
    assert run.result["mask"]["used"] == "ones" and "candidates" not in run.result["mask"]
    assert not any("validation" in line for line in run.result["answer"]["lines"])


def test_ood_validation_decides_where_select_on_says_so(tiny_data: Path, tmp_path: Path) -> None:
    words = (*STAGES_ALONE, "--mask_form=validation", "--select_on=ood", "--oracle=False")
    run = run_main(tiny_data, tmp_path, "InvRL", *words, name="ood")
    assert run.code == 0, run.err
    said = run.result["mask"]
    points = {name: one["ood_valid"]["ndcg@10"] for name, one in said["candidates"].items()}
    assert not said["two_groups"]["visual"]["found"] and "binary" not in points
    assert points[said["used"]] == pytest.approx(max(points.values()), abs=1e-6)


def _decided(monkeypatch: pytest.MonkeyPatch, learnt: Tensor, scores: Tensor) -> FormStage:
    """The form stage after a mask was learnt and every column has an agreement."""
    monkeypatch.setattr(form_stage, "environment_gradients", lambda *_: [])
    monkeypatch.setattr(form_stage, "agreement", lambda _: scores)
    learner: Any = SimpleNamespace(mask=learnt)
    stage = FormStage(learner)
    trainer = SimpleNamespace(
        settings=SimpleNamespace(mask_form="auto", final_model="UltraGCN"),
        config={"eval_step": 1},
        model=SimpleNamespace(seed=0, modality_slices={"visual": slice(0, len(learnt))}),
    )
    context: Any = SimpleNamespace(trainer=trainer, valid_data=())
    stage.run(context)
    return stage


@pytest.mark.parametrize(
    ("low", "score", "expected"),
    [
        (0.2, -9.0, ["binary", "ones", "zeros"]),
        # Two groups, but no column means something else in another environment.
        (0.2, 0.0, ["ones", "soft", "zeros"]),
        # Reversed columns, but the mask does not part them from the others.
        (0.75, -9.0, ["ones", "soft", "zeros"]),
    ],
)
def test_auto_drops_columns_only_where_mask_and_test_agree(
    monkeypatch: pytest.MonkeyPatch, low: float, score: float, expected: list[str]
) -> None:
    learnt = torch.tensor([0.9, low, 0.85, low])
    stage = _decided(monkeypatch, learnt, torch.tensor([3.0, score, 2.0, score]))
    assert list(stage.candidates) == expected
    if "binary" in expected:
        assert stage.candidates["binary"].tolist() == [1, 0, 1, 0]
        stage.choose("binary")
        assert stage.mask.tolist() == [1, 0, 1, 0] and stage.figures["dropped"] == 2


@pytest.mark.parametrize(("reversed_", "spurious"), [(1, False), (3, True)])
def test_a_reversed_column_among_many_is_no_evidence(
    monkeypatch: pytest.MonkeyPatch, reversed_: int, spurious: bool
) -> None:
    learnt, scores = torch.tensor([0.2] * 40 + [0.9] * 40), torch.full((80,), 5.0)
    scores[:reversed_] = -9.0
    stage = _decided(monkeypatch, learnt, scores)
    assert stage.figures["reversed_below_cut"] == reversed_
    assert ("binary" in stage.candidates) is spurious


@pytest.mark.parametrize(
    ("ones", "binary", "zeros", "select_on", "expected"),
    [
        # Spurious columns help in distribution, which is no reason to keep them.
        (0.5, 0.3, 0.4, "iid", "binary"),
        (0.48, 0.47, 0.5, "iid", "binary"),
        # Features that do clear harm in distribution are no case of spurious columns.
        (0.4, 0.45, 0.5, "iid", "zeros"),
        (0.3, 0.5, 0.4, "iid", "binary"),
        # OOD validation sees what the columns cost.
        (0.5, 0.3, 0.4, "harmonic", "ones"),
        # A metric of which lower is better.
        (-1.0, -1.2, -0.95, "iid", "binary"),
        (-1.2, -1.1, -0.95, "iid", "zeros"),
    ],
)
def test_auto_drops_spurious_columns_unless_features_do_harm(
    monkeypatch: pytest.MonkeyPatch,
    ones: float,
    binary: float,
    zeros: float,
    select_on: str,
    expected: str,
) -> None:
    learnt, scores = torch.tensor([0.9, 0.2, 0.85, 0.2]), torch.tensor([3.0, -9.0, 2.0, -9.0])
    stage = _decided(monkeypatch, learnt, scores)
    assert stage.best({"binary": binary, "ones": ones, "zeros": zeros}, select_on) == expected


def test_an_interrupted_choice_ends_as_an_uninterrupted_one(
    runs: dict[str, Finished], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first candidate and within the second."""
    words = (*STAGES_ALONE, "--seed=3", "--oracle=False", "--mask_form=validation")
    calls = 0
    checkpoint = Pipeline.checkpoint

    def stop_in_soft(self: Pipeline) -> None:
        nonlocal calls
        checkpoint(self)
        if self.trainer.stage == "final soft":
            calls += 1
            if calls == 2:
                self.save()
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, every_mask_is_cut():
        patch.setattr(Pipeline, "checkpoint", stop_in_soft)
        stopped = run_main(tiny_data, tmp_path, "PaInvRL", *words, name="cut")
    assert stopped.code != 0
    assert main([f"--resume={stopped.folder}", "--show_progress=False"]) == 0
    for key in ("mask", "metrics"):
        assert stopped.result[key] == runs["validation"].result[key]
    weights = (run.result["hashes"]["weights"] for run in (stopped, runs["validation"]))
    assert len(set(weights)) == 1


def test_the_lowest_of_a_metric_of_which_less_is_better_is_taken(
    tiny_data: Path, tmp_path: Path
) -> None:
    words = (
        *STAGES_ALONE, "--mask_form=validation", "--oracle=False",
        "--metrics=[AveragePopularity]", "--valid_metric=AveragePopularity@10",
    )  # fmt: skip
    run = run_main(tiny_data, tmp_path, "InvRL", *words, name="less")
    assert run.code == 0, run.err
    said = run.result["mask"]
    points = {
        name: one["valid"]["averagepopularity@10"] for name, one in said["candidates"].items()
    }
    assert len(set(points.values())) > 1
    assert points[said["used"]] == min(points.values())
