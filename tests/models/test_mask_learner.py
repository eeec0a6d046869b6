"""Eq. 10 to 19 as a stage: one environment, the decay trap, the optimisers, planted columns."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import degrees_alone, mask_settings
from torch import Tensor

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner, MaskSettings

N_USERS, N_ITEMS, K, D, N = 60, 50, 4, 6, 600


SETTINGS = mask_settings(
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
    settings: MaskSettings = SETTINGS,
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
    stage = learner(replace(SETTINGS, gradient_normalization=normalization), n_environments=1)
    figures = stage.run_epoch()
    assert finite(figures)
    assert figures["l_irm"] == 0.0
    assert figures["w_erm"] == 1.0
    assert stage.mask.isfinite().all()
    assert (stage.mask - 0.5).abs().max() > 1e-4, "the mask still moves"


def test_literal_decay_trap() -> None:
    """Where the data say nothing about the mask, lambda = 1 leaves 0.5 (1 - s)^t everywhere."""
    settings = replace(SETTINGS, mask_decay=1.0, mask_center=0.0, mask_step_size=1e-3)
    stage = learner(settings, content_scale=0.0)
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


def separated(mask: Tensor) -> bool:
    return bool(mask[: D // 2].min() > mask[D // 2 :].max())


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
        torch.full((D,), 0.5), replace(SETTINGS, attention=False),
        NegativeSampler(N_ITEMS, 32, "shared", torch.Generator().manual_seed(0)),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    for _ in range(4):
        stage.run_epoch()
    assert separated(stage.mask.detach())
