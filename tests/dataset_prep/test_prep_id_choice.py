"""Which column, number or row an id comes from, where several are possible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import (
    MATRIX,
    N,
    Result,
    features,
    pairs,
    passed,
    prepare,
    refused,
    table,
    with_vectors,
    write,
)

from dataset_prep.read import feature_tables
from dataset_prep.read.id_lists import nearly_rows, row_order

EVENTS = "user,item\na,x\na,y\nb,x\nb,z\n"


def test_a_column_named_for_one_role_is_not_taken_for_another(tmp_path: Path) -> None:
    content = "item,book\nann,b1\nann,b2\nbob,b1\n"
    passed(table(tmp_path, content, "--user-column", "item"))
    assert pairs(tmp_path / "out") == [("ann", "b1"), ("ann", "b2"), ("bob", "b1")]


def test_a_matrix_in_column_order_is_read_by_rows(tmp_path: Path) -> None:
    matrix = np.arange(12.0).reshape(3, 4) ** 2
    np.save(tmp_path / "f.npy", np.asfortranarray(matrix))
    write(tmp_path / "f.ids", "x\ny\nz\n")
    passed(table(tmp_path, EVENTS, "--features", f"v={tmp_path / 'f.npy'}"))
    expected = {token: matrix[row].tolist() for row, token in enumerate("xyz")}
    assert features(tmp_path / "out", "v") == expected


@pytest.mark.parametrize(("vectors", "n"), [(["1 2", "3 4", "5 6 7"], 2), (["1 2", "3", "4 5"], 2)])
def test_one_odd_vector_is_a_fault_although_there_are_numbers(
    tmp_path: Path, vectors: list[str], n: int
) -> None:
    """The column of vectors holds the features, and not the numbers beside it."""
    rows = "".join(f"{t},{k},[{v}]\n" for k, (t, v) in enumerate(zip("xyz", vectors, strict=True)))
    path = write(tmp_path / "f.csv", "item,year,vec\n" + rows)
    refused(
        table(tmp_path, EVENTS, "--features", f"v={path}"), f"1 rows have no vector of {n} numbers"
    )


@pytest.mark.parametrize(("rated", "repeated", "ambiguous"), [(90, 0, True), (1000, 100, False)])
def test_another_column_of_ids_is_looked_at_in_all_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rated: int, repeated: int, ambiguous: bool
) -> None:
    """It may hold the ids if its values are distinct, and nine of ten are rated."""
    n = 100 if not repeated else 1000
    monkeypatch.setattr(feature_tables, "CELLS_PER_BLOCK", n)
    items = [f"i{k}" for k in range(n + repeated)]
    codes = [f"i{k}" if k < rated else f"q{k}" for k in range(n)] + items[:repeated]
    values = np.random.default_rng(0).normal(size=len(items))
    pd.DataFrame({"id": items, "code": codes, "a": values}).to_parquet(tmp_path / "f.parquet")
    events = "user,item\n" + "".join(f"u{k % 7},{item}\n" for k, item in enumerate(items))
    result = table(tmp_path, events, "--features", f"v={tmp_path / 'f.parquet'}")
    if ambiguous:
        refused(result, "column `code` may hold the ids as well as `id`")
    else:
        passed(result)


def mmrec(folder: Path, items: str, *options: Any) -> Result:
    """Items 3, 0 and 1 of two users; ``items`` maps their numbers."""
    rows = "0\t3\t0\n0\t0\t0\n1\t1\t2\n1\t3\t0\n"
    write(folder / "in" / "in.inter", "userID\titemID\tx_label\n" + rows)
    write(folder / "in" / "u_id_mapping.csv", "user_id\tuserID\n71\t0\n70\t1\n")
    write(folder / "in" / "i_id_mapping.csv", "asin\titemID\n" + items)
    np.save(folder / "in" / "image_feat.npy", np.array([[1.0, 2], [3, 5], [7, 7], [9, 8]]))
    given = ("--input", folder / "in", "--output", folder / "out", "--force")
    return prepare("mmrec", *given, "--original-ids", *options)


def test_ids_that_are_numbers_are_not_taken_for_the_numbers(tmp_path: Path) -> None:
    """Number 2 has no id: its row of features belongs to no item that is known."""
    fixes = ("--fix", "drop-rows,drop-unrated")
    passed(mmrec(tmp_path, "31\t0\n30\t1\n2\t3\n", *fixes))
    assert pairs(tmp_path / "out", "train") == [("71", "2"), ("71", "31"), ("70", "2")]
    expected = {"31": [1.0, 2.0], "30": [3.0, 5.0], "2": [9.0, 8.0]}
    assert features(tmp_path / "out", "visual") == expected


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("31\t0\n30\t1\n29\t3\n28\t1\n", "number 1 has two ids, 30 and 28"),
        ("31\t0\n30\t1\n31\t3\n", "i_id_mapping.csv: two numbers have the same original id"),
    ],
)
def test_mappings_that_are_not_one_to_one_are_refused(
    tmp_path: Path, items: str, words: str
) -> None:
    refused(mmrec(tmp_path, items), words)


def test_features_need_a_row_for_the_largest_number_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    result = mmrec(tmp_path, "31\t0\n30\t1\n29\t3\n")
    np.save(folder / "image_feat.npy", np.eye(3))
    write(folder / "in.inter", "userID\titemID\tx_label\n0\t3\t0\n0\t0\t0\n1\t1\t2\n")
    given = ("--input", folder, "--output", tmp_path / "out", "--force")
    refused(prepare("mmrec", *given), "has 3 rows for 4 items")
    assert "image_feat.npy" in result.out + result.err


@pytest.mark.parametrize(("flags", "kept"), [("1\t0", 2), ("-1\t0", 1), ("1\t8", 1), ("0\t-1", 1)])
def test_flags_of_a_log(tmp_path: Path, flags: str, kept: int) -> None:
    """-1 is no action, and a row with another flag than 0, 1 and -1 does not count."""
    line = "{}\t1\t{}\t2\t3\t0\t{}\t4\t5\t53000\t10\n"
    rows = line.format(1, 7, "0\t1") + line.format(2, 8, flags)
    write(tmp_path / "in" / "final_track2_train.txt", rows)
    given = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--fix", "drop-rows")
    passed(prepare("tiktok", *given, "--actions", "finish,like"))
    assert len(pairs(tmp_path / "out")) == kept


@pytest.mark.parametrize("form", ["json", "parquet", "npz"])
def test_row_indices_never_pass_for_ids_that_are_lists(tmp_path: Path, form: str) -> None:
    """With numbers as ids, every row would belong to an item, but to another one."""
    frame = pd.DataFrame({"item_id": [[str(k)] for k in reversed(range(N))], "row": range(N)})
    path = tmp_path / f"l.{form}"
    if form == "parquet":
        frame.to_parquet(path)
    elif form == "json":
        write(path, json.dumps(frame.to_dict("records")))
    else:
        np.savez(path, item_id=np.array(frame["item_id"].tolist()), row=np.arange(N))
    np.save(tmp_path / "m.npy", MATRIX)
    said = "`item_id` does not hold one id per row"
    rated = frame["row"].map(str)
    refused(with_vectors(tmp_path, rated, tmp_path / "m.npy", "--feature-ids", path), said)
    if form == "npz":
        np.savez(tmp_path / "n.npz", features=MATRIX, **np.load(path))
        refused(with_vectors(tmp_path, rated, tmp_path / "n.npz"), said)


@pytest.mark.parametrize(
    ("tokens", "order", "nearly"),
    [
        (["2", "0", "1"], [2, 0, 1], True),
        (["3", "1", "2"], [2, 0, 1], True),
        (["002", "000", "001"], [2, 0, 1], True),
        (["2", "3", "4"], None, True),
        (["0", "0", "1"], None, True),
        (["0", "8", "9"], None, False),
        (["a", "0", "1"], None, True),
        (["a", "b"], None, False),
        ([], None, False),
    ],
)
def test_row_order(tokens: list[str], order: list[int] | None, nearly: bool) -> None:
    assert row_order(tokens) == order
    assert nearly_rows(tokens) == nearly


@pytest.mark.parametrize("ids", [["a", "b", "c", "d"], ["a, b", "b, c", 'c "d"', "d, e"]])
def test_a_blank_line_in_a_list_of_ids_is_refused(tmp_path: Path, ids: list[str]) -> None:
    """With a header, the list would seem complete, and most rows be those of the next item."""
    np.save(tmp_path / "v.npy", np.arange(8.0).reshape(4, 2))
    quoted = ['"' + token.replace('"', '""') + '"' for token in ids]
    content = "user,item\n" + "".join(f"u,{token}\nv,{token}\n" for token in quoted)
    given = ["--features", f"v={tmp_path / 'v.npy'}", "--feature-ids", tmp_path / "ids.txt"]
    options = [*given, "--fix", "drop-unrated"]
    write(tmp_path / "ids.txt", "films\n" + "\n".join([*ids[:2], "", ids[3], ""]))
    refused(table(tmp_path, content, *options), "ids.txt: line 4 is blank")
    write(tmp_path / "ids.txt", "\n".join([*ids, "", ""]))
    passed(table(tmp_path, content, *options))
    assert list(features(tmp_path / "out", "v")) == ids
