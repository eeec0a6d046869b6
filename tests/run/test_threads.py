"""One thread on small data, the user's choice wherever there is one."""

from __future__ import annotations

import pytest
import torch

from recbole_painvrl.run.threads import cpu_threads


@pytest.mark.parametrize(
    ("asked", "n_items", "expected"), [(None, 1_000, 1), (None, 100_000, 3), (2, 1_000, 2)]
)
def test_threads(asked: int | None, n_items: int, expected: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with cpu_threads(asked, n_items, 256):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
