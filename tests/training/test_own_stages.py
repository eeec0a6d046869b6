"""Stages of a trainer that is not the project's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Finished, run_main

from recbole_painvrl.training.base import RunTrainer
from recbole_painvrl.training.pipeline import Context, Stage, TrainingStage

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
