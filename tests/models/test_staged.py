"""The stages of a staged run: what each starts from, its settings, how it decays and waits."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from oracles import degrees_alone, source
from safetensors.torch import load_file
from support import SHORT_STAGES, Finished, MakeConfig, run_main, shipped_settings
from torch import Tensor

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.environments.content import (
    ContentEnvironmentModel,
    EnvironmentLearner,
    FitSettings,
)
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import (
    EnvironmentModel,
    Identification,
    LoopSettings,
    identify,
)
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.invrl import InvRLSettings
from recbole_painvrl.models.painvrl import PaInvRL
from recbole_painvrl.models.painvrl import environment_stage as stage_module
from recbole_painvrl.models.painvrl.environment_stage import (
    EnvironmentStage,
    environment_figures,
    identify_environments,
)
from recbole_painvrl.models.painvrl.trainer import StagedTrainer
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.base import RunTrainerMixin
from recbole_painvrl.training.pipeline import Context

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
    draws = source(derive_seed(SEED, purpose))
    return {
        name: torch.zeros(shape)
        if name.endswith("bias")
        else 0.3 * torch.randn(shape, generator=draws)
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


N_USERS, N_ITEMS, WIDTH, D, N = 20, 15, 3, 5, 90
WEIGHTS = UltraGCNWeights.from_paper(0.3, 0.0)
# Every setting of the stage has a value of its own.
CHOSEN = {
    "n_environments": 3, "environment_epochs": 2, "environment_learning_rate": 0.2,
    "environment_batch_size": 32, "environment_negatives": 7, "environment_rounds": 5,
    "environment_tolerance": 0.02, "environment_restarts": 4, "embedding_size": 6,
    "content_embedding_size": 4, "init_std": 0.3, "embedding_reg_weight": 0.05,
    "environment_projection_reg_weight": 0.08,
}  # fmt: skip


USERS = torch.randint(1, N_USERS, (N,), generator=source(1))
ITEMS = torch.randint(1, N_ITEMS, (N,), generator=source(2))
MASK = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])


def tables() -> FrozenTables:
    draws = source(3)
    return FrozenTables(
        *(torch.randn(n, WIDTH, generator=draws) for n in (N_USERS, N_USERS, N_ITEMS)),
        torch.randn(N_ITEMS, D, generator=draws),
        degrees_alone(USERS, ITEMS, N_USERS, N_ITEMS),
    )


def settings(**values: Any) -> InvRLSettings:
    found: InvRLSettings = shipped_settings("InvRL", **{**CHOSEN, **values})
    return found


def found(**values: Any) -> Identification:
    return identify_environments(
        USERS, ITEMS, tables(), MASK, WEIGHTS, settings(**values), source(4)
    )


@pytest.mark.parametrize("features", ["variant", "full"])
@pytest.mark.parametrize("kind", ["content", "full"])
@pytest.mark.parametrize("learner", ["adam", "adagrad", "mixed"])
def test_every_setting_reaches_the_search(
    learner: EnvironmentLearner, kind: str, features: str
) -> None:
    frozen, fit = tables(), FitSettings(2, 0.2, 32, 7, learner)
    content = frozen.features * (1 - MASK) if features == "variant" else frozen.features
    model: EnvironmentModel
    if kind == "content":
        model = ContentEnvironmentModel(USERS, ITEMS, frozen.user_content, content, 3, fit)
    else:
        make = partial(PlainUltraGCN, content, frozen.graph, WEIGHTS, 6, 4, 0.3)
        model = FullEnvironmentModel(USERS, ITEMS, len(content), make, 3, fit, 0.05, 0.08)
    expected = identify(model, N, LoopSettings(3, 5, 0.02, 4), source(4))
    own = found(environment_learner=learner, environment_model=kind, environment_features=features)
    assert own.likelihoods == expected.likelihoods
    assert torch.equal(own.labels, expected.labels)
    assert own.moves == expected.moves


@pytest.mark.parametrize("kind", ["content", "full"])
def test_the_optimiser_of_the_environment_models_matters(kind: str) -> None:
    """``mixed`` is Adam for W, and all that is learnt on content alone is W."""
    likelihoods = {
        learner: found(environment_learner=learner, environment_model=kind).likelihoods
        for learner in ("adam", "adagrad", "mixed")
    }
    assert likelihoods["adam"] != likelihoods["adagrad"] != likelihoods["mixed"]
    assert (likelihoods["mixed"] == likelihoods["adam"]) == (kind == "content")


@pytest.mark.parametrize(
    ("agreement", "size", "warned"), [(0.95, 2, True), (0.85, 2, False), (1.0, 1, False)]
)
def test_a_partition_that_stayed_at_its_start_is_a_warning(
    agreement: float,
    size: int,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Above nine tenths; a single environment cannot move."""
    labels = torch.zeros(N, dtype=torch.long)
    identified = Identification(labels, [0.5], [[N] + [0] * (size - 1)], agreement)
    monkeypatch.setattr(stage_module, "identify_environments", lambda *_: identified)
    trainer: Any = SimpleNamespace(
        settings=settings(n_environments=size),
        model=SimpleNamespace(seed=1, modality_slices={}, weights=WEIGHTS),
        log=logging.getLogger("test"),
    )
    backbone: Any = SimpleNamespace(
        users=USERS, items=ITEMS, all_items=ITEMS, own=None, tables=tables()
    )
    stage = EnvironmentStage(1, backbone, None)
    stage.run(Context(trainer, None))
    assert stage.found is identified
    assert ("no environments were identified" in caplog.text) == warned


def test_figures_of_environments_by_hand() -> None:
    """Items 1, 1, 1, 2 have degrees 3, 3, 3, 1."""
    identified = Identification(
        torch.tensor([0, 0, 1, 1]), moves=[0.5, 0.25], sizes=[[1, 3], [2, 2]],
        start_agreement=0.7, likelihoods=[-1.0, -2.0], reseeded=[[0, 1], [1]], stability=[0.6],
    )  # fmt: skip
    figures = environment_figures(identified, torch.tensor([1, 1, 1, 2]))
    assert figures["mean_item_degree"] == [3.0, 2.0]
    assert (figures["rounds"], figures["sizes"], figures["moved"]) == (2, [2, 2], 0.25)
    assert figures["reseeded"] == 3
    assert figures["history"] == [
        {"round": 1, "moved": 0.5, "sizes": [1, 3]}, {"round": 2, "moved": 0.25, "sizes": [2, 2]},
    ]  # fmt: skip
    assert (figures["start_agreement"], figures["stability"]) == (0.7, [0.6])
    assert figures["likelihoods"] == [-1.0, -2.0]
