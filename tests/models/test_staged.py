"""The stages of a staged run: what each starts from, how it decays and how long it waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import SHORT_STAGES, Finished, MakeConfig, run_main
from torch import Tensor

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.models.painvrl import PaInvRL
from recbole_painvrl.models.painvrl.trainer import StagedTrainer
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.base import RunTrainerMixin

SEED = 11
PURPOSES = ("initial values", "final initial values")


@pytest.fixture(scope="module")
def still(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run whose backbone and final model hardly leave their initial values."""
    place = tmp_path_factory.mktemp("still")
    settings = ("--learning_rate=1e-9", "--oracle=False", f"--seed={SEED}", "--init_std=0.3")
    run = run_main(tiny_data, place, "PaInvRL", *SHORT_STAGES, *settings, name="still")
    assert run.code == 0, run.err
    return run


def drawn(purpose: str, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """N(0, 0.3^2) of the purpose's generator, one table after the other; biases are 0."""
    source = torch.Generator().manual_seed(derive_seed(SEED, purpose))
    return {
        name: torch.zeros(shape)
        if name.endswith("bias")
        else 0.3 * torch.randn(shape, generator=source)
        for name, shape in shapes.items()
    }


def test_the_final_model_starts_from_fresh_values_of_its_own_purpose(still: Finished) -> None:
    """Eq. 26 is trained from scratch: neither the backbone's weights nor its initial values."""
    order = (
        "user_id_embedding.weight", "item_id_embedding.weight", "user_content_embedding.weight",
        "projection.weight", "projection.bias",
    )  # fmt: skip
    for checkpoint, purpose in zip(("backbone", "best"), PURPOSES, strict=True):
        weights = still.weights(checkpoint)
        assert set(order) | {"mask"} == set(weights)
        expected = drawn(purpose, {name: weights[name].shape for name in order})
        for name in order:
            torch.testing.assert_close(weights[name], expected[name], rtol=0, atol=1e-6)
    assert not torch.allclose(still.weights("best")["mask"], torch.ones(1))
    assert bool((still.weights("backbone")["mask"] == 1).all()), "the backbone has all features"


@pytest.fixture
def stages(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, Any]:
    """What backbone and final model were trained with, where validation gets worse and worse."""
    config = tiny_config(
        "PaInvRL", *SHORT_STAGES, "--epochs=9", "--stopping_step=3", "--backbone_epochs=8",
        "--backbone_stopping_step=1", "--embedding_reg_weight=0.1", "--projection_reg_weight=0.2",
        "--backbone_embedding_reg_weight=0.3", "--backbone_projection_reg_weight=0.4",
        "--environment_rounds=1", "--environment_restarts=1", "--mask_epochs=1",
        f"--checkpoint_dir={tmp_path / 'saved'}",
    )  # fmt: skip
    parts = ModalityDataset(config).build_parts()
    trainer = StagedTrainer(config, PaInvRL(config, parts[TRAIN]).to(config["device"]))
    trainer.tensorboard.close()
    scores = iter(range(100, 0, -1))
    monkeypatch.setattr(
        RunTrainerMixin, "_valid_epoch", lambda *_, **__: (float(next(scores)), {"ndcg@10": 0.0})
    )
    found: dict[str, Any] = {}
    fit_stage = StagedTrainer.fit_stage

    def watched(self: Any, context: Any) -> Any:
        name = self.stage
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        found[name] = {
            "decay": {
                names[id(parameter)]: group["weight_decay"]
                for group in self.optimizer.param_groups
                for parameter in group["params"]
            }
        }
        outcome, figures = fit_stage(self, context)
        found[name]["epochs"] = figures["epochs"]
        return outcome, figures

    monkeypatch.setattr(StagedTrainer, "fit_stage", watched)
    train = training_loader(config, parts[TRAIN])
    trainer.fit(train, evaluation_loader(config, [parts[TRAIN]], parts[VALID], "valid"))
    found["tables"] = trainer.mask_stages[0].learner.tables
    found["backbone weights"] = load_file(trainer.folder / "checkpoint" / "backbone.safetensors")
    return found


def test_backbone_and_final_model_have_their_own_l2_and_patience(stages: dict[str, Any]) -> None:
    """Coupled decay is twice the weight; the first epoch is the best of 1 + patience + 1."""
    for name, tables, w, epochs in (("backbone", 0.3, 0.4, 3), ("final", 0.1, 0.2, 5)):
        decay = {"user_id_embedding": tables, "item_id_embedding": tables}
        decay |= {"user_content_embedding": tables, "projection": w}
        found = {key.partition(".")[0]: value for key, value in stages[name]["decay"].items()}
        assert found == pytest.approx({key: 2 * value for key, value in decay.items()}), name
        assert stages[name]["epochs"] == epochs, name


def test_the_frozen_tables_are_those_of_the_backbones_best_epoch(stages: dict[str, Any]) -> None:
    """The first of its three epochs, each table in its place."""
    tables, weights = stages["tables"], stages["backbone weights"]
    for name in ("user_id", "user_content", "item_id"):
        assert torch.equal(getattr(tables, name), weights[f"{name}_embedding.weight"]), name
    assert not torch.equal(tables.user_id, tables.user_content)
