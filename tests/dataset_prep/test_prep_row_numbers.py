"""An id list with row numbers gives each item its row of the matrix, or is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import Result, features, prepare, write

from dataset_prep.read.ids import nearly_rows, row_order

N = 12
# Row k holds (k + 1, k * k): a vector tells the row that it comes from.
MATRIX = np.array([[k + 1.0, k * k] for k in range(N)])
ORDER = [7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 6, 4]
WORDS = [f"i{k}" for k in range(N)]
# Ids that could be row numbers themselves, in another order than the rows.
MIXED = ["4", "8", "0", "11", "6", "1", "10", "3", "9", "2", "7", "5"]
PADDED = [f"{k:03d}" for k in range(N)]
SPARSE = [str(1000 + 7 * k) for k in range(N)]
KINDS = {"words": WORDS, "mixed": MIXED, "padded": PADDED, "sparse": SPARSE}


def table(folder: Path, ids: Sequence[str], listed: Path, *options: Any) -> Result:
    rows = [f"u{user},{token}" for user in range(2) for token in ids]
    events = write(folder / "e.csv", "\n".join(["user_id,item_id", *rows, ""]))
    np.save(folder / "m.npy", MATRIX)
    base = ("table", "--input", events, "--features", f"v={folder / 'm.npy'}")
    return prepare(*base, "--feature-ids", listed, "--output", folder / "out", *options)


def expected(ids: Sequence[str]) -> dict[str, list[float]]:
    return {token: MATRIX[row].tolist() for row, token in enumerate(ids)}


def shuffled(ids: Sequence[str], header: str, line: str, first: int = 0) -> str:
    """Lines in another order than the rows; ``{i}`` is the id, ``{k}`` its row."""
    lines = [line.format(i=ids[k], k=k + first) for k in ORDER]
    return "\n".join([*([header] if header else []), *lines, ""])


@pytest.mark.parametrize(("kind", "first"), [("words", 1), ("mixed", 0), ("padded", 1)])
@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("item_id,row", "{i},{k}"),
        ("row,item_id", "{k},{i}"),
        ("iid,idx", "{i},{k}"),
        ("org_id remap_id", "{i} {k}"),
        (",item_id", "{k},{i}"),
        ("Unnamed: 0\tasin", "{k}\t{i}"),
        ("item_id;index;title", "{i};{k};A title"),
    ],
)
def test_row_numbers_are_honoured(
    tmp_path: Path, kind: str, first: int, header: str, line: str
) -> None:
    ids = KINDS[kind]
    result = table(tmp_path, ids, write(tmp_path / "l.txt", shuffled(ids, header, line, first)))
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == expected(ids)


@pytest.mark.parametrize("kind", ["sparse", "mixed"])
@pytest.mark.parametrize(
    ("header", "line"),
    [("asin,itemID", "{i},{k}"), ("", "{i} {k}"), ("key,value", "{i},{k}"), ("", "{k},{i}")],
)
def test_two_columns_are_honoured_unless_both_may_number_the_rows(
    tmp_path: Path, kind: str, header: str, line: str
) -> None:
    ids = KINDS[kind]
    result = table(tmp_path, ids, write(tmp_path / "l.txt", shuffled(ids, header, line)))
    if kind in ("mixed", "padded"):
        both = "may number the rows" in result.refusal
        assert both or "say which holds the ids with `--feature-id-column`" in result.refusal
        name = header.partition(",")[0] or str(int(line.startswith("{k}")))
        result = table(tmp_path, ids, tmp_path / "l.txt", "--feature-id-column", name)
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == expected(ids)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({3: 4}, "'4' is there 2 times"),
        ({3: 99}, "it holds '99'"),
        ({11: 12}, "it holds '12'"),
        ({3: ""}, "it holds ''"),
    ],
)
@pytest.mark.parametrize("header", ["item_id,row", ",item_id", "asin,id"])
def test_broken_row_numbers_are_refused(
    tmp_path: Path, header: str, change: dict[int, Any], named: str
) -> None:
    numbers = {k: change.get(k, k) for k in range(N)}
    flipped = header.startswith(",")
    pairs = [(numbers[k], WORDS[k]) if flipped else (WORDS[k], numbers[k]) for k in ORDER]
    content = "\n".join([header, *(f"{a},{b}" for a, b in pairs), ""])
    refusal = table(tmp_path, WORDS, write(tmp_path / "l.csv", content)).refusal
    assert "must number the rows from 0 to 11" in refusal
    assert named in refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("item_id,row,index\n" + "".join(f"i{k},{k},{11 - k}\n" for k in range(N)), "row, index"),
        ("item_id,place,title\n" + "".join(f"i{k},{11 - k},T\n" for k in range(N)), "`place`"),
        ("item_id,rank\n" + "".join(f"i{k},{12 - k}\n" for k in range(N)), "`rank`"),
        ("item_id,title\n" + "".join(f"{k},T\n" for k in ORDER), "`item_id` may hold ids or"),
        ("item_id,row\n" + "".join(f"i{k},{k}\n" for k in range(N - 1)), "11 ids for 12 rows"),
    ],
)
def test_what_may_number_the_rows_is_refused(tmp_path: Path, content: str, named: str) -> None:
    ids = [str(k) for k in range(N)] if "title\n0" in content or "\n7,T" in content else WORDS
    assert named in table(tmp_path, ids, write(tmp_path / "l.csv", content)).refusal


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [
        "{lines}",
        "item_id\n{lines}",
        ",0\n{numbered}",
    ],
)
def test_one_id_per_line_is_the_order_of_the_rows(tmp_path: Path, kind: str, content: str) -> None:
    ids = KINDS[kind]
    numbered = "".join(f"{row},{token}\n" for row, token in enumerate(ids))
    text = content.format(lines="\n".join(ids) + "\n", numbered=numbered)
    result = table(tmp_path, ids, write(tmp_path / "l.txt", text))
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == expected(ids)


def test_a_line_above_the_ids_is_a_header_unless_it_is_an_item(tmp_path: Path) -> None:
    for header in ("sku", "Produkt-Nr"):
        listed = write(tmp_path / "l.txt", "\n".join([header, *WORDS, ""]))
        result = table(tmp_path, WORDS, listed, "--force")
        assert result.code == 0, result.err
        assert features(tmp_path / "out", "v") == expected(WORDS)
    for line in ("i3", "5"):
        listed = write(tmp_path / "l.txt", "\n".join([line, *WORDS, ""]))
        assert "12 rows for 13 ids" in table(tmp_path, WORDS, listed, "--force").refusal


@pytest.mark.parametrize("first", ["abc", "row", "7a"])
def test_a_first_id_above_numbers_is_no_header(tmp_path: Path, first: str) -> None:
    ids = [first, *(str(100 + k) for k in range(N - 1))]
    result = table(tmp_path, ids, write(tmp_path / "l.txt", "\n".join(ids) + "\n"))
    if first == "row":
        assert "11 ids" in result.refusal
    else:
        assert result.code == 0, result.err
        assert features(tmp_path / "out", "v") == expected(ids)


@pytest.mark.parametrize("column", ["year", "title", "imdbId", "id"])
def test_other_columns_do_not_number_the_rows(tmp_path: Path, column: str) -> None:
    values = {"year": "199{}", "title": "T{}", "imdbId": "11470{}", "id": "88{}"}[column]
    lines = [f"{token},{values.format(k % 4)}" for k, token in enumerate(WORDS)]
    content = "\n".join([f"item_id,{column}", *lines, ""])
    result = table(tmp_path, WORDS, write(tmp_path / "l.csv", content))
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == expected(WORDS)


def json_list(form: str, ids: Sequence[str]) -> Any:
    return {
        "map": {ids[k]: k for k in ORDER},
        "map of strings": {ids[k]: str(k) for k in ORDER},
        "map from 1": {ids[k]: k + 1 for k in ORDER},
        "rows to ids": {str(k): ids[k] for k in ORDER},
        "list": list(ids),
        "records": [{"asin": ids[k], "row": k} for k in ORDER],
        "pairs": [[ids[k], k] for k in ORDER],
        "columns": {"item_id": [ids[k] for k in ORDER], "row": ORDER},
    }[form]


JSON_FORMS = (
    *("map", "map of strings", "map from 1", "rows to ids"),
    *("list", "records", "pairs", "columns"),
)


@pytest.mark.parametrize("kind", ["words", "mixed"])
@pytest.mark.parametrize("form", JSON_FORMS)
def test_ids_in_json(tmp_path: Path, kind: str, form: str) -> None:
    ids = KINDS[kind]
    listed = write(tmp_path / "l.json", json.dumps(json_list(form, ids)))
    result = table(tmp_path, ids, listed)
    if kind == "mixed" and form not in ("list", "records", "columns"):
        # {"4": 7, "7": 10, ...} reads both ways.
        assert "may map ids to rows or rows to ids" in result.refusal
    else:
        assert result.code == 0, result.err
        assert features(tmp_path / "out", "v") == expected(ids)


def test_an_id_that_is_twice_in_a_json_map_is_refused(tmp_path: Path) -> None:
    pairs = ", ".join(f'"{"i4" if k == 3 else f"i{k}"}": {k}' for k in range(N))
    refusal = table(tmp_path, WORDS, write(tmp_path / "l.json", f"{{{pairs}}}")).refusal
    assert "JSON" in refusal and "'i4' twice" in refusal


def test_ids_and_rows_in_binary_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": [WORDS[k] for k in ORDER], "row": ORDER})
    frame.to_parquet(tmp_path / "l.parquet")
    np.savez(tmp_path / "l.npz", item_id=frame["item_id"].to_numpy(str), row=np.array(ORDER))
    for name in ("l.parquet", "l.npz"):
        result = table(tmp_path, WORDS, tmp_path / name, "--force")
        assert result.code == 0, result.err
        assert features(tmp_path / "out", "v") == expected(WORDS)


def test_ids_and_rows_beside_a_matrix(tmp_path: Path) -> None:
    """Also the arrays of an .npz file and the lists that stand beside a .npy file."""
    rows = [f"u,{token}" for token in WORDS]
    events = write(tmp_path / "e.csv", "\n".join(["user_id,item_id", *rows, ""]))
    np.save(tmp_path / "m.npy", MATRIX)
    write(tmp_path / "m.ids.csv", shuffled(WORDS, "item_id,row", "{i},{k}"))
    tokens = np.array([WORDS[k] for k in ORDER])
    np.savez(tmp_path / "n.npz", features=MATRIX, item_id=tokens, row=np.array(ORDER))
    files = ("--features", f"m={tmp_path / 'm.npy'}", "--features", f"n={tmp_path / 'n.npz'}")
    result = prepare("table", "--input", events, *files, "--output", tmp_path / "out")
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "m") == expected(WORDS)
    assert features(tmp_path / "out", "n") == expected(WORDS)


def test_the_column_that_meets_the_interactions_holds_the_ids(tmp_path: Path) -> None:
    """``org_id`` goes before ``remap_id``, but here the interactions hold the latter."""
    ids = [str(k) for k in range(N)]
    content = "org_id,remap_id\n" + "".join(f"{5000 + 3 * k},{k}\n" for k in ORDER)
    listed = write(tmp_path / "l.csv", content)
    refusal = table(tmp_path, ids, listed).refusal
    assert "`remap_id` holds 12 items" in refusal and "--feature-id-column" in refusal


@pytest.mark.parametrize(
    ("tokens", "order", "nearly"),
    [
        (["2", "0", "1"], [2, 0, 1], True),
        (["3", "1", "2"], [2, 0, 1], True),
        (["002", "000", "001"], [2, 0, 1], True),
        (["2", "3", "4"], None, True),
        (["0", "0", "1"], None, True),
        (["0", "1", "9"], None, True),
        (["0", "8", "9"], None, False),
        (["a", "0", "1"], None, True),
        (["a", "b"], None, False),
        ([], None, False),
    ],
)
def test_row_order(tokens: list[str], order: list[int] | None, nearly: bool) -> None:
    assert row_order(tokens) == order
    assert nearly_rows(tokens) == nearly
