"""What a joint step of the mask draws from where, and what the settings make of it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from oracles import random_graph
from support import shipped_settings, with_values
from torch import Tensor

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.pareto import GradientNormalization
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.models.painvrl.mask_stage import MaskStage
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.pipeline import Context

N_USERS, N_ITEMS, K, D, N, BATCH = 9, 14, 3, 6, 50, 16
SIZES = (30, 20)


# Gradients of a comparable size.
COMPARABLE: dict[str, Any] = {"init_std": 0.5, "mask_batch_size": BATCH, "mask_decay": 0.0}


def source(seed: int) -> torch.Generator:
    # With these draws the two gradients of the mask point apart: no weight of theirs is 0 or 1.
    return torch.Generator().manual_seed(2900 + seed)


def learner(mask: float = 0.5, **values: Any) -> MaskLearner:
    draws = source(0)
    users = torch.randint(1, N_USERS, (N,), generator=draws)
    items = torch.randint(1, N_ITEMS, (N,), generator=draws)
    labels = torch.arange(N) // SIZES[0]
    graph = random_graph(N_USERS, N_ITEMS, 0, draws)
    graph = GraphWeights(
        graph.user_factor.float(), graph.item_factor.float(), graph.neighbours,
        graph.neighbour_weight.float(),
    )  # fmt: skip
    shapes = ((N_USERS, K), (N_USERS, K), (N_ITEMS, K), (N_ITEMS, D))
    tables = FrozenTables(*(torch.randn(*shape, generator=draws) for shape in shapes), graph)
    return MaskLearner(
        users, items, labels, tables, UltraGCNWeights.from_paper(0.1, 0.0),
        torch.full((D,), mask), with_values(shipped_settings(), **(COMPARABLE | values)),
        NegativeSampler(N_ITEMS, 8, "shared", source(4)), source(1), source(2), source(3),
    )  # fmt: skip


def seen_batches(stage: MaskLearner, epochs: int) -> list[list[EnvironmentBatch]]:
    """The batches of some epochs, one list per step."""
    seen: list[list[EnvironmentBatch]] = []
    step = stage._joint_step

    def spy(batches: list[EnvironmentBatch], noise: Tensor) -> dict[str, float]:
        seen.append(batches)
        return step(batches, noise)

    stage._joint_step = spy  # type: ignore[method-assign]
    for _ in range(epochs):
        stage.run_epoch()
    return seen


def test_every_draw_comes_from_the_generator_of_its_purpose() -> None:
    """Initial values, order, noise and negatives: each generator is where its draws alone lead."""
    stage = learner()
    initial, order, noise, negatives = (source(seed) for seed in (1, 2, 3, 4))
    start = 0.5 * torch.randn(K, D, generator=initial)
    assert torch.equal(stage.projection.detach(), start)
    after_start = stage.generator.get_state()
    batches = seen_batches(stage, 1)
    assert len(batches) == 2, "the larger environment has 30 rows, in batches of 16"
    for _ in batches:
        torch.randn(D, generator=noise)
        for _ in SIZES:
            torch.randint(1, N_ITEMS, (8,), generator=negatives)
    expected = []
    for first, size in zip((0, SIZES[0]), SIZES, strict=True):
        expected.append(first + torch.randperm(size, generator=order))
    for place, (rows, seen) in enumerate(zip(expected, zip(*batches, strict=True), strict=True)):
        for number, batch in enumerate(seen):
            chosen = rows[number * BATCH : (number + 1) * BATCH]
            assert torch.equal(batch.users, stage.users[chosen]), place
            assert torch.equal(batch.positives, stage.items[chosen]), place
    assert torch.equal(stage.generator.get_state(), after_start)
    assert torch.equal(stage.order.get_state(), order.get_state())
    assert torch.equal(stage.noise.get_state(), noise.get_state())
    assert torch.equal(stage.negatives.generator.get_state(), negatives.get_state())


def test_figures_of_an_epoch_are_means_of_its_own_steps() -> None:
    stage = learner()
    for epoch in range(2):
        found = stage.run_epoch()
        for name, values in stage.trajectory.steps.items():
            assert len(values) == 2 * (epoch + 1)
            assert found[name] == pytest.approx((values[-2] + values[-1]) / 2), name
    assert found["l_erm"] != stage.trajectory.steps["l_erm"][-1]


def test_the_noise_has_its_deviation_and_reaches_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    gates: list[Tensor] = []
    module = "recbole_painvrl.models.painvrl.mask_learner.clipped_gate"

    def spy(mask: Tensor, noise: Tensor) -> Tensor:
        gates.append(noise)
        return (mask + noise).clamp(0, 1)

    monkeypatch.setattr(module, spy)
    learner(mask_noise=0.25).run_epoch()
    torch.testing.assert_close(gates[0], 0.25 * torch.randn(D, generator=source(3)))


def test_every_epoch_and_every_turn_has_a_new_order() -> None:
    """Of 20 rows in batches of 16 the second step ends the first turn."""
    stage = learner()
    steps = seen_batches(stage, 2)
    first, second = ([step[0].positives for step in steps[2 * n : 2 * n + 2]] for n in (0, 1))
    whole = [torch.cat(batches) for batches in (first, second)]
    rows = stage.items[: SIZES[0]]
    for epoch in whole:
        assert torch.equal(epoch.sort().values, rows.sort().values), "every row once"
    assert not torch.equal(*whole)
    stream = stage._stream(stage.rows[1])
    turns = [torch.cat([next(stream).positives for _ in range(2)]) for _ in range(2)]
    for turn in turns:
        assert torch.equal(turn.sort().values, stage.items[SIZES[0] :].sort().values)
    assert not torch.equal(*turns)


def test_the_stage_gives_every_purpose_its_own_generator() -> None:
    """The seeds of the second round's generators are those of the purposes' names."""
    base = learner()
    model = SimpleNamespace(n_items=N_ITEMS, seed=7, weights=base.weights)
    trainer = SimpleNamespace(settings=shipped_settings(), model=model, device=torch.device("cpu"))
    backbone: Any = SimpleNamespace(
        users=base.users, items=base.items, tables=base.tables, own=None
    )
    found_before: Any = SimpleNamespace(found=SimpleNamespace(labels=torch.arange(N) // SIZES[0]))
    mask_stage = MaskStage(2, backbone, found_before, None)
    mask_stage.prepare(Context(trainer, None))
    stage = mask_stage.learner
    found = {
        "initial values": stage.generator,
        "order": stage.order,
        "gate noise": stage.noise,
        "negatives": stage.negatives.generator,
    }
    for purpose, source in found.items():
        assert source.initial_seed() == derive_seed(7, f"mask 2 {purpose}"), purpose


def one_step(**values: Any) -> tuple[Tensor, dict[str, float]]:
    """Where one step with all rows and without noise moves the mask, divided by its size."""
    size = 1e-3
    stage = learner(mask_noise=0.0, mask_batch_size=N, mask_step_size=size, **values)
    figures = stage.run_epoch()
    return (0.5 - stage.mask.detach()).double() / size, figures


@pytest.mark.parametrize("normalization", ["none", "l2", "loss", "loss+"])
def test_gradient_normalization_decides_the_step(normalization: GradientNormalization) -> None:
    """The step is the shortest mixture of the two gradients, divided as the setting says."""
    plain: GradientNormalization = "none"
    erm, figures = one_step(loss_weighting="erm", gradient_normalization=plain)
    irm, _ = one_step(loss_weighting="irm", gradient_normalization=plain)
    divisors = {
        "none": (1.0, 1.0),
        "l2": (float(erm.norm()), float(irm.norm())),
        "loss": (figures["l_erm"], figures["l_irm"]),
        "loss+": (float(erm.norm()) * figures["l_erm"], float(irm.norm()) * figures["l_irm"]),
    }[normalization]
    a, b = erm / divisors[0], irm / divisors[1]
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:, None]
    mixtures = grid * a + (1 - grid) * b
    best = int(mixtures.norm(dim=1).argmin())
    assert 0 < best < 10_000
    moved, figures = one_step(loss_weighting="pareto", gradient_normalization=normalization)
    assert figures["w_erm"] == pytest.approx(float(grid[best]), abs=2e-3)
    scale = float(mixtures[best].norm())
    torch.testing.assert_close(moved, mixtures[best], rtol=0.02, atol=0.02 * scale)
    assert figures["stationarity"] == pytest.approx(scale, rel=0.01)


def test_figures_of_a_plain_sum_are_those_of_its_two_gradients() -> None:
    """L_ERM + 3 L_IRM: weights 1 and 3 over their sum, the direction and its length."""
    erm, irm = (
        one_step(loss_weighting=name, gradient_normalization="none")[0] for name in ("erm", "irm")
    )
    moved, figures = one_step(loss_weighting="fixed", irm_weight=3.0)
    torch.testing.assert_close(moved, erm + 3 * irm, rtol=0.02, atol=0.02 * float(moved.norm()))
    cosine = float(erm @ irm / erm.norm() / irm.norm())
    expected = {
        "w_erm": 1 / 4,
        "effective_w_erm": 1 / 4,
        "norm_erm": float(erm.norm()),
        "norm_irm": float(irm.norm()),
        "cosine": cosine,
        "stationarity": float((erm + 3 * irm).norm()),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_mask_is_clipped_at_both_ends(optimizer: str, end: float) -> None:
    """A pull away from [0, 1] cannot leave it while it is clipped, and leaves it in use only."""
    # Decay towards the far side of the end, far stronger than the losses.
    values: dict[str, Any] = {
        "mask_decay": 1e6, "mask_center": 3 * end - 1, "mask_optimizer": optimizer,
        "mask_step_size": 0.6 if optimizer == "adam" else 1e-6,
    }  # fmt: skip
    for clipping, inside in (("every_step", True), ("in_use", False)):
        stage = learner(mask_clipping=clipping, **values)
        stage.run_epoch()
        assert bool((stage.mask == end).all()) == inside
        outside = stage.mask > 1 if end else stage.mask < 0
        assert bool(outside.all()) != inside
        assert stage.result().tolist() == [end] * D
        assert math.isfinite(stage.trajectory.steps["l_erm"][-1])
