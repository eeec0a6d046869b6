"""The best k, against sorting one row at a time."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.inference.recommending import block_size, top_k


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_top_k_is_sorting_with_ties_by_column(rows: int, n: int, k: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 3, (rows, n), generator=source).float()
    scores[scores == -2] = -torch.inf
    values, columns = top_k(scores, k)
    for row, (found, places) in enumerate(zip(values.tolist(), columns.tolist(), strict=True)):
        expected = sorted(range(n), key=lambda column: (-scores[row, column], column))[:k]
        assert places == expected
        assert found == scores[row, expected].tolist()


def test_blocks_shrink_as_the_catalogue_grows() -> None:
    assert block_size(1000) * 1000 <= 2**22 < (block_size(1000) + 1) * 1000
    assert block_size(10**8) == 1
