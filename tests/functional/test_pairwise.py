"""BPR and its regularisers against the sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from recbole_painvrl.functional.pairwise import bpr_loss, norm_penalty, square_penalty


def test_bpr_by_hand() -> None:
    loss = bpr_loss(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 2.0]))
    expected = -(math.log(1 / (1 + math.exp(-1.0))) + math.log(1 / (1 + math.exp(1.5)))) / 2
    assert loss.item() == pytest.approx(expected)


def test_bpr_neither_overflows_nor_saturates() -> None:
    gap = torch.tensor([-2000.0, 2000.0], requires_grad=True)
    loss = bpr_loss(gap, torch.zeros(2))
    loss.backward()
    assert loss.item() == 1000.0
    assert gap.grad is not None
    assert gap.grad.tolist() == [-0.5, 0.0]


def test_penalties_by_hand() -> None:
    first = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    second = torch.tensor([[2.0], [0.0]])
    assert norm_penalty(first, second).item() == (5 + 2) / 2
    assert square_penalty(first, second).item() == (25 + 4) / 2 / 2


def test_penalties_of_zero_have_a_gradient_of_zero() -> None:
    table = torch.zeros(3, 2, requires_grad=True)
    (norm_penalty(table, table) + square_penalty(table)).backward()
    assert table.grad is not None
    assert not table.grad.any()
