"""Times keep every digit; dates are read as people write them, or the cell is named."""

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
from prep_support import Result, done, inter, prepare, write

# 2020-09-13 12:10:05 UTC
NOON = 1_599_999_005


def table(folder: Path, cells: list[str], *options: str, name: str = "time") -> Result:
    """Prepare ``folder/out`` from a row per cell, separated by semicolons."""
    rows = [f"u{n};i;{cell}\n" for n, cell in enumerate(cells)]
    path = write(folder / "e.csv", f"user;item;{name}\n" + "".join(rows))
    return prepare("table", "--input", path, "--output", folder / "out", *options)


def written(folder: Path, cells: list[str]) -> list[str]:
    """The times of the folder as text."""
    result = table(folder, cells)
    assert result.code == 0, result.err
    found: list[str] = inter(folder / "out")["timestamp"].tolist()
    return found


# Beyond the integers of float64, and of one unit: 0 among them would be a missing time.
@given(st.lists(st.integers(2**60, 2**60 + 10**9), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_whole_numbers_keep_every_digit(
    tmp_path_factory: pytest.TempPathFactory, times: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("whole")
    assert written(folder, [str(time) for time in times]) == [str(time) for time in times]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.6e9", "1600000001.0"], ["1600000000", "1600000001"]),
        (["1600000000123", "1600000000124"], ["1600000000123", "1600000000124"]),
        (["1599999999.7", "3"], ["1599999999.7", "3.0"]),
    ],
)
def test_numbers(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    assert written(tmp_path, cells) == expected


@pytest.mark.parametrize(
    "cell",
    [
        "2020-09-13 12:10:05",
        "2020-09-13T12:10:05Z",
        "2020-09-13T14:10:05+02:00",
        "2020-09-13 12:10:05 UTC",
        "2020/9/13 12:10:05",
        "13/09/2020 12:10:05",
        "13-9-2020 12:10:05",
        "13.09.2020 12:10:05",
        "9/13/2020 12:10:05 PM",
        "Sun Sep 13 12:10:05 +0000 2020",
    ],
)
def test_dates(tmp_path: Path, cell: str) -> None:
    assert written(tmp_path, [cell]) == [str(NOON)]


def test_dates_of_several_forms_in_one_column(tmp_path: Path) -> None:
    cells = ["2020-09-13", "2020-09-13 12:10:05", "2020-09-13T12:10:05.25Z", "2020/09/13"]
    expected = [NOON - 43_805, NOON, NOON + 0.25, NOON - 43_805]
    assert [float(time) for time in written(tmp_path, cells)] == expected


def test_the_whole_column_tells_day_from_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first piece of the file does not."""
    monkeypatch.setattr("dataset_prep.read.tables.chunks.__defaults__", ((), 1, ()))
    assert written(tmp_path, ["01/02/2020", "13/02/2020"]) == ["1580515200", "1581552000"]


@pytest.mark.parametrize("cells", [["03/04/2020"], ["13/04/2020", "04/13/2020"]])
def test_dates_that_nothing_tells_apart_are_refused(tmp_path: Path, cells: list[str]) -> None:
    refusal = table(tmp_path, cells).refusal
    assert all(cell in refusal for cell in cells)
    assert "`time`" in refusal


@pytest.mark.parametrize("cells", [["yesterday"], ["13/13/2020"], ["2020-09-13", "soon"]])
def test_a_time_that_cannot_be_read_is_named(tmp_path: Path, cells: list[str]) -> None:
    refusal = table(tmp_path, cells).refusal
    assert f"line {1 + len(cells)} ({cells[-1]!r})" in refusal
    assert "holds no interaction" not in refusal


@pytest.mark.parametrize("gap", ["", "NaN", "NULL"])
def test_a_missing_time_is_a_fault(tmp_path: Path, gap: str) -> None:
    refusal = table(tmp_path, ["5", gap, "7"]).refusal
    assert "1 rows have no time in column `time`, first line 3" in refusal
    assert table(tmp_path, ["5", gap, "7"], "--fix", "drop-rows").code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == ["5", "7"]


def parquet(folder: Path, times: Any, *options: str) -> Result:
    users = [f"u{n}" for n in range(len(times))]
    pq.write_table(pa.table({"user": users, "item": users, "time": times}), folder / "e.parquet")
    path = folder / "e.parquet"
    return prepare("table", "--input", path, "--output", folder / "out", "--force", *options)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("s", ["1599999005", "1599999006"]),
        ("ms", ["1599999005.123", "1599999006.0"]),
        ("us", ["1599999005.123456", "1599999006.0"]),
        ("ns", ["1599999005123456789", "1599999006000000000"]),
    ],
)
def test_parquet_times_of_every_unit(tmp_path: Path, unit: str, expected: list[str]) -> None:
    times = np.array(["2020-09-13T12:10:05.123456789", "2020-09-13T12:10:06"], dtype="M8[ns]")
    assert parquet(tmp_path, pa.array(times.astype(f"M8[{unit}]"))).code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == expected


def test_parquet_dates_zones_and_gaps(tmp_path: Path) -> None:
    assert parquet(tmp_path, pa.array([18_262], pa.date32())).code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == ["1577836800"]
    zoned = pd.Series(pd.to_datetime(["2020-09-13 14:10:05+02:00"]))
    assert parquet(tmp_path, pa.array(zoned)).code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == [str(NOON)]
    for gaps in (pa.array([18_262, None], pa.date32()), pa.array([2**60 + 1, None], pa.int64())):
        assert "1 rows have no time" in parquet(tmp_path, gaps).refusal
    assert parquet(tmp_path, gaps, "--fix", "drop-rows").code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == [str(2**60 + 1)]


def test_dates_and_numbers_of_two_files_are_not_mixed(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", "user,item,time\na,x,2020-01-01\n")
    other = write(tmp_path / "b.csv", "user,item,time\na,y,5\n")
    told = prepare("table", "--input", one, other, "--output", tmp_path / "out").refusal
    assert "dates in some rows and numbers in others" in told


def test_a_date_column_beside_a_number_gives_way(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user,item,date,timestamp\na,x,2020-01-01,7\n")
    done("table", "--input", path, "--output", tmp_path / "out")
    assert inter(tmp_path / "out")["timestamp"].tolist() == ["7"]


@pytest.mark.parametrize("gap", ["0", "-1"])
def test_numbers_that_stand_for_no_time_are_a_fault(tmp_path: Path, gap: str) -> None:
    cells = ["1600000000", gap, "1600000002"]
    refusal = table(tmp_path, cells).refusal
    assert "1 of 3 rows have a time of 0 or less" in refusal and "--fix drop-rows" in refusal
    assert table(tmp_path, cells, "--fix", "drop-rows").code == 0
    assert inter(tmp_path / "out")["timestamp"].tolist() == ["1600000000", "1600000002"]
    assert written(tmp_path / "steps", ["0", "1", "2"]) == ["0", "1", "2"]


def test_seconds_beside_milliseconds_are_a_fault(tmp_path: Path) -> None:
    refusal = table(tmp_path, ["1600000000", "1600000001000", "1600000002"]).refusal
    assert "from 1600000000 to 1600000001000" in refusal and "--fix" not in refusal


def test_a_column_may_be_left_out(tmp_path: Path) -> None:
    assert "no time" in table(tmp_path, ["", ""]).refusal
    assert table(tmp_path, ["", ""], "--time-column", "").code == 0
    assert list(inter(tmp_path / "out")) == ["user_id", "item_id"]
    assert table(tmp_path, ["0", "1"], "--rating-column", "", "--force", name="click").code == 0
