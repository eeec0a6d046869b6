"""Interactions and features in every format that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import done, features, inter, pairs, prepare, write

ROWS = [("u1", "i1", 4, 10), ("u1", "i2", 3, 11), ("u2", "i1", 5, 12)]
PAIRS = [(user, item) for user, item, _, _ in ROWS]
NAMES = ("user_id", "item_id", "rating", "timestamp")


def text(separator: str = ",", end: str = "\n", header: bool = True, names: Any = NAMES) -> str:
    lines = [separator.join(names)] if header else []
    return "".join(
        f"{line}{end}" for line in [*lines, *(separator.join(map(str, r)) for r in ROWS)]
    )


def read(tmp_path: Path, content: str | bytes, *options: str, file: str = "e.csv") -> Path:
    folder = tmp_path / "mine"
    done("table", "--input", write(tmp_path / file, content), "--output", folder, *options)
    return folder


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", " ", "::"])
def test_separators_are_found(tmp_path: Path, separator: str) -> None:
    assert pairs(read(tmp_path, text(separator))) == PAIRS


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbf" + text().encode(), id="byte order mark"),
        pytest.param(text(end="\r\n"), id="CRLF"),
        pytest.param(text().rstrip("\n"), id="no end of line"),
        pytest.param(text().replace("u1", '"u1"').replace("i2", '"i2"'), id="quotes"),
        pytest.param(text().replace("u1", " u1 "), id="spaces"),
        pytest.param(text(names=("reviewerID", "asin", "overall", "unixReviewTime")), id="names"),
        pytest.param(text("\t", names=[f"{n}:token" for n in NAMES]), id="RecBole's own header"),
    ],
)
def test_variants_read_the_same(tmp_path: Path, content: str | bytes) -> None:
    folder = read(tmp_path, content)
    assert pairs(folder) == PAIRS
    assert inter(folder)["rating"].tolist() == ["4", "3", "5"]
    assert inter(folder)["timestamp"].tolist() == ["10", "11", "12"]


def test_ids_keep_leading_zeros_and_lose_a_trailing_point(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "user,item\n007,1.0\n008,2.0\n")) == [("007", "1"), ("008", "2")]


def test_no_header_is_refused_until_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "1,10,4\n2,11,5\n")
    refused = prepare("table", "--input", path, "--output", tmp_path / "mine").refusal
    assert "is no header" in refused
    assert "--columns" in refused
    done("table", "--input", path, "--output", tmp_path / "mine", "--columns", "user,item,rating")
    assert pairs(tmp_path / "mine") == [("1", "10"), ("2", "11")]


def test_a_column_of_splits_makes_split_files(tmp_path: Path) -> None:
    folder = read(tmp_path, "userID,itemID,x_label\na,x,0\nb,y,0\na,y,1\nb,x,2\n")
    assert pairs(folder, "train") == [("a", "x"), ("b", "y")]
    assert pairs(folder, "valid") == [("a", "y")]
    assert pairs(folder, "test") == [("b", "x")]


@pytest.mark.parametrize("kind", ["parquet", "npz columns", "npz splits", "npz pairs", "npy"])
def test_binary_interactions(tmp_path: Path, kind: str) -> None:
    numbers = np.array([[1, 10], [1, 11], [2, 10]], dtype=np.int16)
    path = tmp_path / f"e.{kind.split()[0]}"
    if kind == "parquet":
        frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [10.0, 11.0, 10.0]})
        frame.to_parquet(path)
    elif kind == "npz columns":
        np.savez(path, user=numbers[:, 0], item=numbers[:, 1], rating=np.ones(3))
    elif kind == "npz splits":
        np.savez(path, train=numbers[:2], test=numbers[2:], shape=np.array([3, 12]))
    elif kind == "npz pairs":
        np.savez(path, numbers)
    else:
        np.save(path, numbers)
    done("table", "--input", path, "--output", tmp_path / "mine")
    assert pairs(tmp_path / "mine") == [("1", "10"), ("1", "11"), ("2", "10")]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b"user,item\n", "no row"),
        (b"user,item\n\0\0\0\n", "binary"),
        ("user,item\nä,x\n".encode("latin-1"), "--encoding latin-1"),
        (b"user,user\na,b\n", "two columns"),
        (b'user,item\na,"x\nb,y\n', "line 2 with an open quote mark"),
    ],
)
def test_unreadable_text_is_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    path = write(tmp_path / "e.csv", content)
    refused = prepare("table", "--input", path, "--output", tmp_path / "mine").refusal
    assert named in refused
    assert "e.csv" in refused
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("kind", ["npz", "npy", "parquet", "csv.gz"])
def test_cut_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{kind}"
    numbers = np.random.default_rng(0).integers(0, 99, (400, 2))
    frame = pd.DataFrame(numbers, columns=["user", "item"])
    if kind == "npz":
        np.savez(whole, train=numbers)
    elif kind == "npy":
        np.save(whole, numbers)
    elif kind == "parquet":
        frame.to_parquet(whole)
    else:
        frame.to_csv(whole, index=False)
    path = write(tmp_path / f"e.{kind}", whole.read_bytes()[: whole.stat().st_size // 2])
    assert f"e.{kind}" in prepare("table", "--input", path, "--output", tmp_path / "m").refusal


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([["a", {}]], dtype=object), allow_pickle=True)
    for path in (tmp_path / "e.npy", write(tmp_path / "e.pkl", b"\x80\x04.")):
        assert "pickle" in prepare("table", "--input", path, "--output", tmp_path / "m").refusal


def test_overflown_and_odd_arrays_are_refused(tmp_path: Path) -> None:
    for name, array in {
        "negative": np.array([[1, -2]], dtype=np.int16),
        "float": np.array([[1.0, 2.0]]),
        "transposed": np.arange(10).reshape(2, 5),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
        refused = prepare(
            "table", "--input", tmp_path / f"{name}.npy", "--output", tmp_path / "mine"
        ).refusal
        assert f"{name}.npy" in refused


def test_row_order_is_never_assumed(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.eye(2))
    path = write(tmp_path / "e.csv", "user,item\na,5\nb,6\n")
    arguments = ("table", "--input", path, "--features", f"v={tmp_path / 'f.npy'}")
    refused = prepare(*arguments, "--output", tmp_path / "m").refusal
    assert "no ids for its 2 rows" in refused
    done(*arguments, "--rows-from", "5", "--output", tmp_path / "m")
    assert features(tmp_path / "m", "v") == {"5": [1.0, 0.0], "6": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.array([["a", "b"]]), "save numbers"),
        (np.array([[1, None]], dtype=object), "pickle"),
        (np.zeros(4), "shape (4,)"),
        (np.zeros((2, 2, 2)), "shape (2, 2, 2)"),
        (np.zeros((0, 3)), "shape (0, 3)"),
        (np.zeros((3, 2)), "3 rows for 2 ids"),
        (np.zeros((2, 2), dtype=np.complex64), "complex"),
    ],
)
def test_odd_matrices_are_refused_by_name(tmp_path: Path, array: Any, named: str) -> None:
    np.save(tmp_path / "f.npy", array, allow_pickle=True)
    write(tmp_path / "f.ids", "i1\ni2\n")
    path = write(tmp_path / "e.csv", text())
    features_option = f"visual={tmp_path / 'f.npy'}"
    refused = prepare(
        "table", "--input", path, "--features", features_option, "--output", tmp_path / "m"
    ).refusal
    assert named in refused
    assert "f.npy" in refused
