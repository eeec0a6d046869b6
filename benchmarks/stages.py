"""Steps of the three learning stages, ours and the published structure, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model

from benchmarks.reference.mask import joint_gradients
from benchmarks.reference.net import Net
from benchmarks.reference.recommender import Recommender
from benchmarks.shapes import RandomData, settings
from recbole_painvrl.data.negatives import NegativeSampler, NegativeSampling
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import PlainUltraGCN
from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.training.mask import MaskLearner, MaskSettings
from recbole_painvrl.training.row_gradients import use_row_gradients

Step = Callable[[], object]
_SIZE = 64


def mask_steps(data: RandomData, with_attention: bool) -> dict[str, Step]:
    """One joint step: the published structure, ours with the same draws, ours with a pool.

    With attention (PaInvRL) the losses have L_I; without (InvRL) they have not. W and attention
    descend the weighted losses in all of them, which needs both their gradients.
    """
    shape = data.shape
    weights = UltraGCNWeights.from_paper(1e-4, 1e-2 if with_attention else 0.0)
    tables = data.tables(10 if with_attention else 0)
    n = shape.n_environments * shape.batch
    users, items = data.batch(n)
    labels = torch.arange(n) % shape.n_environments

    def learner(mode: NegativeSampling, n_negatives: int) -> MaskLearner:
        own = settings("PaInvRL")
        chosen = MaskSettings(**{field.name: own[field.name] for field in fields(MaskSettings)})
        chosen = replace(
            chosen,
            attention=with_attention,
            projection_objective="weighted",
            mask_batch_size=shape.batch,
        )
        source = torch.Generator().manual_seed(0)
        negatives = NegativeSampler(
            data.num("item_id"), n_negatives, mode, torch.Generator().manual_seed(1)
        )
        mask = torch.full((shape.width,), 0.5)
        return MaskLearner(users, items, labels, tables, weights, mask, chosen, negatives, source)

    exact, shared = learner("per_positive", shape.n_negatives), learner("shared", 64)
    reference = _reference_joint_step(data, tables, weights, exact.attention)
    return {"reference": reference, "same draws": exact.run_epoch, "shared pool": shared.run_epoch}


def _reference_joint_step(
    data: RandomData,
    tables: FrozenTables,
    weights: UltraGCNWeights,
    attention: PairAttention | None,
) -> Step:
    shape = data.shape
    mask = torch.full((shape.width,), 0.5).requires_grad_()
    projection = (0.01 * torch.randn(_SIZE, shape.width)).requires_grad_()

    def step() -> None:
        batches = []
        for _ in range(shape.n_environments):
            users, items = data.batch(shape.batch)
            drawn = torch.randint(1, data.num("item_id"), (shape.batch, shape.n_negatives))
            batches.append(EnvironmentBatch(users, items, drawn))
        noise = 0.01 * torch.randn(shape.width)
        joint_gradients(mask, noise, projection, attention, batches, tables, weights)

    return step


def recommender_steps(data: RandomData, batches: dict[str, int]) -> dict[str, tuple[Step, int]]:
    """Steps of the final model: name -> (step, positives in it).

    Args:
        data: random data.
        batches: further batch sizes of ours with a shared pool, by name.
    """
    shape = data.shape
    steps: dict[str, tuple[Step, int]] = {"reference": (_reference_step(data, False), shape.batch)}
    exact = ("--negative_sampling=per_positive", f"--n_negatives={shape.n_negatives}")
    steps["same draws"] = (_final_step(data, shape.batch, *exact), shape.batch)
    for name, size in batches.items():
        steps[name] = (_final_step(data, size), size)
    return steps


def _reference_step(data: RandomData, adagrad_tables: bool) -> Step:
    shape = data.shape
    slices = data.features.slices.values()
    modalities = [data.features.matrix[:, columns].contiguous() for columns in slices]
    net = Net(data.num("user_id"), data.num("item_id"), modalities, torch.full((shape.width,), 0.5))
    weights = UltraGCNWeights.from_paper(1e-4, 1e-2)
    recommender = Recommender(net, data.graph(10), weights, adagrad_tables=adagrad_tables)

    def step() -> None:
        users, items = data.batch(shape.batch)
        drawn = torch.randint(1, data.num("item_id"), (shape.batch, shape.n_negatives))
        recommender.step(users, items, drawn)

    return step


def _final_step(data: RandomData, size: int, *arguments: str) -> Step:
    config = settings("PaInvRL", *arguments)
    model: Any = get_model("PaInvRL")(config, data)
    model.set_mask(torch.full((data.shape.width,), 0.5))
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-3, fused=True)
    use_row_gradients(config, model, optimizer)

    def step() -> None:
        users, items = data.batch(size)
        optimizer.zero_grad()
        loss = model.calculate_loss(Interaction({"user_id": users, "item_id": items}))
        loss.backward()
        optimizer.step()

    return step


def environment_steps(data: RandomData, n_batches: int = 2) -> dict[str, tuple[Step, int]]:
    """Training of all environment models on some interactions: name -> (step, interactions)."""
    shape, own = data.shape, settings("PaInvRL")
    size = min(int(own["environment_batch_size"]), len(data.users))
    fit = FitSettings(1, 1e-3, size, int(own["environment_negatives"]), "mixed")
    tables = data.tables(10)
    weights = UltraGCNWeights.from_paper(1e-4, 1e-2)
    source = torch.Generator().manual_seed(0)
    full = PlainUltraGCN(
        data.num("user_id"), data.num("item_id"), tables.features, tables.graph, weights,
        _SIZE, _SIZE, 0.01, source,
    )  # fmt: skip
    users, items = data.batch(n_batches * size)
    adam = replace(fit, learner="adam")
    content = ContentEnvironmentModel(
        users, items, tables.user_content, tables.features, shape.n_environments, adam
    )
    labels = torch.arange(len(users)) % shape.n_environments
    return {
        "reference": (_reference_step(data, True), shape.batch),
        "full, shared pool": (lambda: full.fit(users, items, fit, 1e-4, source, 1e-2), len(users)),
        "content": (lambda: content.fit_and_score(labels, source), len(users)),
    }
