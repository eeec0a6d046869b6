"""Eq. 10 to 19 as a stage: the decay trap, planted columns, and what the stage reports."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from oracles import degrees_alone
from support import shipped_settings, with_values
from torch import Tensor

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner, Trajectory
from recbole_painvrl.models.painvrl.mask_stage import _figures, _report, mask_statistics

N_USERS, N_ITEMS, K, D, N = 60, 50, 4, 6, 600


SETTINGS = shipped_settings(
    mask_epochs=1,
    mask_batch_size=64,
    mask_step_size=0.01,
    mask_decay=0.0,
    mask_center=0.5,
    mask_noise=0.01,
    mask_optimizer="sgd",
    projection_learning_rate=1e-2,
    projection_objective="erm",
    gradient_normalization="l2",
    loss_weighting="pareto",
    irm_weight=1.0,
    variance="mean",
    outer_gate=True,
    attention=True,
    attention_hidden_size=8,
    attention_output="sigmoid",
    init_std=0.1,
)


def learner(
    settings: Any = SETTINGS,
    n_environments: int = 2,
    seed: int = 0,
    content_scale: float = 1.0,
) -> MaskLearner:
    source = torch.Generator().manual_seed(seed)
    users = torch.randint(1, N_USERS, (N,), generator=source)
    items = torch.randint(1, N_ITEMS, (N,), generator=source)
    labels = torch.randint(0, n_environments, (N,), generator=source)
    tables = FrozenTables(
        torch.randn(N_USERS, K, generator=source),
        content_scale * torch.randn(N_USERS, K, generator=source),
        torch.randn(N_ITEMS, K, generator=source),
        torch.randn(N_ITEMS, D, generator=source),
        degrees_alone(users, items, N_USERS, N_ITEMS),
    )
    return MaskLearner(
        users, items, labels, tables, UltraGCNWeights.from_paper(1e-4, 0.0),
        torch.full((D,), 0.5), settings,
        NegativeSampler(N_ITEMS, 32, "shared", torch.Generator().manual_seed(seed)),
        torch.Generator().manual_seed(seed + 1),
    )  # fmt: skip


def finite(figures: dict[str, float]) -> bool:
    return all(math.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("normalization", ["none", "l2", "loss", "loss+"])
def test_one_environment_trains_by_erm_alone(normalization: Any) -> None:
    stage = learner(with_values(SETTINGS, gradient_normalization=normalization), n_environments=1)
    figures = stage.run_epoch()
    assert finite(figures)
    assert figures["l_irm"] == 0.0
    assert figures["w_erm"] == 1.0
    assert stage.mask.isfinite().all()
    assert (stage.mask - 0.5).abs().max() > 1e-4, "the mask still moves"


def test_literal_decay_trap() -> None:
    """Where the data say nothing about the mask, lambda = 1 leaves 0.5 (1 - s)^t everywhere."""
    literal = {"mask_decay": 1.0, "mask_center": 0.0, "mask_step_size": 1e-3}
    stage = learner(with_values(SETTINGS, **literal), content_scale=0.0)
    for _ in range(7):
        stage.run_epoch()
    n_steps = len(stage.trajectory.steps["l_erm"])
    assert n_steps > 30
    assert stage.mask.tolist() == pytest.approx([0.5 * 0.999**n_steps] * D, rel=1e-5)


def test_shorter_environments_start_over() -> None:
    stage = learner()
    stage.rows = [torch.arange(0, 10), torch.arange(10, N)]
    seen: list[list[int]] = []
    original = stage._joint_step

    def spy(batches: list[Any], noise: Tensor) -> dict[str, float]:
        seen.append([len(batch.users) for batch in batches])
        return original(batches, noise)

    stage._joint_step = spy  # type: ignore[method-assign]
    stage.run_epoch()
    assert len(seen) == math.ceil((N - 10) / 64)
    assert all(sizes[0] == 10 for sizes in seen)
    assert sum(sizes[1] for sizes in seen) == N - 10


def test_an_invariant_column_is_kept_and_a_spurious_one_is_not() -> None:
    """Users like column block 0 everywhere, block 1 only in environment 0: the mask tells them."""
    source = torch.Generator().manual_seed(0)
    people = torch.randn(N_USERS, D, generator=source)
    features = torch.randn(N_ITEMS, D, generator=source)
    features[0] = 0
    half = torch.arange(D) < D // 2
    users, items, labels = [], [], []
    for label, sign in enumerate((1.0, -1.0)):
        taste = people * torch.where(half, 1.0, sign)
        chance = torch.softmax(2 * taste @ features.T, dim=1)
        chance[:, 0] = 0
        chosen = torch.multinomial(chance[1:], 20, generator=source)
        users.append(torch.arange(1, N_USERS).repeat_interleave(20))
        items.append(chosen.flatten())
        labels.append(torch.full((chosen.numel(),), label))
    all_users, all_items = torch.cat(users), torch.cat(items)
    tables = FrozenTables(
        torch.zeros(N_USERS, D), people, torch.zeros(N_ITEMS, D), features,
        degrees_alone(all_users, all_items, N_USERS, N_ITEMS),
    )  # fmt: skip
    stage = MaskLearner(
        all_users, all_items, torch.cat(labels), tables, UltraGCNWeights.from_paper(1e-4, 0.0),
        torch.full((D,), 0.5), with_values(SETTINGS, attention=False),
        NegativeSampler(N_ITEMS, 32, "shared", torch.Generator().manual_seed(0)),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    for _ in range(4):
        stage.run_epoch()
    assert stage.mask[: D // 2].min() > stage.mask[D // 2 :].max()


SLICES = {"text": slice(0, 2), "visual": slice(2, 5)}


def test_mask_statistics_by_hand() -> None:
    """Population standard deviations, of every modality's columns and of all."""
    found = mask_statistics(torch.tensor([0.1, 0.3, 0.0, 0.6, 0.9]), SLICES)
    expected = {
        "text": (0.2, 0.1, 0.1, 0.3),
        "visual": (0.5, (0.42 / 3) ** 0.5, 0.0, 0.9),
        "all": (0.38, (1.27 / 5 - 0.38**2) ** 0.5, 0.0, 0.9),
    }
    assert found.keys() == expected.keys()
    for name, (mean, deviation, low, high) in expected.items():
        assert found[name] == pytest.approx(
            {"mask_mean": mean, "mask_std": deviation, "mask_min": low, "mask_max": high}, abs=1e-6
        )


@pytest.mark.parametrize("weighting", ["fixed", "pareto"])
def test_figures_are_those_of_the_last_epoch(weighting: str) -> None:
    settings = SimpleNamespace(
        mask_epochs=2, loss_weighting=weighting, irm_weight=1.5, mask_decay=0.25
    )
    epochs: list[dict[str, Any]] = [
        {"l_erm": value, "mask": {"all": {"mask_mean": value / 10}, "text": {"mask_mean": 0.0}}}
        for value in (3.0, 2.0)
    ]
    learner: Any = SimpleNamespace(settings=settings, trajectory=Trajectory(epochs=epochs))
    found = _figures(learner)
    grown = {"irm_weight": 1.5, "mask_decay": 0.25} if weighting == "fixed" else {}
    history = [{"epoch": number, **epoch} for number, epoch in enumerate(epochs, 1)]
    assert found == {"epochs": 2, **grown, "l_erm": 2.0, "mask_mean": 0.2, "history": history}


@pytest.mark.parametrize(
    ("means", "highest", "weighting", "found"),
    [
        ({"norm_irm": 0.0, "w_erm": 1.0}, 0.5, "pareto", "L_IRM has no gradient"),
        ({"norm_irm": 1.0, "w_erm": 1.0}, 0.5, "pareto", "w_ERM was 1 in every step"),
        ({"norm_irm": 1.0, "w_erm": 0.0}, 0.5, "pareto", "w_ERM was 0 in every step"),
        ({"norm_irm": 1.0, "w_erm": 1.0}, 0.5, "erm", None),
        ({"norm_irm": 1.0, "w_erm": 0.9}, 0.5, "pareto", None),
        ({"norm_irm": 1.0, "w_erm": 0.9}, 0.04, "pareto", "the content is switched off"),
    ],
)
def test_a_loss_or_content_that_is_switched_off_is_a_warning(
    means: dict[str, float],
    highest: float,
    weighting: str,
    found: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scalars: dict[str, float] = {}
    trainer: Any = SimpleNamespace(
        log=logging.getLogger("test"),
        settings=SimpleNamespace(loss_weighting=weighting),
        tensorboard=SimpleNamespace(
            add_scalar=lambda name, value, _: scalars.update({name: value})
        ),
    )
    statistics = mask_statistics(torch.tensor([0.0, highest, 0.01, 0.01, 0.01]), SLICES)
    _report(trainer, "mask 1", 0, means, statistics)
    assert (found in caplog.text) if found else not caplog.text
    assert scalars["mask 1/w_erm"] == means["w_erm"]
    assert scalars["mask 1/text/mask_max"] == pytest.approx(highest)
