"""The reference that the benchmarks time has the product's losses, gradients and steps."""

from __future__ import annotations

import pytest
import torch
from oracles import random_graph
from torch import Tensor

from benchmarks.reference import Recommender, joint_gradients
from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.gate import clipped_gate
from recbole_painvrl.functional.invariance import (
    EnvironmentBatch,
    FrozenTables,
    Representation,
    irm_loss,
    joint_losses,
)
from recbole_painvrl.functional.ultragcn import Distinct, UltraGCNWeights, batch_loss

N_USERS, N_ITEMS, K, WIDTHS, B, N = 30, 40, 4, (5, 3), 16, 6
D = sum(WIDTHS)
WEIGHTS = UltraGCNWeights(1.0, 0.3, 0.9, 0.2, 1.3, 0.4)


pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def source() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def batch(source: torch.Generator, size: int = B) -> EnvironmentBatch:
    return EnvironmentBatch(
        torch.randint(1, N_USERS, (size,), generator=source),
        torch.randint(1, N_ITEMS, (size,), generator=source),
        torch.randint(1, N_ITEMS, (size, N), generator=source),
    )


def close(own: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("with_attention", [False, True])
def test_joint_step(with_attention: bool, source: torch.Generator) -> None:
    tables = FrozenTables(
        torch.randn(N_USERS, K, generator=source),
        torch.randn(N_USERS, K, generator=source),
        torch.randn(N_ITEMS, K, generator=source),
        torch.randn(N_ITEMS, D, generator=source),
        random_graph(N_USERS, N_ITEMS, 3, source),
    )
    batches = [batch(source, size) for size in (16, 16, 9)]
    mask = torch.rand(D, generator=source).requires_grad_()
    noise = 0.4 * torch.randn(D, generator=source)  # some entries are clipped
    projection = torch.randn(K, D, generator=source).requires_grad_()
    attention = None
    if with_attention:
        attention = PairAttention(2 * K, K + D, 7, "sigmoid", source)
    expected = joint_gradients(mask, noise, projection, attention, batches, tables, WEIGHTS)

    gate = clipped_gate(mask, noise)
    representation = Representation.build(mask, gate, attention, outer_gate=True)
    losses, gradients = joint_losses(representation, projection, batches, tables, WEIGHTS)
    l_erm, l_irm = losses.mean(), irm_loss(gradients, gate)
    variables = [mask, projection, *([] if attention is None else attention.parameters())]
    by_erm = torch.autograd.grad(l_erm, variables, retain_graph=True)
    by_irm = torch.autograd.grad(l_irm, variables, materialize_grads=True)

    found = (l_erm.detach(), l_irm.detach(), *by_erm, *by_irm)
    plain_erm, plain_irm, plain_by_erm, plain_by_irm = expected
    for own, other in zip(found, (plain_erm, plain_irm, *plain_by_erm, *plain_by_irm), strict=True):
        close(own, other)
    assert plain_irm > 0
    assert all(gradient.abs().max() > 0 for gradient in plain_by_irm[:2])


@pytest.mark.parametrize("adagrad_tables", [False, True])
def test_two_steps_of_the_recommender(adagrad_tables: bool, source: torch.Generator) -> None:
    modalities = [torch.randn(N_ITEMS, width, generator=source) for width in WIDTHS]
    mask = torch.rand(D, generator=source)
    graph = random_graph(N_USERS, N_ITEMS, 3, source)
    reference = Recommender(
        N_USERS, N_ITEMS, modalities, mask, graph, WEIGHTS, (0.02, 0.3), adagrad_tables, K, 0.5
    )
    own = [parameter.detach().clone().requires_grad_() for parameter in reference.parameters()]
    users, items, weight, bias = own
    content = torch.cat(modalities, dim=1) * mask
    tables = torch.optim.Adagrad if adagrad_tables else torch.optim.Adam
    optimizers = [
        tables([users, items], lr=1e-3, weight_decay=2 * 0.02),
        torch.optim.Adam([weight, bias], lr=1e-3, weight_decay=2 * 0.3),
    ]
    for _ in range(2):
        drawn = batch(source)
        expected = reference.step(drawn.users, drawn.positives, drawn.negatives)
        l2 = 0.02 * (users.square().sum() + items.square().sum())
        l2 = l2 + 0.3 * (weight.square().sum() + bias.square().sum())
        table = torch.cat([items, content @ weight.T + bias], dim=1)
        own_users = Distinct.of(drawn.users)
        loss = batch_loss(
            users[own_users.values],
            table,
            own_users,
            drawn.positives,
            drawn.negatives,
            graph,
            WEIGHTS,
        )
        assert (loss + l2).item() == pytest.approx(expected, rel=1e-12)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        for parameter, other in zip(own, reference.parameters(), strict=True):
            close(parameter.detach(), other.detach())
