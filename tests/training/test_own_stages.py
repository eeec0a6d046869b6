"""Stages of a trainer that is not the project's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Finished, MakeConfig, killing, result_of, run_main, trainer_of

from recbole_painvrl import load_run
from recbole_painvrl.cli.run import main
from recbole_painvrl.training.base import RunTrainer, RunTrainerMixin
from recbole_painvrl.training.pipeline import Context, Stage, TrainingStage
from recbole_painvrl.training.state import forget_training, further_optimizers

OPTIONS = ("--epochs=4", "--stopping_step=1")


class Fixed(Stage[Any]):
    """Sets all vectors of items to those of the first one."""

    def prepare(self, context: Context[Any]) -> None:
        self.table = context.trainer.model.item_embedding.weight

    def run(self, context: Context[Any]) -> dict[str, Any]:
        with torch.no_grad():
            self.table[:] = self.table[:1].clone()
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"table": self.table.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.table[:] = state["table"]


def run(
    data: Path, place: Path, patch: pytest.MonkeyPatch, *stages: type[Stage[Any]] | str
) -> Finished:
    def made(own: Any) -> Iterable[Stage[Any]]:
        return [TrainingStage(s) if isinstance(s, str) else s("fixed") for s in stages]

    patch.setattr(RunTrainer, "stages", made)
    return run_main(data, place, "VBPR", *OPTIONS, name="own")


@pytest.mark.parametrize("stages", [("train", "train", "last"), (Fixed, "a", Fixed, "last")])
def test_two_stages_of_one_name_are_refused(
    stages: tuple[Any, ...],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one was left out."""
    done = run(tiny_data, tmp_path, monkeypatch, *stages)
    name = "train" if "train" in stages else "fixed"
    assert done.code != 0
    assert f"stage `{name}`: there are two of this name" in done.err
    assert not (done.folder / "checkpoint" / "last.safetensors").exists()


def worse_and_worse(patch: pytest.MonkeyPatch) -> None:
    """The first epoch of all is the best."""
    original, calls = RunTrainerMixin._valid_epoch, iter(range(99))

    def valid(own: Any, *given: Any, **named: Any) -> tuple[float, Any]:
        _, result = original(own, *given, **named)
        return 1.0 / (1 + next(calls)), result

    patch.setattr(RunTrainerMixin, "_valid_epoch", valid)


def test_a_second_training_begins_anew(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stopped at once, with the score, the history and the weights of the first one."""
    worse_and_worse(monkeypatch)
    done = run(tiny_data, tmp_path, monkeypatch, "first", "second")
    first, second = result_of(done.folder)["stages"]
    assert first["epochs"] == second["epochs"] == len(second["history"]) == 3
    assert second["best_epoch"] == 1
    assert second["best_valid"] == second["history"][0]["valid"]


def test_a_run_between_two_trainings_resumes_exactly(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second optimizer had the moments of the first one, which the checkpoint lacks."""
    expected = result_of(run(tiny_data, tmp_path / "a", monkeypatch, "first", "second").folder)
    saves = expected["stages"][0]["epochs"] + 1
    with killing(saves):
        run(tiny_data, tmp_path / "b", monkeypatch, "first", "second")
    folder = tmp_path / "b" / "runs" / "own"
    assert main([f"--resume={folder}", "--show_progress=False"]) == 0
    found = result_of(folder)
    assert found["hashes"]["weights"] == expected["hashes"]["weights"]
    assert [stage["history"] for stage in found["stages"]] == [
        stage["history"] for stage in expected["stages"]
    ]


def test_a_last_stage_may_change_the_model(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with an AttributeError after all stages; the weights of a run are those tested."""
    done = run(tiny_data, tmp_path, monkeypatch, "train", Fixed)
    assert done.code == 0, done.err
    table = load_run(done.folder).model.item_embedding.weight
    assert torch.equal(table, table[:1].expand_as(table))


def test_a_resumed_run_has_the_validation_score_of_its_training(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fit` returned minus infinity where the training was finished before the interruption."""
    monkeypatch.setattr(RunTrainer, "stages", lambda own: [TrainingStage(), Fixed("fixed")])
    config = tiny_config("VBPR", *OPTIONS, f"--checkpoint_dir={tmp_path}")
    config["run_folder"] = str(tmp_path / "own")
    first, *loaders = trainer_of(config)
    expected = first.fit(*loaders)
    again, *loaders = trainer_of(config)
    again.pipeline.load()
    assert again.fit(*loaders) == expected
    assert 0 < expected[0] < 1


class Helper:
    """Like an adversary with optimizers of its own."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.table = torch.nn.Parameter(torch.ones(2))
        self.optimizers = {name: torch.optim.Adam([self.table]) for name in ("a", "b")}


def test_optimizers_of_helpers_are_reset_and_saved(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """A second training had their moments of the first one, and a resumed run had none."""
    config = tiny_config("VBPR", *OPTIONS, f"--checkpoint_dir={tmp_path}")
    trainer = trainer_of(config)[0]
    assert further_optimizers(trainer) == {}
    trainer.helpers = [Helper(trainer)]
    names = [f"helpers.0.optimizers.{name}" for name in "ab"]
    assert list(further_optimizers(trainer)) == names
    helper = trainer.helpers[0]
    helper.table.sum().backward()
    helper.optimizers["b"].step()
    saved = trainer.state_dict()["further_optimizers"][names[1]]
    assert saved["state"][0]["step"] == 1
    forget_training(trainer)
    assert not helper.optimizers["b"].state


def test_helpers_may_share_an_optimizer_and_be_nested_deeply(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Shared moments are saved once; a long chain of objects ended in a RecursionError."""
    trainer = trainer_of(tiny_config("VBPR", f"--checkpoint_dir={tmp_path}"))[0]
    trainer.helpers = [Helper(trainer)]
    trainer.helpers[0].schedulers = list(trainer.helpers[0].optimizers.values())
    chain: dict[str, Any] = {}
    trainer.chain = chain
    for _ in range(2000):
        chain["next"] = {}
        chain = chain["next"]
    names = [f"helpers.0.optimizers.{name}" for name in "ab"]
    assert list(further_optimizers(trainer)) == names
