"""Interactions in every format, and files that are not tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_support import features, inter, pairs, passed, prepare, refused, table, write

ROWS = [("u1", "i1", 4, 10), ("u1", "i2", 3, 11), ("u2", "i1", 5, 12)]
NAMES = ("user_id", "item_id", "rating", "timestamp")
EXPECTED = [list(map(str, row)) for row in ROWS]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
LINES = "".join(f"{json.dumps(record)}\n" for record in RECORDS)
COLUMNS = {name: [record[name] for record in RECORDS] for name in NAMES}


def text(separator: str = ",", end: str = "\n", names: Any = NAMES) -> str:
    return "".join(separator.join(map(str, row)) + end for row in [names, *ROWS])


FORMS: dict[str, str | bytes] = {
    **{f"separator {mark!r}": text(mark) for mark in (",", "\t", ";", "|", " ", "::")},
    "byte order mark": b"\xef\xbb\xbf" + text().encode(),
    "CRLF": text(end="\r\n"),
    "no end of line": text().rstrip("\n"),
    "quotes": text().replace("u1", '"u1"').replace("i2", '"i2"'),
    "spaces": text().replace("u1", " u1 "),
    "separator at the end": text(end=",\n"),
    "names of Amazon": text(names=("reviewerID", "asin", "overall", "unixReviewTime")),
    "header of RecBole": text("\t", names=[f"{name}:token" for name in NAMES]),
    "JSON lines": LINES,
    "JSON lines with a mark": f"\ufeff{LINES}",
    "JSON lines with empty lines": LINES.replace("\n", "\n\n"),
    "JSON list": json.dumps(RECORDS, indent=1),
    "JSON list under a name": json.dumps({"reviews": RECORDS}),
    "JSON columns": json.dumps(COLUMNS),
    "JSON columns of pandas": json.dumps(
        {name: {str(n): v for n, v in enumerate(values)} for name, values in COLUMNS.items()}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_text(tmp_path: Path, form: str) -> None:
    passed(table(tmp_path, FORMS[form], file="r.txt"))
    assert inter(tmp_path / "out").to_numpy().tolist() == EXPECTED


@pytest.mark.parametrize(
    "names",
    [
        ("User-ID", "ISBN", "Book-Rating", None),
        ("userID", "artistID", "weight", None),
        ("user_id", "business_id", "stars", "date"),
        ("user_id", "parent_asin", "rating", "timestamp"),
        ("USERID", "Video ID", "Watch.Ratio", "Time"),
        ("visitorid", "itemid", None, "timestamp"),
        ("userId", "movieId", "playCount", "ts"),
    ],
)
def test_usual_names_of_columns(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    cells = ("u1", "i1", "3", "5")
    taken = [(name, cell) for name, cell in zip(names, cells, strict=True) if name]
    header, row = (",".join(line) for line in zip(*taken, strict=True))
    passed(table(tmp_path, f"extra,{header}\nz,{row}\n"))
    assert inter(tmp_path / "out").to_numpy().tolist() == [[cell for _, cell in taken]]


def test_files_without_a_header_need_names(tmp_path: Path) -> None:
    content = "1,10,4\n2,11,5\n"
    refused(table(tmp_path, content), "not a known header", "--columns")
    passed(table(tmp_path, content, "--columns", "user,item,rating"))
    assert pairs(tmp_path / "out") == [("1", "10"), ("2", "11")]


def test_the_error_for_no_known_header_tells_data_from_a_header(tmp_path: Path) -> None:
    out = refused(table(tmp_path, "a,b,4\na,c,3\n"))
    assert "if it is data, name all columns in order with `--columns user,item,...`" in out
    assert "if it is a header, name two of its columns with `--user-column`" in out


def test_a_column_without_a_name_is_listed_among_those_left_out(tmp_path: Path) -> None:
    out = passed(table(tmp_path, ",user,item\n0,a,b\n1,a,c\n")).out
    assert "user = user, item = item; left out: (no name)" in out


@pytest.mark.parametrize(
    ("content", "columns", "named"),
    [
        ("uid,iid\na,b\nc,d\n", "user,item", "is a header"),
        ("user_id:token,item_id:token\n1,2\n", "user,item", "is a header"),
        ("item,user\n10,1\n11,2\n", "user,item", "in another order"),
    ],
)
def test_named_columns_and_a_header_may_not_contradict(
    content: str, columns: str, named: str, tmp_path: Path
) -> None:
    """The header would be an interaction, or the columns be exchanged."""
    refused(table(tmp_path, content, "--columns", columns), named)


@pytest.mark.parametrize(
    ("first", "below", "noted"),
    [
        ("member,film,score", "1,10,4", True),
        ("client,article,score", "a,b,4", True),
        ("guest,B24,NA", "17,24,3", True),
        ("anna,10,4", "1,11,5", False),
        ("user:0,item:12,x", "user:1,item:3,y", False),
        ("0,like,song", "1,like,song", False),
    ],
)
def test_what_may_be_a_header_is_data_and_noted(
    first: str, below: str, noted: bool, tmp_path: Path
) -> None:
    done = table(tmp_path, f"{first}\n{below}\n", "--columns", "user,item,comment")
    passed(done)
    assert pairs(tmp_path / "out")[0] == tuple(first.split(",")[:2])
    assert ("is read as an interaction" in done.out) == noted


def test_an_option_that_is_repeated_loses_nothing(tmp_path: Path) -> None:
    for name, content in (("a", "user,item\n1,10\n"), ("b", "user,item\n2,11\n")):
        (tmp_path / f"{name}.csv").write_text(content)
    one, two = (f"--input={tmp_path / name}.csv" for name in ("a", "b"))
    base = ["table", "--output", str(tmp_path / "out")]
    passed(prepare(*base, one, two))
    assert pairs(tmp_path / "out") == [("1", "10"), ("2", "11")]
    refused(prepare(*base, one, "--output", str(tmp_path / "other")), "--output: occurs twice")


@pytest.mark.parametrize("typed", ["\\t", "tab", "::", "blank", "|"])
def test_a_separator_may_be_named(tmp_path: Path, typed: str) -> None:
    mark = {"\\t": "\t", "tab": "\t", "blank": " "}.get(typed, typed)
    content = f"u1{mark}i,1\nu2{mark}i,2\n"
    passed(table(tmp_path, content, "--separator", typed, "--columns", "user,item"))
    assert pairs(tmp_path / "out") == [("u1", "i,1"), ("u2", "i,2")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """A byte order mark takes precedence over the option."""
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    content = f"{mark}user,item\nu1,Amélie\n".encode(encoding)
    passed(table(tmp_path, content, "--encoding", "latin-1"))
    assert inter(tmp_path / "out")["item_id"].tolist() == ["Amélie"]


def test_ids_are_kept_as_text(tmp_path: Path) -> None:
    ids = ["1e5", "007", "1_000", "0x10", "True", "1.50", "+3", "12345678901234567890"]
    ids += ["a\u2028b", "c\x85d", "e\x0cf", "g\x1dh"]
    passed(table(tmp_path, "user,item\n" + "".join(f"u,{i}\n" for i in ids)))
    rows = (tmp_path / "out" / "out.inter").read_text(encoding="utf-8").split("\n")[1:-1]
    assert rows == [f"u\t{i}" for i in ids]
    passed(table(tmp_path, "user,item\n007,1.0\n008,2.0\n"))
    assert pairs(tmp_path / "out") == [("007", "1"), ("008", "2")]


def test_json_maps_and_ids(tmp_path: Path) -> None:
    passed(table(tmp_path, '{"0": [5, 7], "1": [7], "2": []}', file="r.json"))
    assert pairs(tmp_path / "out") == [("0", "5"), ("0", "7"), ("1", "7")]
    records: list[Any] = [{"user": 2**70, "item": {"$oid": "abc"}}, {"user": 12.0, "item": 7}]
    records += [{"user": 13.0, "item": None}, *({"user": n, "item": 1} for n in range(9))]
    passed(table(tmp_path, json.dumps(records), file="r.json"))
    assert pairs(tmp_path / "out")[:2] == [(str(2**70), "abc"), ("12", "7")]
    refused(table(tmp_path, '[{"user": [1, 2], "item": 3}]', file="r.json"), "lists as ids")


def parquet(folder: Path, columns: dict[str, Any], *options: str) -> Any:
    pq.write_table(pa.table(columns), folder / "e.parquet")
    return table(folder, (folder / "e.parquet").read_bytes(), *options, file="e.parquet")


def test_lists_in_parquet(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"user": ["a", "b"], "items": [["x", "y"], ["z"]]}
    passed(parquet(tmp_path, {**columns, "times": [[1, 2], [3]]}))
    rows = [["a", "x", "1"], ["a", "y", "2"], ["b", "z", "3"]]
    assert inter(tmp_path / "out").to_numpy().tolist() == rows
    refused(parquet(tmp_path, {**columns, "times": [[1], [2, 3]]}), "differ in length")
    lists = {"user_id": ["a", "b", "c", "d"], "item_ids": [[1, 2], [3], [], None]}
    assert "2 users have an empty list" in passed(parquet(tmp_path, lists)).out
    assert pairs(tmp_path / "out") == [("a", "1"), ("a", "2"), ("b", "3")]


def test_integers_with_missing_values_keep_every_digit(tmp_path: Path) -> None:
    users = pa.array([2**60 + 1, 2**60 + 2, *range(8), None], pa.int64())
    passed(parquet(tmp_path, {"user": users, "item": ["x"] * 11}))
    assert pairs(tmp_path / "out")[:2] == [(str(2**60 + 1), "x"), (str(2**60 + 2), "x")]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (['"[1, 2]"', "[3]"], [("u0", "1"), ("u0", "2"), ("u1", "3")]),
        (["\"['a b', 'c']\"", "[]"], [("u0", "a b"), ("u0", "c")]),
        (["1 2", "3"], [("u0", "1"), ("u0", "2"), ("u1", "3")]),
        (["red shoes", "hat"], [("u0", "red shoes"), ("u1", "hat")]),
        (["(500) Days", "[PAD]"], [("u0", "(500) Days"), ("u1", "[PAD]")]),
        (["[a b ]", "[a ]"], [("u0", "a"), ("u0", "b"), ("u1", "a")]),
    ],
)
def test_lists_in_text(tmp_path: Path, cells: list[str], expected: list[Any]) -> None:
    rows = "".join(f"u{n},{cell}\n" for n, cell in enumerate(cells))
    passed(table(tmp_path, f"user,items\n{rows}"))
    assert pairs(tmp_path / "out") == expected


@pytest.mark.parametrize("kind", ["parquet", "npz columns", "npz splits", "npz pairs", "npy"])
def test_binary_interactions(tmp_path: Path, kind: str) -> None:
    numbers = np.array([[1, 10], [1, 11], [2, 10]], dtype=np.int16)
    path = tmp_path / f"e.{kind.split()[0]}"
    if kind == "parquet":
        pd.DataFrame({"user_id": [1, 1, 2], "item_id": [10.0, 11.0, 10.0]}).to_parquet(path)
    elif kind == "npz columns":
        np.savez(path, user=numbers[:, 0], item=numbers[:, 1], rating=np.ones(3))
    elif kind == "npz splits":
        np.savez(path, train=numbers[:2], test=numbers[2:], shape=np.array([3, 12]))
    elif kind == "npz pairs":
        np.savez(path, numbers)
    else:
        np.save(path, numbers)
    passed(prepare("table", "--input", path, "--output", tmp_path / "out"))
    assert pairs(tmp_path / "out") == [("1", "10"), ("1", "11"), ("2", "10")]


def test_ids_of_64_bits_without_a_sign(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[2**64 - 1, 1], [2, 3]], dtype=np.uint64))
    passed(table(tmp_path, (tmp_path / "e.npy").read_bytes(), file="e.npy"))
    assert pairs(tmp_path / "out") == [(str(2**64 - 1), "1"), ("2", "3")]


@pytest.mark.parametrize(
    ("array", "expected", "name"),
    [
        ([[1, 2, 3], [2, 3, 1]], [["1", "2", "3"], ["2", "3", "1"]], "rating"),
        ([[1, 2, 4.5], [2, 3, 1]], [["1", "2", "4.5"], ["2", "3", "1.0"]], "rating"),
        ([[1, 2, 1600000000]], [["1", "2", "1600000000"]], "timestamp"),
        ([[1, 2, 4.5, 1600000000]], [["1", "2", "4.5", "1600000000"]], "timestamp"),
    ],
)
def test_further_columns_of_an_array(
    tmp_path: Path, array: list[list[float]], expected: list[list[str]], name: str
) -> None:
    np.save(tmp_path / "e.npy", np.array(array))
    passed(table(tmp_path, (tmp_path / "e.npy").read_bytes(), file="e.npy"))
    found = inter(tmp_path / "out")
    assert found.to_numpy().tolist() == expected and name in found


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b"user,item\n", "no row"),
        (b"user,item\n\0\0\0\n", "binary"),
        ("user,item\nä,x\n".encode("latin-1"), "--encoding latin-1"),
        (b"user,user\na,b\n", "two columns"),
        (b'user,item\na,"x\nb,y\n', "line 2 with an open quote mark"),
        (b"\x80\x04.", "pickle"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    refused(table(tmp_path, content, file="e.dat"), named, "e.dat")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["npz", "npy", "parquet", "csv.gz"])
def test_cut_files_are_refused(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{kind}"
    array = np.random.default_rng(0).integers(0, 99, (400, 2))
    frame = pd.DataFrame(array, columns=["user", "item"])
    if kind == "npz":
        np.savez(whole, train=array)
    elif kind == "npy":
        np.save(whole, array)
    elif kind == "parquet":
        frame.to_parquet(whole)
    else:
        frame.to_csv(whole, index=False)
    content = whole.read_bytes()[: whole.stat().st_size // 2]
    refused(table(tmp_path, content, file=f"e.{kind}"), f"e.{kind}")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[1, -2]], dtype=np.int16), "e.npy"),
        (np.array([[1.0, 2.0]]), "e.npy"),
        (np.arange(10).reshape(2, 5), "e.npy"),
        (np.array([["a", {}]], dtype=object), "e.npy"),
        # A fraction of an id is never cut off, nor a missing time read as one.
        (np.array([[1.5, 2, 3.0]]), "whole numbers >= 0"),
        (np.array([[1, 2.5, 3.0]]), "whole numbers >= 0"),
        (np.array([[np.inf, 2, 3.0]]), "whole numbers >= 0"),
        (np.array([[-np.inf, 2, 3.0]]), "whole numbers >= 0"),
        (np.array([[2.0**53, 2, 3.0]]), "whole numbers >= 0"),
        (np.array([[2.0**24, 2, 3.0]], dtype=np.float32), "whole numbers >= 0"),
        (np.array([[1, 2, 3.0, np.nan]]), "NaN or Inf"),
        (np.array([[1, 2, np.inf, 3.0]]), "NaN or Inf"),
        # A time of zero does not make ratings of the others.
        (np.array([[1, 2, 0], [2, 2, 16 * 10**8], [3, 2, 10**9]]), "1 of 3 rows have a time of 0"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: Any, words: str) -> None:
    np.save(tmp_path / "e.npy", array, allow_pickle=True)
    refused(table(tmp_path, (tmp_path / "e.npy").read_bytes(), file="e.npy"), words)


def test_the_order_of_rows_is_never_assumed(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.eye(2))
    option = ("--features", f"v={tmp_path / 'f.npy'}")
    refused(table(tmp_path, "user,item\na,5\nb,6\n", *option), "no ids for its 2 rows")
    passed(table(tmp_path, "user,item\na,5\nb,6\n", *option, "--rows-from", "5"))
    assert features(tmp_path / "out", "v") == {"5": [1.0, 0.0], "6": [0.0, 1.0]}


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a", "b"]]),
        np.array([[1, None]], dtype=object),
        np.zeros(4),
        np.zeros((2, 2, 2)),
        np.zeros((0, 3)),
        np.zeros((2, 0)),
        np.zeros((3, 2)),
        np.zeros((2, 2), dtype=np.complex64),
    ],
)
def test_other_matrices_are_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "f.npy", array, allow_pickle=True)
    write(tmp_path / "f.ids", "i1\ni2\n")
    refused(table(tmp_path, text(), "--features", f"v={tmp_path / 'f.npy'}"), "f.npy")
