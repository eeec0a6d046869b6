"""Early stopping, the best epoch and figures of a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Finished, killing, result_of, run_main

from recbole_painvrl.cli.run import main
from recbole_painvrl.training.base import RunTrainerMixin
from recbole_painvrl.training.checkpoint import read_checkpoint
from recbole_painvrl.training.pipeline import Pipeline

OPTIONS = ["--stopping_step=3", "--epochs=9", "--metrics=[NDCG, AveragePopularity]"]


@pytest.fixture(autouse=True)
def getting_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch is the best, and three others are waited for."""
    original = RunTrainerMixin._valid_epoch

    def worse(own: Any, *given: Any, **named: Any) -> tuple[float, Any]:
        _, result = original(own, *given, **named)
        return 1.0 / (1 + own._next_epoch), result

    monkeypatch.setattr(RunTrainerMixin, "_valid_epoch", worse)


def run(data: Path, place: Path, name: str, model: str = "BPR") -> Finished:
    return run_main(data, place, model, *OPTIONS, name=name)


def killed(data: Path, place: Path, save: int, *model: str) -> Path:
    with killing(save):
        run(data, place, "killed", *model)
    return place / "runs" / "killed"


def figures(folder: Path) -> dict[str, Any]:
    result = result_of(folder)
    (stage,) = result["stages"]
    kept = {name: stage[name] for name in ("epochs", "best_epoch", "loss", "history")}
    return kept | {"metrics": result["metrics"]}


@pytest.mark.parametrize("model", ["BPR", "UltraGCN"])
def test_an_interrupted_run_stops_as_early(model: str, tiny_data: Path, tmp_path: Path) -> None:
    """The epochs without gain before the interruption count; save 6 is that of the whole stage.

    Also the negatives are those of the uninterrupted run, and the figures that need its items.
    """
    expected = figures(run(tiny_data, tmp_path, "whole", model).folder)
    assert (expected["epochs"], expected["best_epoch"]) == (5, 1)
    assert expected["loss"] == expected["history"][-1]["loss"]
    for save in (4, 6):
        folder = killed(tiny_data, tmp_path / str(save), save, model)
        assert main([f"--resume={folder}", "--show_progress=False"]) == 0
        assert figures(folder) == expected


def test_the_seconds_of_a_stage_add_up_over_two_interruptions(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pipeline._state
    with monkeypatch.context() as first:
        first.setattr(Pipeline, "_state", lambda own: {**original(own), "seconds": 1000.0})
        folder = killed(tiny_data, tmp_path, 2)
    with killing(2):
        main([f"--resume={folder}", "--show_progress=False"])
    path = folder / "checkpoint" / "last.safetensors"
    _, state = read_checkpoint(path, torch.device("cpu"))
    assert 1000 < state["seconds"] < 2000
    assert main([f"--resume={folder}", "--show_progress=False"]) == 0
    assert 1000 < result_of(folder)["stages"][0]["seconds"] < 2000
