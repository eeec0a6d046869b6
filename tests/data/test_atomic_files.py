"""RecBole's atomic files: every row, every id and every number as the file has it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.data.atomic_files import read_columns, read_header
from recbole_painvrl.errors import UserError

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def read(path: Path, separator: str = "\t", encoding: str = "utf-8") -> pd.DataFrame:
    types = read_header(path, ("user_id", "item_id"), separator, encoding)
    return read_columns(path, types, types, separator, encoding)


def write(path: Path, *rows: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path.write_bytes(end.join([HEADER, *rows, ""]).encode(encoding))
    return path


def test_ids_stay_what_they_are(tmp_path: Path) -> None:
    ids = ["NA", "null", "None", "nan", "007", "1e5", " x ", "a\x0cb", "a\u2028b", '"The', "True"]
    path = write(tmp_path / "d.inter", *(f"{one}\ti{n}\t{n}" for n, one in enumerate(ids)))
    assert read(path)["user_id"].tolist() == ids


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_an_empty_cell_is_missing(end: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "u\t\t1", "", "u\ti\t", "\ti\t3", end=end)
    frame = read(path)
    assert len(frame) == 3
    assert frame.isna().to_numpy().tolist() == [
        [False, True, False],
        [False, False, True],
        [True, False, False],
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_the_closest_to_their_text(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("numbers") / "d.inter"
    write(path, *(f"u\ti{n}\t{number!r}" for n, number in enumerate(numbers)))
    assert read(path)["timestamp"].tolist() == numbers


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "ü\té\t1", encoding=encoding)
    asked = "utf-8" if encoding == "utf-8-sig" else encoding
    frame = read(path, encoding=asked)
    assert frame.iloc[0].tolist() == ["ü", "é", 1.0]
    assert list(frame) == ["user_id", "item_id", "timestamp"]


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "ü\té\t1", encoding="latin-1")
    with pytest.raises(UserError, match=r"d\.inter: not readable as utf-8.*--encoding=latin-1"):
        read(path)
    with pytest.raises(UserError, match="`encoding`: found 'latin-33'"):
        read(path, encoding="latin-33")


@pytest.mark.parametrize("separator", [",", "|", ";", " ", "::", "\t"])
def test_separators(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "d.inter"
    path.write_text("\n".join([HEADER, "u.1\ti[2]\t3", "u\ti\t4"]).replace("\t", separator))
    frame = read(path, separator)
    assert frame["user_id"].tolist() == ["u.1", "u"]
    assert frame["timestamp"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u\ti", "3 columns in the first line, 2 in line 3"),
        ("u\ti\t13/09/2020", "'13/09/2020' in column `timestamp:float`"),
    ],
)
def test_a_malformed_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "u\ti\t1", row, "u\tj\t1")
    with pytest.raises(UserError, match=r"d\.inter") as caught:
        read(path)
    assert message in str(caught.value)


def test_a_quoted_file_is_read_without_its_marks(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id:token": ["a", "b"], "item_id:token": ['say "hi"', "tab\there"]})
    path = tmp_path / "d.inter"
    frame.to_csv(path, sep="\t", index=False)
    assert read(path)["item_id"].tolist() == ['say "hi"', "tab\there"]


def test_a_header_that_repeats_a_column(tmp_path: Path) -> None:
    path = tmp_path / "d.inter"
    path.write_text("user_id:token\tuser_id:token\nu\tv\n")
    with pytest.raises(UserError, match="column `user_id` occurs twice"):
        read_header(path, ("user_id",), "\t", "utf-8")
