"""Ratings, ids, times and splits: nothing about their meaning is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import (
    Result,
    done,
    inter,
    pairs,
    passed,
    prepare,
    refused,
    table,
    write,
)

from dataset_prep.read.cells import CellFaults
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report

# 2020-09-13 12:10:05 UTC
NOON = 1_599_999_005


def column(folder: Path, name: str, cells: list[str], *options: str) -> Result:
    """Prepare ``folder/out`` from one row per cell."""
    rows = [f"u{n};i{n % 2};{cell}\n" for n, cell in enumerate(cells)]
    return table(folder, f"user;item;{name}\n" + "".join(rows), *options)


def times(folder: Path, cells: list[str]) -> list[str]:
    passed(column(folder, "time", cells))
    found: list[str] = inter(folder / "out")["timestamp"].tolist()
    return found


@pytest.mark.parametrize(
    ("name", "cells", "least"),
    [
        ("click", ["0", "1", "1", "0"], "1"),
        ("is_click", ["yes", "no", "yes", "no"], "1"),
        ("liked", ["True", "False", "false", "true"], "1"),
        ("like", ["-1", "1", "-1", "1"], "1"),
        ("Book-Rating", ["0", "0", "8", "9"], "1"),
        ("watch_ratio", ["0", "0.5", "1.25", "0"], "0.5"),
        ("implicit", ["0", "1", "1", "0"], "1"),
        ("stars", ["0,0", "4,5", "3", "-1"], "3"),
    ],
)
def test_ratings_of_zero_or_less_need_a_decision(
    tmp_path: Path, name: str, cells: list[str], least: str
) -> None:
    refused(column(tmp_path, name, cells), f"`{name}`", f"--min-rating {least}", "keep-nonpositive")
    assert not (tmp_path / "out").exists()
    passed(column(tmp_path, name, cells, "--min-rating", least))
    assert len(pairs(tmp_path / "out")) == 2
    passed(column(tmp_path, name, cells, "--fix", "keep-nonpositive"))
    assert len(pairs(tmp_path / "out")) == 4


def test_a_decision_and_a_repair_are_reported_together(tmp_path: Path) -> None:
    cells = ["0", "", "1", "1"]
    refused(column(tmp_path, "rating", cells), "and 1 more", "--min-rating 1", "--fix drop-rows")
    assert column(tmp_path, "rating", cells, "--fix", "drop-rows").code == 2
    passed(column(tmp_path, "rating", cells, "--fix", "drop-rows", "--min-rating", "1"))
    assert pairs(tmp_path / "out") == [("u2", "i0"), ("u3", "i1")]


@pytest.mark.parametrize("kind", ["npy", "npz", "split", "parquet"])
def test_ratings_in_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"e.{'npz' if kind == 'split' else kind}"
    rows = np.array([[n, n % 2, n % 2] for n in range(4)])
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, user=rows[:, 0], item=rows[:, 1], rating=rows[:, 2])
    elif kind == "split":
        np.savez(path, train=rows, test=rows[:0])
    else:
        pd.DataFrame(rows, columns=["user", "item", "label"]).to_parquet(path)
    result = prepare("table", "--input", path, "--output", tmp_path / "out")
    refused(result, "2 of 4 rows have a rating of 0 or less")


@pytest.mark.parametrize(
    ("name", "cells", "shown"),
    [
        ("rating", ["1,234", "2,500"], "'1,234'"),
        ("rating", ["5", "five"], "'five'"),
        ("rating", ["5", "inf"], "'inf'"),
        ("time", ["yesterday"], "'yesterday'"),
        ("time", ["13/13/2020"], "'13/13/2020'"),
        ("time", ["2020-09-13", "soon"], "'soon'"),
        *(("time", ["5", gap, "7"], "1 rows have no time") for gap in ("", "NaN", "NULL")),
        ("time", ["1600000000", "0", "1600000002"], "1 of 3 rows have a time of 0 or less"),
        ("time", ["1600000000", "-1", "1600000002"], "1 of 3 rows have a time of 0 or less"),
        # Most cells decide what a column holds, and a date of no month decides nothing.
        ("rating", ["yes", "maybe", "5"], "2 rows have a rating that cannot be read"),
        ("rating", ["1_000", "5", "4"], "1 rows have a rating that cannot be read"),
        ("time", ["2020-09-13", "2020-09-14", "7"], "1 rows have a time that cannot be read"),
        ("time", ["01/13/2020", "13/13/2020"], "1 rows have a time that cannot be read"),
        ("date", ["10.05.2020", "09.13.2020", "13.06.2020"], "09.13.2020"),
        ("date", ["05 10, 2020", "13 09, 2020"], "13 09, 2020"),
        ("date", ["Sunday, 03/04/2020", "Monday, 13/04/2020"], "2 rows have a time that cannot"),
        ("date", ["Sep 13, 2020", "Fri 03.04.2020"], "Fri 03.04.2020"),
    ],
)
def test_unreadable_and_missing_numbers_are_faults(
    tmp_path: Path, name: str, cells: list[str], shown: str
) -> None:
    refused(column(tmp_path, name, cells), shown)
    if "no time" in shown or "0 or less" in shown:
        passed(column(tmp_path, name, cells, "--fix", "drop-rows"))
        kept = inter(tmp_path / "out")["timestamp"].tolist()
        assert kept == [cells[0], cells[2]]


def test_a_column_of_words_is_not_a_rating_unless_it_is_named(tmp_path: Path) -> None:
    words = ["view", "click", "view", "buy"]
    passed(column(tmp_path, "interaction", words))
    assert "rating" not in inter(tmp_path / "out")
    refused(column(tmp_path, "interaction", words, "--rating-column", "interaction"), "'view'")
    refused(column(tmp_path, "rating", words), "'view'")
    assert column(tmp_path, "click", ["0", "1"], "--rating-column", "").code == 0
    passed(column(tmp_path, "time", ["", ""], "--time-column", ""))
    assert list(inter(tmp_path / "out")) == ["user_id", "item_id"]


@pytest.mark.parametrize("word", ["NA", "null", "None", "NaN"])
def test_ids_that_are_words_for_missing_are_a_fault(tmp_path: Path, word: str) -> None:
    content = "user,item\n" + "".join(f"u{n},i{n}\n" for n in range(20)) + f"u0,{word}\n"
    refused(table(tmp_path, content), repr(word), "--fix drop-rows")
    passed(table(tmp_path, content, "--fix", "drop-rows"))
    assert len(pairs(tmp_path / "out")) == 20


def test_numbers_are_not_splits_unless_the_column_is_named(tmp_path: Path) -> None:
    content = "user,item,fold\na,x,0\nb,x,0\na,y,2\nb,y,1\n"
    refused(table(tmp_path, content), "column `fold` holds '0'")
    passed(table(tmp_path, content, "--part-column", ""))
    assert [p.name for p in (tmp_path / "out").glob("*.inter")] == ["out.inter"]
    passed(table(tmp_path, content, "--part-column", "fold"))
    assert pairs(tmp_path / "out", "test") == [("a", "y")]


# Beyond the integers of float64, and in one unit: 0 among them would be a missing time.
@given(st.lists(st.integers(2**60, 2**60 + 10**9), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_integers_keep_every_digit(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int]
) -> None:
    cells = list(map(str, numbers))
    assert times(tmp_path_factory.mktemp("whole"), cells) == cells


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.6e9", "1600000001.0"], ["1600000000", "1600000001"]),
        (["1600000000123", "1600000000124"], ["1600000000123", "1600000000124"]),
        (["1599999999.7", "3"], ["1599999999.7", "3.0"]),
        (["0", "1", "2"], ["0", "1", "2"]),
        *(
            ([cell], [str(NOON)])
            for cell in (
                *("2020-09-13 12:10:05", "2020-09-13T12:10:05Z", "2020-09-13T14:10:05+02:00"),
                *("2020-09-13 12:10:05 UTC", "2020/9/13 12:10:05", "13/09/2020 12:10:05"),
                *("13-9-2020 12:10:05", "13.09.2020 12:10:05", "9/13/2020 12:10:05 PM"),
                *("Sun Sep 13 12:10:05 +0000 2020", "Sep 13, 2020 12:10:05"),
            )
        ),
        *(([cell], [str(NOON - 43_805)]) for cell in ("13 September 2020", "09 13, 2020")),
        (["03.04.2020", "2020/3/4"], ["1585872000", "1583280000"]),
        # Where day and month are equal, their order does not matter.
        (["05/05/2020", "06/06/2020"], ["1588636800", "1591401600"]),
        (["1965-03-01", "1971-01-01"], ["-152668800", "31536000"]),
        (
            ["2020-09-13", "2020-09-13 12:10:05", "2020-09-13T12:10:05.25Z", "2020/09/13"],
            [f"{NOON - 43_805}.0", f"{NOON}.0", f"{NOON}.25", f"{NOON - 43_805}.0"],
        ),
    ],
)
def test_times(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    assert times(tmp_path, cells) == expected


def test_the_whole_column_tells_day_from_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the first piece of the file does not."""
    monkeypatch.setattr("dataset_prep.read.interactions.ROWS_PER_FRAME", 1)
    assert times(tmp_path, ["01/02/2020", "13/02/2020"]) == ["1580515200", "1581552000"]


def test_numbers_beyond_64_bit_stay_numbers(tmp_path: Path) -> None:
    cells = ["1e19", "2e19", "3"]
    for name in ("rating", "timestamp"):
        passed(column(tmp_path, name, cells))
        assert inter(tmp_path / "out")[name].astype(float).tolist() == [1e19, 2e19, 3]
    path = tmp_path / "e.parquet"
    unsigned = np.array([2**63, 2**63 + 2**12, 3], dtype=np.uint64)
    pd.DataFrame({"user": [*"abc"], "item": [*"xyx"], "timestamp": unsigned}).to_parquet(path)
    done("table", "--input", path, "--output", tmp_path / "unsigned")
    assert inter(tmp_path / "unsigned")["timestamp"].astype(float).tolist() == unsigned.tolist()


@pytest.mark.parametrize("cells", [["03/04/2020"], ["13/04/2020", "04/13/2020"]])
def test_ambiguous_dates_are_refused(tmp_path: Path, cells: list[str]) -> None:
    refused(column(tmp_path, "time", cells), "`time`", *cells)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        *(
            (pa.array(np.array(["2020-09-13T12:10:05.123456789"], f"M8[{unit}]")), [time])
            for unit, time in (
                *(("s", "1599999005"), ("ms", "1599999005.123")),
                *(("us", "1599999005.123456"), ("ns", "1599999005123456789")),
            )
        ),
        (pa.array([18_262], pa.date32()), ["1577836800"]),
        (pa.array(pd.Series(pd.to_datetime(["2020-09-13 14:10:05+02:00"]))), [str(NOON)]),
        (pa.array([18_262, None], pa.date32()), ["1577836800"]),
        (pa.array([2**60 + 1, None], pa.int64()), [str(2**60 + 1)]),
    ],
)
def test_times_in_parquet(tmp_path: Path, array: Any, expected: list[str]) -> None:
    users = [f"u{n}" for n in range(len(array))]
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"user": users, "item": users, "time": array}), path)
    given_ = ("table", "--input", path, "--output", tmp_path / "out")
    if len(array) > 1:
        refused(prepare(*given_), "1 rows have no time")
    done(*given_, "--fix", "drop-rows")
    assert inter(tmp_path / "out")["timestamp"].tolist() == expected


def test_units_and_kinds_of_times_are_not_mixed(tmp_path: Path) -> None:
    cells = ["1600000000", "1600000001000", "1600000002"]
    assert "--fix" not in refused(column(tmp_path, "time", cells), "from 1600000000 to")
    one = write(tmp_path / "a.csv", "user,item,time\na,x,2020-01-01\n")
    other = write(tmp_path / "b.csv", "user,item,time\na,y,5\n")
    both = prepare("table", "--input", one, other, "--output", tmp_path / "out")
    refused(both, "dates in some rows and numbers in others")
    passed(table(tmp_path, "user,item,date,timestamp\na,x,2020-01-01,7\n"))
    assert inter(tmp_path / "out")["timestamp"].tolist() == ["7"]


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


def test_a_table_in_pieces_has_every_line_once(tmp_path: Path) -> None:
    """The index of the pieces holds the line numbers, that of the header being 1."""
    lines = [f"u{n},{n % 7}\n" for n in range(1800)]
    layout = sniff(write(tmp_path / "e.csv", "user,item\n" + "".join(lines)))
    pieces = list(chunks(layout, ["item", "user"], Report(), rows=600))
    assert len(pieces) > 1
    whole = pd.concat(pieces)
    assert whole["user"].tolist() == [f"u{n}" for n in range(1800)]
    assert whole.index.tolist() == list(range(2, 1802))
