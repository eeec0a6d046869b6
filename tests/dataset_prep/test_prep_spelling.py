"""Ids that are written in two ways are never taken for two items."""

from __future__ import annotations

from pathlib import Path

from prep_support import done, features, pairs, prepare, refused, table, write


def test_an_id_written_in_two_ways_is_refused(tmp_path: Path) -> None:
    """pandas writes whole numbers as 12.0 if a cell of the column is empty."""
    train = write(tmp_path / "train.csv", "user,item\n1,10\n1,11\n2,10\n2,12\n")
    test = write(tmp_path / "test.csv", "user,item\n1,12.0\n2,11.0\n")
    splits = ["--splits", f"train={train}", f"test={test}"]
    result = prepare("table", *splits, "--output", tmp_path / "out")
    refused(result, "ids like 12 and 12.0 are both there")
    refused(table(tmp_path, "user,item\n7,a\n7.0,b\nx,a\n"), "ids like 7 and 7.0 are both there")


def test_whole_numbers_of_two_files_become_one_spelling(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "user,item\n1,10\n1,11\n")
    two = write(tmp_path / "two.csv", "user,item\n2,12.0\n2,13.0\n")
    vectors = write(tmp_path / "v.csv", "item_id,a\n10,1\n11,2\n12.0,3\n13.0,4\n")
    given = ["--input", one, two, "--features", f"v={vectors}"]
    done("table", *given, "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("1", "10"), ("1", "11"), ("2", "12"), ("2", "13")]
    assert features(tmp_path / "out", "v") == {"10": [1], "11": [2], "12": [3], "13": [4]}
