"""Cells of ratings, times, splits and lists that are read in one way only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import Result, features, inter, pairs, passed, prepare, refused, table, write

from dataset_prep.read.cells import CellFaults
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report


def column(folder: Path, name: str, cells: list[str], *options: str) -> Result:
    """Prepare ``folder/out`` from one row per cell."""
    rows = [f"u{n};i{n % 2};{cell}\n" for n, cell in enumerate(cells)]
    return table(folder, f"user;item;{name}\n" + "".join(rows), *options)


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [
        ("rating", ["yes", "maybe", "5"], "2 rows have a rating that cannot be read"),
        ("rating", ["1_000", "5", "4"], "1 rows have a rating that cannot be read"),
        ("time", ["2020-09-13", "2020-09-14", "7"], "1 rows have a time that cannot be read"),
        ("time", ["01/13/2020", "13/13/2020"], "1 rows have a time that cannot be read"),
    ],
)
def test_cells_are_unreadable(tmp_path: Path, name: str, cells: list[str], words: str) -> None:
    """Most cells decide what a column holds, and a date of no month decides nothing."""
    refused(column(tmp_path, name, cells), words)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["05/05/2020", "06/06/2020"], ["1588636800", "1591401600"]),
        (["1965-03-01", "1971-01-01"], ["-152668800", "31536000"]),
    ],
)
def test_dates_are_read(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    """Where day and month are equal, their order does not matter."""
    passed(column(tmp_path, "time", cells))
    assert inter(tmp_path / "out")["timestamp"].tolist() == expected


def test_faults_of_all_pieces_of_a_table_are_added_up() -> None:
    faults, report = CellFaults(Path("e.csv")), Report()
    for start in (10, 20):
        cells = pd.Series(["1", "x", "y"], index=range(start, start + 3), name="score")
        good = faults.check("rating", cells, np.ones(3, bool), np.array([True, False, False]))
        assert good.tolist() == [True, False, False]
    faults.tell(report)
    (fault,) = report.faults
    assert fault.what.startswith("4 rows have a rating that cannot be read in column `score`")
    assert "first line 11 ('x')" in fault.what


def test_labels_of_one_split_in_several_words(tmp_path: Path) -> None:
    """A row whose rating cannot be read is in none of them."""
    rows = ["a,x,5,train", "a,y,4,val", "b,y,4,training", "b,x,3,valid", "c,x,2,dev", "c,y,?,train"]
    content = "user,item,rating,split\n" + "\n".join([*rows, "d,x,1,test", "a,z,1,test", ""])
    passed(table(tmp_path, content, "--fix", "drop-rows"))
    assert pairs(tmp_path / "out", "train") == [("a", "x"), ("b", "y")]
    assert pairs(tmp_path / "out", "valid") == [("a", "y"), ("b", "x"), ("c", "x")]
    assert pairs(tmp_path / "out", "test") == [("d", "x"), ("a", "z")]


def test_labels_as_floating_point(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "x_label": [0.0, 2.0, 0.0]})
    frame.to_parquet(tmp_path / "e.parquet")
    passed(table(tmp_path, (tmp_path / "e.parquet").read_bytes(), file="e.parquet"))
    assert pairs(tmp_path / "out", "test") == [("1", "6")]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_the_name_given_to_a_split_counts_more_than_the_one_inside(
    tmp_path: Path, kind: str
) -> None:
    options: list[Any] = []
    for name, inside, item in (("train", "test", 5), ("test", "train", 6)):
        path = tmp_path / f"{name}.{kind}"
        if kind == "csv":
            write(path, f"user,item,split\n1,{item},{inside}\n")
        else:
            np.savez(path, **{inside: np.array([[1, item]])})
        options.append(f"{name}={path}")
    passed(prepare("table", "--splits", *options, "--output", tmp_path / "out"))
    assert pairs(tmp_path / "out", "test") == [("1", "6")]


def test_an_id_in_brackets_is_no_list(tmp_path: Path) -> None:
    passed(table(tmp_path, "user,item\na,Alien\nb,[REC]\nc,Up\na,[REC]\nb,Up\nc,Alien\n"))
    assert ("b", "[REC]") in pairs(tmp_path / "out")


def test_blanks_at_the_end_of_a_list_are_no_item(tmp_path: Path) -> None:
    passed(table(tmp_path, "user,items\nu,[a b ]\nv,[a ]\n"))
    assert pairs(tmp_path / "out") == [("u", "a"), ("u", "b"), ("v", "a")]


def test_a_time_of_zero_in_an_array_does_not_make_ratings_of_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[1, 2, 0], [2, 2, 1600000000], [3, 2, 1600000001]]))
    content = (tmp_path / "e.npy").read_bytes()
    refused(table(tmp_path, content, file="e.npy"), "1 of 3 rows have a time of 0 or less")


@pytest.mark.parametrize("films", [True, False])
def test_arrays_of_vectors(tmp_path: Path, films: bool) -> None:
    """Numbered arrays follow their numbers; a list of another length cannot hold the ids."""
    rows = np.array([[1.0, 2.0], [3.0, 5.0]])
    if films:
        np.savez(tmp_path / "f.npz", m=rows, films=np.array(["x", "y"]), bands=np.arange(3))
    else:
        np.savez(tmp_path / "f.npz", **{"arr_10": rows[1], "arr_9": rows[0]})
        write(tmp_path / "f.ids", "x\ny\n")
    options = ("--features", f"v={tmp_path / 'f.npz'}")
    passed(table(tmp_path, "user,item\na,x\nb,y\n", *options))
    assert features(tmp_path / "out", "v") == {"x": [1.0, 2.0], "y": [3.0, 5.0]}


def test_a_table_in_pieces_has_every_line_once(tmp_path: Path) -> None:
    """The index of the pieces holds the line numbers, that of the header being 1."""
    lines = [f"u{n},{n % 7}\n" for n in range(1800)]
    layout = sniff(write(tmp_path / "e.csv", "user,item\n" + "".join(lines)))
    pieces = list(chunks(layout, ["item", "user"], Report(), rows=600))
    assert len(pieces) > 1
    whole = pd.concat(pieces)
    assert whole["user"].tolist() == [f"u{n}" for n in range(1800)]
    assert whole.index.tolist() == list(range(2, 1802))
