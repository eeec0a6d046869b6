"""How the settings of the environment stage reach the search."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import degrees_alone, shipped_settings

from recbole_painvrl.environments.content import (
    ContentEnvironmentModel,
    EnvironmentLearner,
    FitSettings,
)
from recbole_painvrl.environments.full import FullEnvironmentModel
from recbole_painvrl.environments.loop import (
    EnvironmentModel,
    Identification,
    LoopSettings,
    identify,
)
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.invrl import InvRLSettings
from recbole_painvrl.models.painvrl import environment_stage as stage_module
from recbole_painvrl.models.painvrl.environment_stage import (
    EnvironmentStage,
    environment_figures,
    identify_environments,
)
from recbole_painvrl.training.pipeline import Context

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


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
        model = FullEnvironmentModel(
            USERS, ITEMS, N_USERS, content, frozen.graph, WEIGHTS, 3, fit, 6, 4, 0.3, 0.05, 0.08
        )
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


def test_figures_by_hand() -> None:
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
