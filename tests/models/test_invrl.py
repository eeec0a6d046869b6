"""InvRL's joint step against its literal form, what its mask learns, how its final tables decay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import degrees_alone, literal_environment_losses, literal_score, random_graph
from support import MakeConfig, shipped_settings
from torch import Tensor
from zoo_support import build

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.invrl import InvRL, InvRLSettings
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner

N_USERS, N_ITEMS, K, D, N_ENVIRONMENTS, STEPS = 9, 14, 3, 6, 3, 4
WEIGHTS = UltraGCNWeights(1.0, 0.3, 1.0, 0.2, 1.5, 0.4)


def random_tables(source: torch.Generator) -> FrozenTables:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source)

    graph = random_graph(N_USERS, N_ITEMS, 2, source)
    return FrozenTables(
        draw(N_USERS, K), draw(N_USERS, K), draw(N_ITEMS, K), draw(N_ITEMS, D), graph
    )


def random_batches(source: torch.Generator) -> list[EnvironmentBatch]:
    return [
        EnvironmentBatch(
            torch.randint(1, N_USERS, (4,), generator=source),
            torch.randint(1, N_ITEMS, (4,), generator=source),
            torch.randint(1, N_ITEMS, (4, 2), generator=source),
        )
        for _ in range(N_ENVIRONMENTS)
    ]


def literal_steps(
    start: Tensor,
    projection: Tensor,
    steps: list[list[EnvironmentBatch]],
    tables: FrozenTables,
    settings: InvRLSettings,
    source: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Plain backward through the whole sum, with one Adam for theta = m - 1/2 and W (spec 2.4)."""
    theta = (start - 0.5).requires_grad_()
    w = projection.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([w, theta], lr=settings.mask_step_size)
    for batches in steps:
        noise = settings.mask_noise * torch.randn(D, generator=source)
        gate = (theta + 0.5 + noise).clamp(0, 1)
        score = literal_score(tables, w, gate, gate, None, False)
        losses = literal_environment_losses(score, batches, tables, WEIGHTS)
        gradients = torch.stack(
            [torch.autograd.grad(loss, w, create_graph=True)[0] for loss in losses]
        )
        spread = (gradients - gradients.mean(dim=0)).square().sum(dim=0)
        if settings.variance == "mean":
            spread = spread / N_ENVIRONMENTS
        penalty = spread * (gate if settings.penalty_gate == "noisy" else theta + 0.5)
        total = (
            losses.mean()
            + settings.irm_weight * penalty.square().sum()
            + settings.mask_decay / 2 * theta.square().sum()
            + settings.mask_projection_reg_weight * w.square().sum()
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if settings.mask_clipping == "every_step":
            with torch.no_grad():
                theta.clamp_(-0.5, 0.5)
    return theta.detach() + 0.5, w.detach()


# Entries at both ends, so that clipping matters, and steps large enough to leave [0, 1].
START = (0.01, 0.3, 0.5, 0.7, 0.99, 1.0)
LARGE = {"mask_step_size": 0.05, "projection_learning_rate": 0.05, "init_std": 0.3}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no noise": {"mask_noise": 0.0},
    "plain penalty": {"penalty_gate": "plain"},
    "clipped in use": {"mask_clipping": "in_use"},
    "sum": {"variance": "sum"},
    "alpha": {"irm_weight": 3.0},
    "lambda": {"mask_decay": 5.0},
    "decay of W": {"mask_projection_reg_weight": 0.5},
    "released": {},
}


def learnt(settings: InvRLSettings) -> tuple[MaskLearner, tuple[Tensor, Tensor]]:
    """The learner after some steps, and what the literal form makes of the same draws."""
    source = torch.Generator().manual_seed(0)
    tables = random_tables(source)
    steps = [random_batches(source) for _ in range(STEPS)]
    one = torch.ones(1, dtype=torch.long)
    learner = MaskLearner(
        one, one, one, tables, WEIGHTS, torch.tensor(START), settings,
        NegativeSampler(N_ITEMS, 2, "per_positive", torch.Generator()),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    noise = torch.Generator()
    noise.set_state(learner.generator.get_state())
    literal = literal_steps(torch.tensor(START), learner.projection, steps, tables, settings, noise)
    for batches in steps:
        learner._joint_step(batches, learner._noise(1)[0])
    return learner, literal


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", VARIANTS)
def test_joint_steps_are_the_literal_ones(name: str) -> None:
    preset = "released" if name == "released" else None
    settings = shipped_settings("InvRL", preset, **{**LARGE, **VARIANTS[name]})
    learner, (mask, projection) = learnt(settings)
    torch.testing.assert_close(learner.mask.detach(), mask, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(learner.projection.detach(), projection, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(learner.result(), mask.clamp(0, 1), rtol=1e-9, atol=1e-9)
    assert bool(((mask < 0) | (mask > 1)).any()) == (settings.mask_clipping == "in_use")


def test_informative_columns_end_above_noise() -> None:
    """Half of the columns say what users like, half are noise (spec 8, 5, in small)."""
    source = torch.Generator().manual_seed(0)
    n_users, n_items, half, per_user = 80, 60, 4, 20
    people = torch.randn(n_users, half, generator=source)
    features = torch.randn(n_items, 2 * half, generator=source)
    features = torch.nn.functional.normalize(features, dim=1)
    features[0] = 0
    chance = torch.softmax(6 * people @ features[:, :half].T, dim=1)
    chance[:, 0] = 0
    items = torch.multinomial(chance[1:], per_user, generator=source).flatten()
    users = torch.arange(1, n_users).repeat_interleave(per_user)
    labels = torch.randint(0, 4, (len(users),), generator=source)
    tables = FrozenTables(
        torch.zeros(n_users, half), 0.1 * people, torch.zeros(n_items, half), features,
        degrees_alone(users, items, n_users, n_items),
    )  # fmt: skip
    settings = shipped_settings(
        "InvRL", "released", mask_batch_size=64, mask_projection_reg_weight=0.0
    )
    stage = MaskLearner(
        users, items, labels, tables, UltraGCNWeights.from_paper(1.0, 0.0),
        torch.full((2 * half,), 0.5), settings,
        NegativeSampler(n_items, 8, "per_positive", torch.Generator().manual_seed(0)),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    for _ in range(settings.mask_epochs):
        stage.run_epoch()
    mask = stage.result()
    assert mask[:half].min() > mask[half:].max()
    assert mask[:half].mean() > mask[half:].mean() + 0.1


TABLES = ("--embedding_size=6", "--content_embedding_size=4", "--init_std=0.3")


def decays(model: InvRL, groups: list[dict[str, Any]]) -> dict[str, float]:
    """Name of every parameter -> its weight decay; each is in one group."""
    found = [(p, group["weight_decay"]) for group in groups for p in group["params"]]
    names = {id(p): name.partition(".")[0] for name, p in model.named_parameters()}
    assert len(found) == len(names)
    return {names[id(p)]: decay for p, decay in found}


def test_item_ids_decay_by_their_factor_in_the_final_model(tiny_config: MakeConfig) -> None:
    weights = ("--embedding_reg_weight=0.1", "--projection_reg_weight=0.5")
    model = build(tiny_config("InvRL", *TABLES, *weights, "--item_id_reg_factor=3.0"))
    expected = {
        "user_id_embedding": 0.2,
        "user_content_embedding": 0.2,
        "item_id_embedding": 0.6,
        "projection": 1.0,
    }
    assert decays(model, model.parameter_groups()) == pytest.approx(expected)
    backbone = {**dict.fromkeys(expected, 0.02), "projection": 0.04}
    assert decays(model, model.parameter_groups(0.01, 0.02)) == pytest.approx(backbone)
