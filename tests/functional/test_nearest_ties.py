"""Equal cosines: the smaller index comes first, inside the nearest rows and at their end."""

from __future__ import annotations

import pytest
import torch

from recbole_painvrl.functional.nearest import nearest_rows


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("include_self", [True, False])
def test_neighbours_are_those_of_a_stable_sort(k: int, include_self: bool) -> None:
    """Rows in groups of 1 to 9 along one axis each: all cosines are exactly 0 or 1."""
    source = torch.Generator().manual_seed(5)
    group = torch.repeat_interleave(torch.arange(36), torch.arange(1, 10).repeat(4))
    n = len(group)
    group = group[torch.randperm(n, generator=source)]
    rows = 2.0 * torch.eye(36)[group]
    present = torch.rand(n, generator=source) > 0.1
    indices, cosines = nearest_rows(rows, present, k, include_self, block=700)
    for i in range(n):
        others = [j for j in range(1, n) if present[j] and (include_self or j != i)]
        others.sort(key=lambda j: (int(group[j] != group[i]), j))
        expected = others[:k] if present[i] and i else [-1] * k
        assert indices[i].tolist() == expected
        equal = [float(j >= 0 and group[j] == group[i]) for j in expected]
        assert cosines[i].tolist() == equal
