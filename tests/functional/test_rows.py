"""Rows of length 1 against ``torch.nn.functional.normalize``."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from recbole_painvrl.functional.rows import unit_rows


def test_values_and_gradients_are_those_of_normalize() -> None:
    table = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit_rows(table), F.normalize(table))
    assert torch.autograd.gradcheck(unit_rows, (table,))


def test_a_zero_row_stays_zero_and_has_no_gradient() -> None:
    table = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = unit_rows(table)
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    unit.backward(torch.ones(2, 2))
    assert table.grad is not None
    assert table.grad[0].tolist() == [0.0, 0.0]
    torch.testing.assert_close(table.grad[1], torch.tensor([4.0, -3.0]) / 125)
