"""Eq. 10 to 15 and 24: gate and attention by hand, the closed form against double backward."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from oracles import literal_environment_losses, literal_score, random_graph
from torch import Tensor

from recbole_painvrl.functional import invariance
from recbole_painvrl.functional.attention import AttentionOutput, PairAttention
from recbole_painvrl.functional.gate import clipped_gate, invariant, variant
from recbole_painvrl.functional.invariance import (
    EnvironmentBatch,
    FrozenTables,
    Representation,
    irm_loss,
    joint_losses,
)
from recbole_painvrl.functional.ultragcn import UltraGCNWeights


def test_gate_and_representations_by_hand() -> None:
    """Noise before clipping, no gradient outside, and two parts that add up."""
    mask = torch.tensor([0.5, 0.95, 0.05, 1.2])
    noise = torch.tensor([0.1, 0.1, -0.1, -0.3])
    expected = torch.tensor([0.6, 1.0, 0.0, 0.9])
    torch.testing.assert_close(clipped_gate(mask, noise), expected)
    torch.testing.assert_close(clipped_gate(mask), torch.tensor([0.5, 0.95, 0.05, 1.0]))
    mask = torch.tensor([0.5, 0.95, 0.05], requires_grad=True)
    clipped_gate(mask, torch.tensor([0.0, 0.1, -0.1])).sum().backward()
    assert mask.grad.tolist() == [1.0, 0.0, 0.0]
    features = torch.randn(5, 3)
    mask = torch.tensor([0.25, 1.5, -0.5])
    phi, psi = invariant(features, mask), variant(features, mask)
    torch.testing.assert_close(phi + psi, features)
    torch.testing.assert_close(phi, features * torch.tensor([0.25, 1.0, 0.0]))


USERS, ITEMS, HIDDEN = 6, 5, 3


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_attention_is_the_mlp_of_the_concatenation(output: AttentionOutput) -> None:
    attention = PairAttention(USERS, ITEMS, HIDDEN, output).double()
    torch.nn.init.normal_(attention.bias)
    users = torch.randn(7, USERS, dtype=torch.float64)
    items = torch.randn(7, ITEMS, dtype=torch.float64)
    found = attention(*attention.tables([users], [items[:, :1], items[:, 1:]])).T

    first_layer = torch.cat([attention.user_weight, attention.item_weight])
    hidden = torch.relu(torch.cat([users, items], dim=1) @ first_layer + attention.bias)
    logits = torch.stack(
        [
            hidden[:, :HIDDEN] @ attention.last_weight[0] + attention.last_bias[0],
            hidden[:, HIDDEN:] @ attention.last_weight[1] + attention.last_bias[1],
        ]
    )
    expected = {
        "sigmoid": torch.sigmoid(logits),
        "softmax": torch.softmax(logits, dim=0),
        "identity": logits,
    }[output]
    torch.testing.assert_close(found, expected)


def test_attention_starts_with_more_weight_on_the_invariant_part() -> None:
    source = torch.Generator().manual_seed(3)
    attention = PairAttention(USERS, ITEMS, 64, generator=source)
    (first, second) = attention(
        *attention.tables([torch.zeros(1, USERS)], [torch.zeros(1, ITEMS)])
    )[0]
    assert first.item() == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item())
    assert second.item() == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item())


N_USERS, N_ITEMS, K, D, BATCH, N_ENVIRONMENTS = 9, 14, 3, 5, 3, 3
WEIGHTS = UltraGCNWeights(1.0, 0.3, 1.0, 0.2, 1.5, 0.4)


@dataclass
class Case:
    """Everything that one joint step reads, random and in float64."""

    tables: FrozenTables
    projection: Tensor
    mask: Tensor
    noise: Tensor
    attention: PairAttention | None
    batches: list[EnvironmentBatch]
    outer_gate: bool

    @property
    def gate(self) -> Tensor:
        return clipped_gate(self.mask, self.noise)

    def closed_form(self) -> tuple[Tensor, Tensor]:
        built = Representation.build(self.mask, self.gate, self.attention, self.outer_gate)
        return joint_losses(built, self.projection, self.batches, self.tables, WEIGHTS)

    def literal(self) -> Tensor:
        score = literal_score(
            self.tables, self.projection, self.mask, self.gate, self.attention, self.outer_gate
        )
        return literal_environment_losses(score, self.batches, self.tables, WEIGHTS)

    def learnt(self) -> list[Tensor]:
        extra = [] if self.attention is None else list(self.attention.parameters())
        return [self.mask, self.projection, *extra]


def make(
    attention: bool = True,
    shared: bool = False,
    n_neighbours: int = 2,
    outer_gate: bool = True,
    seed: int = 0,
    n_environments: int = N_ENVIRONMENTS,
) -> Case:
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    tables = FrozenTables(
        draw(N_USERS, K),
        draw(N_USERS, K),
        draw(N_ITEMS, K),
        draw(N_ITEMS, D),
        random_graph(N_USERS, N_ITEMS, n_neighbours, source),
    )
    batches = [
        EnvironmentBatch(
            torch.randint(1, N_USERS, (BATCH,), generator=source),
            torch.randint(1, N_ITEMS, (BATCH,), generator=source),
            torch.randint(1, N_ITEMS, (4,) if shared else (BATCH, 2), generator=source),
        )
        for _ in range(n_environments)
    ]
    mlp = PairAttention(2 * K, K + D, 4, generator=source).double() if attention else None
    # Inside, above 1 and below 0 after the noise.
    mask = torch.tensor([0.3, 0.6, 0.99, 0.02, 0.5], dtype=torch.float64).requires_grad_()
    noise = torch.tensor([0.02, -0.03, 0.05, -0.05, 0.01], dtype=torch.float64)
    return Case(tables, draw(K, D).requires_grad_(), mask, noise, mlp, batches, outer_gate)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_neighbours", [2, 0])
# Without attention there is no outer gate.
@pytest.mark.parametrize(("attention", "outer_gate"), [(True, True), (True, False), (False, True)])
def test_closed_form_is_the_literal_one(
    attention: bool,
    outer_gate: bool,
    n_neighbours: int,
    shared: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L_ERM, the environments' gradients by double backward, L_IRM, and what is learnt of both."""
    case = make(attention, shared, n_neighbours, outer_gate)
    learnt, literal = case.learnt(), case.literal()
    erm = torch.autograd.grad(literal.mean(), learnt, retain_graph=True, allow_unused=True)
    by_autograd = torch.stack(
        [torch.autograd.grad(loss, case.projection, create_graph=True)[0] for loss in literal]
    )
    penalty = (by_autograd.var(dim=0, unbiased=False) * case.gate).square().sum()
    irm = torch.autograd.grad(penalty, learnt, allow_unused=True)
    # Both ways to take the features of a step's items: whole tables, own rows.
    for limit in (0.0, 2.0):
        monkeypatch.setattr(invariance, "_ALMOST_ALL", limit)
        losses, gradients = case.closed_form()
        torch.testing.assert_close(losses, literal, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients, by_autograd, rtol=1e-10, atol=1e-11)
        found = torch.autograd.grad(losses.mean(), learnt, retain_graph=True)
        torch.testing.assert_close(found, erm, rtol=1e-10, atol=1e-11)
        # The sum over environments is the mean times their number, squared in the loss.
        for form, factor in (("mean", 1), ("sum", N_ENVIRONMENTS**2)):
            closed = irm_loss(gradients, case.gate, form)  # type: ignore[arg-type]
            torch.testing.assert_close(closed, factor * penalty, rtol=1e-10, atol=0.0)
            found = torch.autograd.grad(closed, learnt, retain_graph=True, allow_unused=True)
            for ours, theirs in zip(found, irm, strict=True):
                if theirs is None:
                    assert ours is None or not ours.any()
                    continue
                scale = factor * theirs.abs().max().item()
                torch.testing.assert_close(ours, factor * theirs, rtol=1e-9, atol=1e-12 * scale)


def test_irm_loss_by_hand() -> None:
    """Two environments, k = 1, d = 2: Var = ((1-3)/2)^2 = 1 and 0; gate 1/2 and 1."""
    gradients = torch.tensor([[[1.0, 5.0]], [[3.0, 5.0]]])
    gate = torch.tensor([0.5, 1.0])
    assert irm_loss(gradients, gate, "mean").item() == pytest.approx((1 * 1 / 2) ** 2)
    assert irm_loss(gradients, gate, "sum").item() == pytest.approx((2 * 1 / 2) ** 2)


def test_one_or_equal_environments_have_no_irm_loss() -> None:
    case = make(n_environments=1)
    losses, gradients = case.closed_form()
    penalty = irm_loss(gradients, case.gate)
    assert penalty.item() == 0.0
    for gradient in torch.autograd.grad(penalty, case.learnt()):
        assert not gradient.any()
    assert losses.shape == (1,)
    case = make()
    case.batches = [case.batches[0]] * 3
    _, gradients = case.closed_form()
    scale = gradients.abs().max().item() ** 4
    assert irm_loss(gradients, case.gate).item() <= 1e-25 * scale


def equal_alphas(case: Case) -> None:
    with torch.no_grad():
        case.attention.last_weight[1] = case.attention.last_weight[0]
        case.attention.last_bias.fill_(0.3)
        half = case.attention.hidden_size
        for table in (case.attention.user_weight, case.attention.item_weight):
            table[:, half:] = table[:, :half]


@pytest.mark.parametrize("shared", [True, False])
def test_equal_alphas_give_the_mask_no_gradient_without_the_outer_gate(shared: bool) -> None:
    case = make(outer_gate=False, shared=shared)
    equal_alphas(case)
    losses, _ = case.closed_form()
    (by_erm,) = torch.autograd.grad(losses.mean(), case.mask)
    assert by_erm.abs().max() < 1e-12

    gated = make(outer_gate=True, shared=shared)
    equal_alphas(gated)
    losses, _ = gated.closed_form()
    (by_erm,) = torch.autograd.grad(losses.mean(), gated.mask)
    assert by_erm.abs().max() > 1e-3


@pytest.mark.parametrize("outer_gate", [True, False])
def test_columns_are_clipped_at_both_ends(outer_gate: bool) -> None:
    """Eq. 12 and 13 by hand, with a mask that has left [0, 1] and a gate that has not."""
    mask, gate = torch.tensor([-0.5, 0.25, 1.5]), torch.tensor([0.125, 0.5, 0.75])
    attention = PairAttention(2, 2, 1)
    found = Representation.build(mask, gate, attention, outer_gate).columns.tolist()
    clipped = [0.0, 0.25, 1.0]
    if outer_gate:
        # mu m and mu (1 - m).
        assert found == [[0.0, 0.125, 0.75], [0.125, 0.375, 0.0]]
    else:
        assert found == [gate.tolist(), (1 - gate).tolist()]
    assert Representation.build(mask, gate, None, outer_gate).columns.tolist() == [gate.tolist()]
    assert clipped_gate(mask).tolist() == clipped
