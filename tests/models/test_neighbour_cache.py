"""A large search for nearest items is read again, and never for other inputs."""

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
SEARCH = (ROWS, PRESENT, 4, True)


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", 0)


def files(folder: Path) -> set[Path]:
    return set((folder / "graphs").glob("*"))


def assert_found(folder: Path, *search: Any) -> None:
    """What is kept, or found now, is what the search finds."""
    torch.testing.assert_close(
        kept_neighbours(folder, *search), nearest_rows(*search), rtol=0, atol=0
    )


def test_the_same_search_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(tmp_path, *SEARCH)
    monkeypatch.delattr(item_graphs, "nearest_rows")
    assert_found(tmp_path, *SEARCH)


@pytest.mark.parametrize("row", [1, 15, 29])
def test_whatever_differs_is_another_search(row: int, tmp_path: Path) -> None:
    rows, present = ROWS.clone(), PRESENT.clone()
    rows[row], present[row] = -rows[row], ~present[row]
    searches = [
        SEARCH, (rows, PRESENT, 4, True), (ROWS, present, 4, True), (ROWS, PRESENT, 3, True),
        (ROWS, PRESENT, 4, False), (ROWS.reshape(15, 10), PRESENT[:15], 4, True),
    ]  # fmt: skip
    for n_before, search in enumerate(searches):
        assert len(files(tmp_path)) == n_before
        assert_found(tmp_path, *search)


@pytest.mark.parametrize(("limit", "saved"), [(30 * 30 * 5, 1), (30 * 30 * 5 + 1, 0)])
def test_a_search_is_saved_by_its_number_of_products(
    limit: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs of rows, times their length."""
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", limit)
    assert_found(tmp_path, *SEARCH)
    assert len(files(tmp_path)) == saved


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_file_is_replaced(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_found(tmp_path, *SEARCH)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert_found(tmp_path, *SEARCH)
    assert path.read_bytes() == whole and path.name in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda indices, cosines: {"indices": np.where(indices == 7, 30, indices)},
        lambda indices, cosines: {"indices": np.where(indices == 7, -2, indices)},
        lambda indices, cosines: {"indices": indices[:, :3]},
        lambda indices, cosines: {"cosines": cosines[:-1]},
    ],
)
def test_a_file_that_cannot_be_of_this_search_is_found_again(change: Any, tmp_path: Path) -> None:
    """Whole files, whose neighbours are no rows or whose shapes are others."""
    assert_found(tmp_path, *SEARCH)
    (path,) = files(tmp_path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **(arrays | change(**arrays)))
    assert_found(tmp_path, *SEARCH)


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "graphs").write_text("a file in its place")
    assert_found(tmp_path, *SEARCH)
    assert "could not be cached" in caplog.text
