"""A large search for nearest items is read again, and never for other inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.models import item_graphs
from recbole_painvrl.models.item_graphs import kept_neighbours

SOURCE = torch.Generator().manual_seed(0)
ROWS = torch.randn(30, 5, generator=SOURCE)
PRESENT = torch.arange(30) > 3


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_graphs, "_WORTH_KEEPING", 0)


def files(folder: Path) -> set[Path]:
    return set((folder / "graphs").glob("*"))


def test_the_same_search_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = nearest_rows(ROWS, PRESENT, 4)
    first = kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    monkeypatch.delattr(item_graphs, "nearest_rows")
    again = kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    for found in (first, again):
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_whatever_differs_is_another_search(tmp_path: Path) -> None:
    other_row = ROWS.clone()
    other_row[7, 2] += 1
    other_present = PRESENT.clone()
    other_present[7] = False
    searches = [
        (ROWS, PRESENT, 4, True),
        (other_row, PRESENT, 4, True),
        (ROWS, other_present, 4, True),
        (ROWS, PRESENT, 3, True),
        (ROWS, PRESENT, 4, False),
        (ROWS.reshape(15, 10), PRESENT[:15], 4, True),
    ]
    for n_before, search in enumerate(searches):
        assert len(files(tmp_path)) == n_before
        found, wanted = kept_neighbours(tmp_path, *search), nearest_rows(*search)
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_file_is_replaced(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage)
    found = kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert path.read_bytes() == whole and path.name in caplog.text


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "graphs").write_text("a file in its place")
    kept_neighbours(tmp_path, ROWS, PRESENT, 4, True)
    assert "could not be cached" in caplog.text
