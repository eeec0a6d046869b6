"""Eq. 3, 4, 5, 7: the batched loss is the literal one, its score gradients are its derivatives."""

from __future__ import annotations

from math import log

import pytest
import torch
from support import literal_loss, random_graph

from recbole_painvrl.functional import ultragcn
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights, batch_loss

WEIGHTS = UltraGCNWeights(0.7, 0.3, 0.9, 0.2, 1.5, 0.4)
N_USERS, N_ITEMS, WIDTH, BATCH = 11, 17, 5, 6


@pytest.mark.parametrize("n_neighbours", [0, 3])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_batch_loss_is_the_literal_loss(n_neighbours: int, shared: bool, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    graph = random_graph(N_USERS, N_ITEMS, n_neighbours, source)
    user_table = torch.randn(N_USERS, WIDTH, generator=source, dtype=torch.float64).requires_grad_()
    item_table = torch.randn(N_ITEMS, WIDTH, generator=source, dtype=torch.float64).requires_grad_()
    users = torch.randint(1, N_USERS, (BATCH,), generator=source)
    positives = torch.randint(1, N_ITEMS, (BATCH,), generator=source)
    shape = (7,) if shared else (BATCH, 4)
    negatives = torch.randint(1, N_ITEMS, shape, generator=source)
    found = batch_loss(user_table[users], item_table, users, positives, negatives, graph, WEIGHTS)
    expected = literal_loss(
        lambda u, i: user_table[u] @ item_table[i], users, positives, negatives, graph, WEIGHTS
    )
    torch.testing.assert_close(found, expected)
    by_table = [torch.autograd.grad(loss, [user_table, item_table]) for loss in (found, expected)]
    for own, literal in zip(*by_table, strict=True):
        torch.testing.assert_close(own, literal)


def test_batch_loss_by_hand() -> None:
    """All scores 0: every pair costs log 2 times its weight; sums over positives, means over j."""
    graph = GraphWeights(
        torch.tensor([0.0, 2.0]),
        torch.tensor([0.0, 0.5, 0.25]),
        torch.tensor([[0], [2], [1]]),
        torch.tensor([[0.0], [3.0], [5.0]]),
    )
    users, positives = torch.tensor([1, 1]), torch.tensor([1, 2])
    loss = batch_loss(
        torch.zeros(2, 4), torch.ones(3, 4), users, positives, torch.tensor([[1, 2], [2, 2]]),
        graph, WEIGHTS,
    )  # fmt: skip
    positive = (0.7 + 0.3 * 2 * 0.5) + (0.7 + 0.3 * 2 * 0.25)
    first, second = 0.9 + 0.2 * 2 * 0.5, 0.9 + 0.2 * 2 * 0.25
    negative = 1.5 * ((first + second) / 2 + (second + second) / 2)
    item_item = 0.4 * (3 + 5)
    assert loss.item() == pytest.approx((positive + negative + item_item) * log(2))


def test_mixed_precision_does_not_round_the_sums_over_the_pool() -> None:
    """In bfloat16 a sum of 512 losses would have 8 binary digits."""
    scores = torch.zeros(2, 512, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ultragcn.shared_negative_loss(scores, torch.ones(2), torch.ones(512), WEIGHTS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2 * 1.5 * 1.1 * log(2), rel=1e-5)


def test_counting_the_draws_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product with all items, each weighted by its draws: the same loss and gradients."""
    source = torch.Generator().manual_seed(3)
    graph = random_graph(N_USERS, N_ITEMS, 3, source)
    users = torch.randint(1, N_USERS, (BATCH,), generator=source)
    positives = torch.randint(1, N_ITEMS, (BATCH,), generator=source)
    negatives = torch.randint(1, N_ITEMS, (BATCH, 6), generator=source)
    vectors = torch.randn(BATCH, WIDTH, dtype=torch.float64).requires_grad_()
    table = torch.randn(N_ITEMS, WIDTH, dtype=torch.float64).requires_grad_()
    found = []
    for limit in (0, N_ITEMS):
        monkeypatch.setattr(ultragcn, "_DENSE_BELOW", limit)
        loss = batch_loss(vectors, table, users, positives, negatives, graph, WEIGHTS)
        found.append([loss, *torch.autograd.grad(loss, [vectors, table])])
    for gathered, counted in zip(*found, strict=True):
        torch.testing.assert_close(counted, gathered)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("positive", (9,)), ("negative", (9, 4)), ("item_item", (9, 3))],
)
def test_score_gradients_are_derivatives(kind: str, shape: tuple[int, ...]) -> None:
    loss = getattr(ultragcn, f"{kind}_loss")
    gradient = getattr(ultragcn, f"{kind}_score_gradient")
    scores = (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    edge = torch.rand(shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(loss(scores, edge, WEIGHTS), scores, create_graph=True)
    found = gradient(scores, edge, WEIGHTS)
    torch.testing.assert_close(found, expected)
    # The score gradient must be differentiable itself: L_IRM differentiates it once more.
    second = torch.autograd.grad(expected.square().sum(), scores)
    again = torch.autograd.grad(found.square().sum(), scores)
    torch.testing.assert_close(again, second)


def test_extreme_scores_stay_finite() -> None:
    scores = torch.tensor([1e4, -1e4, 0.0])
    edge = torch.ones(3)
    assert ultragcn.positive_loss(scores, edge, WEIGHTS).isfinite()
    assert ultragcn.negative_loss(scores[:, None], edge[:, None], WEIGHTS).isfinite()
    assert ultragcn.positive_score_gradient(scores, edge, WEIGHTS).isfinite().all()


def test_weights_of_the_paper() -> None:
    assert UltraGCNWeights.from_paper(1e-4, 1e-2) == UltraGCNWeights(1, 1e-4, 1, 1e-4, 1, 1e-2)
