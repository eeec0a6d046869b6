"""Scores and losses of pairs against the sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from recbole_painvrl.functional import pairs
from recbole_painvrl.functional.pairs import pair_scores, pair_sums
from recbole_painvrl.functional.pairwise import bpr_loss, norm_penalty, square_penalty

M, PARTS, K, B, C = 9, 2, 3, 7, 5


@pytest.fixture(params=[1, 12, 4096])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One user a block, two users a block, all in one."""
    monkeypatch.setattr(pairs, "_BLOCK", request.param)


@pytest.mark.usefixtures("blocks")
def test_scores_and_sums_of_pairs() -> None:
    table, users = torch.randn(M, PARTS, K).double(), torch.randn(B, K).double()
    rows, values = torch.randint(0, M - 1, (B, C)), torch.randn(B, C, PARTS).double()
    scores, sums = pair_scores(table, users, rows), pair_sums(values, users, rows, M)
    expected = torch.zeros(M, PARTS, K).double()
    for b in range(B):
        for c in range(C):
            for part in range(PARTS):
                item = rows[b, c]
                assert scores[b, c, part].item() == pytest.approx(
                    (users[b] @ table[item, part]).item()
                )
                expected[item, part] += values[b, c, part] * users[b]
    torch.testing.assert_close(sums, expected)
    assert not sums[M - 1].any()


@pytest.mark.usefixtures("blocks")
def test_gradients_of_pairs_by_table_and_users() -> None:
    table = torch.randn(M, PARTS, K).double().requires_grad_()
    users = torch.randn(B, K).double().requires_grad_()
    rows = torch.randint(0, M, (B, C))
    assert torch.autograd.gradcheck(lambda t, u: pair_scores(t, u, rows), (table, users))


def test_second_order_by_the_users_is_refused() -> None:
    table, users = torch.randn(M, PARTS, K).requires_grad_(), torch.randn(B, K).requires_grad_()
    scores = pair_scores(table, users, torch.randint(0, M, (B, C)))
    (gradient,) = torch.autograd.grad(scores.square().sum(), table, create_graph=True)
    with pytest.raises(NotImplementedError, match="by the users"):
        gradient.square().sum().backward()


@pytest.mark.usefixtures("blocks")
def test_gradients_of_pairs_of_both_orders() -> None:
    table, users = torch.randn(M, PARTS, K).double().requires_grad_(), torch.randn(B, K).double()
    rows = torch.randint(0, M, (B, C))
    values = torch.randn(B, C, PARTS).double().requires_grad_()
    scores = lambda t: pair_scores(t, users, rows)  # noqa: E731
    sums = lambda v: pair_sums(v, users, rows, M)  # noqa: E731
    assert torch.autograd.gradcheck(sums, values)
    assert torch.autograd.gradgradcheck(lambda t: scores(t).square(), table)
    assert torch.autograd.gradgradcheck(lambda v: sums(v).square(), values)


def test_bpr() -> None:
    """By hand; it neither overflows nor saturates."""
    loss = bpr_loss(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 2.0]))
    expected = -(math.log(1 / (1 + math.exp(-1.0))) + math.log(1 / (1 + math.exp(1.5)))) / 2
    assert loss.item() == pytest.approx(expected)
    gap = torch.tensor([-2000.0, 2000.0], requires_grad=True)
    loss = bpr_loss(gap, torch.zeros(2))
    loss.backward()
    assert loss.item() == 1000.0
    assert gap.grad.tolist() == [-0.5, 0.0]


def test_penalties() -> None:
    """By hand; those of zero have a gradient of zero."""
    first = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    second = torch.tensor([[2.0], [0.0]])
    assert norm_penalty(first, second).item() == (5 + 2) / 2
    assert square_penalty(first, second).item() == (25 + 4) / 2 / 2
    table = torch.zeros(3, 2, requires_grad=True)
    (norm_penalty(table, table) + square_penalty(table)).backward()
    assert not table.grad.any()
