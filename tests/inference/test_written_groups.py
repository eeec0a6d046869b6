"""Blocks of lists become row groups of a Parquet file, each row in one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from recbole_painvrl.inference import files
from recbole_painvrl.inference.files import write_recommendations
from recbole_painvrl.inference.recommending import Recommended


def block(first: int, n_rows: int) -> Recommended:
    """One user's list of some rows."""
    rows = np.arange(first, first + n_rows)
    items = np.array([f"i{row}" for row in rows], dtype=object)
    users = np.full(n_rows, f"u{first}", dtype=object)
    ranks = np.arange(1, n_rows + 1, dtype=np.int32)
    return Recommended(users, items, ranks, rows.astype(np.float32), 1, 0)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([3, 4, 5, 2], [7, 5, 2]),
        ([5, 5], [5, 5]),
        ([2, 2], [4]),
        ([0, 6, 0], [6, 0]),
        ([], []),
    ],
)
def test_every_row_is_written_once(
    sizes: list[int], groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, in groups of at least 5 rows but for the last."""
    monkeypatch.setattr(files, "_GROUP_ROWS", 5)
    starts = np.cumsum([0, *sizes])
    blocks = [block(int(start), size) for start, size in zip(starts, sizes, strict=False)]
    write_recommendations(tmp_path / "x.parquet", iter(blocks))
    found = pd.read_parquet(tmp_path / "x.parquet")
    assert found["item_id"].tolist() == [f"i{row}" for row in range(sum(sizes))]
    assert found["score"].tolist() == list(range(sum(sizes)))
    written = parquet.ParquetFile(tmp_path / "x.parquet").metadata
    assert [written.row_group(n).num_rows for n in range(written.num_row_groups)] == groups
