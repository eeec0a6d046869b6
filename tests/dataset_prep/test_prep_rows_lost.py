"""Ids and columns of interactions that do not belong together are counted and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import pairs, passed, prepare, refused, table, write


def test_one_id_written_in_two_ways_is_refused(tmp_path: Path) -> None:
    """Both would become 1, and their rows one item's."""
    refused(table(tmp_path, "user,item\na,1.0\nb,1.00\nc,2.0\n"), "ids like 1.0 and 1.00")
    passed(table(tmp_path, "user,item\na,1.0\nb,1.0\nc,2.0\n"))
    assert pairs(tmp_path / "out") == [("a", "1"), ("b", "1"), ("c", "2")]


def test_words_for_a_missing_id_are_counted_by_row(tmp_path: Path) -> None:
    rows = "user,item\na,x\nb,NA\nc,NA\nNULL,x\nd,NA\n"
    refused(table(tmp_path, rows), "4 ids are words for a missing value ('NULL', 'NA')")


@pytest.mark.parametrize(("rows", "good"), [(5, True), (4, False)])
def test_more_than_a_fifth_of_the_ids_missing_is_a_fault(
    tmp_path: Path, rows: int, good: bool
) -> None:
    content = "user,item\nlast,\n" + "".join(f"u{n},x\n" for n in range(rows - 1))
    result = table(tmp_path, content)
    if good:
        passed(result)
        assert len(pairs(tmp_path / "out")) == rows - 1
    else:
        refused(result, f"1 of {rows} rows have no user or no item id")


def test_files_of_which_some_lack_ratings_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "user,item,rating\na,x,5\nb,x,4\n")
    second = write(tmp_path / "b.csv", "user,item\na,y\n")
    result = prepare("table", "--input", first, second, "--output", tmp_path / "out")
    refused(result, "only 2 of 3 rows have ratings")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([[1.5, 2, 3.0]], "whole numbers >= 0"),
        ([[1, 2.5, 3.0]], "whole numbers >= 0"),
        ([[1, 2, 3.0, np.nan]], "NaN or Inf"),
        ([[1, 2, np.inf, 3.0]], "NaN or Inf"),
    ],
)
def test_arrays_with_wrong_numbers_are_refused(tmp_path: Path, array: Any, words: str) -> None:
    """A fraction of an id is never cut off, nor a missing time read as one."""
    np.save(tmp_path / "e.npy", np.array(array))
    refused(table(tmp_path, (tmp_path / "e.npy").read_bytes(), file="e.npy"), words)
