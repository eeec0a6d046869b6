"""What the guard of a training stops at, and which column and batch it names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recbole_painvrl.errors import NonFiniteLossError
from recbole_painvrl.training.guard import Guard, blame

SLICES = {"visual": slice(0, 3), "text": slice(3, 5)}


def guard_of(parameter: torch.nn.Parameter) -> tuple[Guard, torch.optim.Optimizer]:
    model = SimpleNamespace(named_parameters=lambda: [("w", parameter)])
    trainer: Any = SimpleNamespace(model=model, stage="train")
    guard = Guard(trainer)
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    guard.watch(optimizer)
    guard.begin_epoch(0)
    return guard, optimizer


@pytest.mark.parametrize(("value", "bad"), [(3e38, False), (-3e38, False), (float("inf"), True)])
def test_large_gradients_whose_sum_overflows_are_no_fault(value: float, bad: bool) -> None:
    parameter = torch.nn.Parameter(torch.zeros(10))
    _, optimizer = guard_of(parameter)
    parameter.grad = torch.full((10,), value)
    if bad:
        with pytest.raises(NonFiniteLossError, match="the gradient of `w` is not finite"):
            optimizer.step()
    else:
        optimizer.step()


def test_a_gradient_that_is_read_with_the_next_loss_is_of_the_batch_before() -> None:
    """As on a GPU, where the flag of a step waits for the host."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    guard, _ = guard_of(parameter)
    loss_of = guard.watched(lambda batch: torch.ones(()))
    for batch in range(3):
        loss_of(batch)
    guard._gradients = torch.tensor(False)
    parameter.grad = torch.tensor([0.0, float("nan")])
    with pytest.raises(NonFiniteLossError, match="epoch 1, batch 2: the gradient of `w`"):
        guard.check_loss(torch.ones(()))
    with pytest.raises(NonFiniteLossError, match="epoch 1, batch 3: the training loss is nan"):
        guard.check_loss(torch.tensor(float("nan")))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (2, -1e9, "exploding feature column: visual column 2"),
        (3, 1e9, "exploding feature column: text column 0"),
        (4, 1e3, "no feature column is worse than the others"),
    ],
)
def test_a_column_explodes_if_it_is_a_million_times_as_large(
    column: int, value: float, words: str
) -> None:
    rows = torch.full((4, 5), -1.0)
    rows[2, column] = value
    assert blame({"the features": rows}, SLICES).startswith(words)
