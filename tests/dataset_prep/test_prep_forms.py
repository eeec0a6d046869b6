"""Interactions in JSON of any form, lists of items in one cell, and arrays with more columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_support import Result, done, inter, pairs, prepare, write

RECORDS = [
    {"user_id": "u1", "business_id": "b1", "stars": 4.0, "date": "2016-03-09", "text": "x, y"},
    {"user_id": "u2", "business_id": "b1", "stars": 3.0, "date": "2016-03-10"},
    {"user_id": "u1", "business_id": "b2", "stars": 5, "date": "2016-03-11"},
]
ROWS = [
    ["u1", "b1", "4", "1457481600"],
    ["u2", "b1", "3", "1457568000"],
    ["u1", "b2", "5", "1457654400"],
]
LINES = "".join(f"{json.dumps(record)}\n" for record in RECORDS)
COLUMNS = {name: [record[name] for record in RECORDS] for name in list(RECORDS[0])[:4]}
FORMS = {
    "lines": LINES,
    "lines without an end": LINES.rstrip("\n"),
    "lines with a mark": f"\ufeff{LINES}",
    "lines apart": LINES.replace("\n", "\n\n"),
    "list": json.dumps(RECORDS),
    "list on several lines": json.dumps(RECORDS, indent=1),
    "list under a name": json.dumps({"reviews": RECORDS}),
    "columns": json.dumps(COLUMNS),
    "columns as pandas writes them": json.dumps(
        {name: {str(n): v for n, v in enumerate(values)} for name, values in COLUMNS.items()}
    ),
}


def table(folder: Path, content: str, *options: str, file: str = "r.json") -> Result:
    path = write(folder / file, content)
    return prepare("table", "--input", path, "--output", folder / "out", "--force", *options)


@pytest.mark.parametrize("form", FORMS)
def test_json_of_any_form(tmp_path: Path, form: str) -> None:
    result = table(tmp_path, FORMS[form], file="r.txt")
    assert result.code == 0, result.err
    assert inter(tmp_path / "out").to_numpy().tolist() == ROWS


def test_a_map_of_users_to_items(tmp_path: Path) -> None:
    assert table(tmp_path, '{"0": [5, 7], "1": [7], "2": []}').code == 0
    assert pairs(tmp_path / "out") == [("0", "5"), ("0", "7"), ("1", "7")]


def test_json_ids_of_any_size_and_kind(tmp_path: Path) -> None:
    records = [
        {"user": 2**70, "item": {"$oid": "abc"}},
        {"user": 12.0, "item": 7},
        {"user": 13.0, "item": None},
    ]
    records += [{"user": n, "item": 1} for n in range(9)]
    assert table(tmp_path, json.dumps(records)).code == 0
    assert pairs(tmp_path / "out")[:2] == [(str(2**70), "abc"), ("12", "7")]


LISTS: dict[str, list[Any]] = {"user_id": ["a", "b", "c", "d"], "item_ids": [[1, 2], [3], [], None]}


def test_lists_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table(LISTS), tmp_path / "e.parquet")
    result = done("table", "--input", tmp_path / "e.parquet", "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("a", "1"), ("a", "2"), ("b", "3")]
    assert "2 users have an empty list" in result.out


def test_lists_of_items_and_times(tmp_path: Path) -> None:
    columns = {"user": ["a", "b"], "items": [["x", "y"], ["z"]], "times": [[1, 2], [3]]}
    pq.write_table(pa.table(columns), tmp_path / "e.parquet")
    done("table", "--input", tmp_path / "e.parquet", "--output", tmp_path / "out")
    rows = [["a", "x", "1"], ["a", "y", "2"], ["b", "z", "3"]]
    assert inter(tmp_path / "out").to_numpy().tolist() == rows
    columns["times"] = [[1], [2, 3]]
    pq.write_table(pa.table(columns), tmp_path / "e.parquet")
    given = ("table", "--input", tmp_path / "e.parquet", "--output", tmp_path / "p")
    assert "lists of items and times differ in length" in prepare(*given).refusal


def test_whole_numbers_with_gaps_stay_whole(tmp_path: Path) -> None:
    """A float would make one user of two."""
    users = pa.array([2**60 + 1, 2**60 + 2, *range(8), None], pa.int64())
    pq.write_table(pa.table({"user": users, "item": ["x"] * 11}), tmp_path / "e.parquet")
    done("table", "--input", tmp_path / "e.parquet", "--output", tmp_path / "out")
    assert pairs(tmp_path / "out")[:2] == [(str(2**60 + 1), "x"), (str(2**60 + 2), "x")]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (['"[1, 2]"', "[3]"], [("u0", "1"), ("u0", "2"), ("u1", "3")]),
        (["\"['a b', 'c']\"", "[]"], [("u0", "a b"), ("u0", "c")]),
        (["1 2", "3"], [("u0", "1"), ("u0", "2"), ("u1", "3")]),
        (["red shoes", "hat"], [("u0", "red shoes"), ("u1", "hat")]),
        (["(500) Days", "[PAD]"], [("u0", "(500) Days"), ("u1", "[PAD]")]),
    ],
)
def test_lists_in_cells_of_text(
    tmp_path: Path, cells: list[str], expected: list[tuple[str, str]]
) -> None:
    rows = "".join(f"u{n},{cell}\n" for n, cell in enumerate(cells))
    result = table(tmp_path, f"user,items\n{rows}", file="e.csv")
    assert result.code == 0, result.err
    assert pairs(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([[1, 2, 3], [2, 3, 1]], [["1", "2", "3"], ["2", "3", "1"]]),
        ([[1, 2, 4.5], [2, 3, 1]], [["1", "2", "4.5"], ["2", "3", "1.0"]]),
        ([[1, 2, 1600000000], [2, 3, 9]], [["1", "2", "1600000000"], ["2", "3", "9"]]),
        ([[1, 2, 4.5, 1600000000]], [["1", "2", "4.5", "1600000000"]]),
    ],
)
def test_further_columns_of_an_array(
    tmp_path: Path, array: list[list[float]], expected: list[list[str]]
) -> None:
    np.save(tmp_path / "e.npy", np.array(array))
    done("table", "--input", tmp_path / "e.npy", "--output", tmp_path / "out")
    found = inter(tmp_path / "out")
    assert found.to_numpy().tolist() == expected
    named = {3: "timestamp" if len(str(array[0][2])) > 9 else "rating"}.get(len(array[0]))
    assert named is None or named in found
