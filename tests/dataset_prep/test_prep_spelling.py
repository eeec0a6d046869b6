"""Ids that are written in two ways are not two items; rounded ids and headers are no ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prep_support import done, features, pairs, passed, prepare, refused, table, write


def test_an_id_written_in_two_ways_is_refused(tmp_path: Path) -> None:
    """pandas writes whole numbers as 12.0 if a cell of the column is empty."""
    train = write(tmp_path / "train.csv", "user,item\n1,10\n1,11\n2,10\n2,12\n")
    test = write(tmp_path / "test.csv", "user,item\n1,12.0\n2,11.0\n")
    splits = ["--splits", f"train={train}", f"test={test}"]
    result = prepare("table", *splits, "--output", tmp_path / "out")
    refused(result, "ids like 12 and 12.0 are both there")
    refused(table(tmp_path, "user,item\n7,a\n7.0,b\nx,a\n"), "ids like 7 and 7.0 are both there")
    refused(table(tmp_path, "user,item\na,1.0\nb,1.00\nc,2.0\n"), "ids like 1.0 and 1.00")


def test_whole_numbers_of_two_files_become_one_spelling(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "user,item\n1,10\n1,11\n")
    two = write(tmp_path / "two.csv", "user,item\n2,12.0\n2,13.0\n")
    vectors = write(tmp_path / "v.csv", "item_id,a\n10,1\n11,2\n12.0,3\n13.0,4\n")
    given = ["--input", one, two, "--features", f"v={vectors}"]
    done("table", *given, "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("1", "10"), ("1", "11"), ("2", "12"), ("2", "13")]
    assert features(tmp_path / "out", "v") == {"10": [1], "11": [2], "12": [3], "13": [4]}


ROUNDED = np.array([2**24 + 1, 2**24 + 2, 7])


@pytest.mark.parametrize("kind", ["parquet", "npz", "json"])
def test_rounded_ids_are_refused(tmp_path: Path, kind: str) -> None:
    """Two different items would be one."""
    path = tmp_path / f"e.{kind}"
    ids = ROUNDED.astype(np.float32)
    columns = {"user": np.arange(3), "item": ids}
    if kind == "npz":
        np.savez(path, **columns)
    elif kind == "parquet":
        pd.DataFrame(columns).to_parquet(path)
    else:
        ids = ROUNDED * 2.0**29
        pd.DataFrame({**columns, "item": ids}).to_json(path, orient="records", lines=True)
    result = prepare("table", "--input", path, "--output", tmp_path / "out")
    refused(result, f"id {int(ids[0])} is a rounded number")


def test_ids_in_the_notation_of_a_spreadsheet_are_refused(tmp_path: Path) -> None:
    refused(table(tmp_path, "user,item\na,1.23457E+12\nb,7\n"), "id 1.23457E+12 is a rounded")
    done(
        "table",
        "--input",
        write(tmp_path / "f.csv", "user,item\na,1e5\nb,1E10\n"),
        "--output",
        tmp_path / "words",
    )


@pytest.mark.parametrize("form", ["table", "npy", "npz", "list"])
def test_rounded_ids_of_features_are_refused(tmp_path: Path, form: str) -> None:
    ids, path = ROUNDED.astype(np.float32), tmp_path / "v.npy"
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    given = []
    if form == "table":
        path = tmp_path / "v.parquet"
        pd.DataFrame({"item_id": ids, "a": matrix[:, 0], "b": matrix[:, 1]}).to_parquet(path)
    elif form == "npz":
        path = tmp_path / "v.npz"
        np.savez(path, vectors=matrix, ids=ids)
    else:
        np.save(path, matrix)
    if form == "npy":
        np.save(tmp_path / "v.ids.npy", ids)
    elif form == "list":
        given = ["--feature-ids", tmp_path / "ids.parquet"]
        pd.DataFrame({"item_id": ids, "row": range(3)}).to_parquet(given[1])
    rows = "".join(f"a,{item}\nb,{item}\n" for item in ROUNDED)
    result = table(tmp_path, f"user,item\n{rows}", "--features", f"v={path}", *given)
    refused(result, f"id {int(ids[0])} is a rounded number")


def test_ids_that_are_the_numbers_of_their_columns_are_no_header(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pd.DataFrame({"0": ["5", "0", "5"], "1": ["1", "1", "2"]}).to_parquet(path)
    given = ["--input", path, "--user-column", "0", "--item-column", "1"]
    done("table", *given, "--output", tmp_path / "out")
    assert sorted(pairs(tmp_path / "out")) == [("0", "1"), ("5", "1"), ("5", "2")]


def test_a_header_in_the_middle_is_no_interaction(tmp_path: Path) -> None:
    """Two files were joined end to end."""
    content = "user_id:token\titem_id:token\na\tx\nb\tx\nuser_id:token\titem_id:token\nb\ty\n"
    refused(table(tmp_path, content), "1 rows repeat the header, first line 4", "--fix drop-rows")
    passed(table(tmp_path, content, "--fix", "drop-rows"))
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("b", "y")]


@pytest.mark.parametrize(
    ("column", "cells", "named"),
    [
        ("item_ids", ["[1, 2, 3]", "[2, 3]", "4"], "and '4'"),
        ("item_id", ["[1, 2, 3]", "[2, 3]", "[7"], "and '[7'"),
        ("item_ids", ["a1 b2 c3", "b2 c3", "abc b2"], "'abc'"),
    ],
)
def test_a_cell_that_is_no_list_among_lists(
    column: str, cells: list[str], named: str, tmp_path: Path
) -> None:
    """It must not turn the lists into ids such as `[1`."""
    rows = "".join(f'u{n},"{cell}"\n' for n, cell in enumerate(cells))
    refused(table(tmp_path, f"user_id,{column}\n{rows}"), named)
