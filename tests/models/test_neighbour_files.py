"""Which searches for nearest items are saved, and which saved ones are not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.models import item_graphs
from recbole_painvrl.models.item_graphs import kept_neighbours

ROWS = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
PRESENT = torch.arange(30) > 3


@pytest.mark.parametrize(("limit", "saved"), [(30 * 30 * 5, 1), (30 * 30 * 5 + 1, 0)])
def test_a_search_is_saved_by_its_number_of_products(
    limit: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs of rows, times their length."""
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", limit)
    kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    assert len(list(tmp_path.glob("graphs/*"))) == saved


@pytest.mark.parametrize("row", [1, 15, 29])
@pytest.mark.parametrize("of", ["features", "presence"])
def test_no_row_may_change(
    row: int, of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features of an item, or whether it has any: then the search is made again."""
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", 0)
    kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    rows, present = ROWS.clone(), PRESENT.clone()
    if of == "features":
        rows[row] = -rows[row]
    else:
        present[row] = ~present[row]
    found, wanted = (
        kept_neighbours(tmp_path, rows, present, 4, True),
        nearest_rows(rows, present, 4),
    )
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert len(list(tmp_path.glob("graphs/*"))) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda indices, cosines: {"indices": np.where(indices == 7, 30, indices)},
        lambda indices, cosines: {"indices": np.where(indices == 7, -2, indices)},
        lambda indices, cosines: {"indices": indices[:, :3]},
        lambda indices, cosines: {"cosines": cosines[:-1]},
    ],
)
def test_a_file_that_cannot_be_of_this_search_is_found_again(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole files, whose neighbours are no rows or whose shapes are others."""
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", 0)
    wanted = nearest_rows(ROWS, PRESENT, 4)
    kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    (path,) = tmp_path.glob("graphs/*")
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **(arrays | change(**arrays)))
    found = kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
