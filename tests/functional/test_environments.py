"""Eq. 9 and the partition's bookkeeping."""

from __future__ import annotations

import itertools

import pytest
import torch
from oracles import source

from recbole_painvrl.functional.environments import (
    agreement,
    partition,
    random_partition,
    reseed_empty,
)


def test_partition_is_the_argmax_and_the_first_wins_ties() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.0, -3.0], [0.5, 2.0, 4.0, -1.0]])
    assert partition(scores).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("n", "size"), [(10, 3), (7, 7), (100, 1), (5, 2)])
def test_random_partition_is_balanced(n: int, size: int) -> None:
    counts = torch.bincount(random_partition(n, size, source()), minlength=size)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    first, again = (random_partition(n, size, source(4)) for _ in range(2))
    assert torch.equal(first, again)


def test_reseed_gives_every_empty_environment_a_part_of_the_largest() -> None:
    labels = torch.tensor([1] * 30 + [3] * 6)
    filled, empty = reseed_empty(labels, 4, source())
    assert empty == [0, 2]
    # A quarter of 30, then of 23.
    assert torch.bincount(filled, minlength=4).tolist() == [7, 18, 5, 6]
    assert torch.equal(filled[30:], labels[30:]), "only the largest environment gives"
    assert torch.equal(labels, torch.tensor([1] * 30 + [3] * 6)), "the input is not changed"
    labels = torch.tensor([0, 1, 2, 1])
    filled, empty = reseed_empty(labels, 3, source())
    assert empty == []
    assert torch.equal(filled, labels)


def test_agreement() -> None:
    """It is blind to names."""
    labels = torch.randint(0, 4, (200,), generator=source())
    for names in itertools.permutations(range(4)):
        assert agreement(labels, torch.tensor(names)[labels], 4) == 1.0
    first = torch.tensor([0, 0, 0, 1, 1, 1])
    second = torch.tensor([1, 1, 0, 0, 0, 0])
    # Best renaming: 0 -> 1, 1 -> 0; interactions 0, 1 and 3, 4, 5 stay together.
    assert agreement(first, second, 2) == pytest.approx(5 / 6)
    assert agreement(first, first, 2) == 1.0
    assert agreement(torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), 1) == 1.0
