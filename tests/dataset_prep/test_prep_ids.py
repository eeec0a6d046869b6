"""Rows of feature files belong to the item that a column or list of ids names, or are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import (
    KINDS,
    MATRIX,
    MIXED,
    ORDER,
    WORDS,
    N,
    Result,
    check_vectors,
    done,
    features,
    lines,
    passed,
    prepare,
    refused,
    table,
    with_vectors,
    write,
)

from dataset_prep.encoders.text import encode_texts
from dataset_prep.read.ids import find_id, is_label

SPARSE = [str(1000 + 7 * k) for k in range(N)]


def listed(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> Result:
    """A matrix whose ids are in the file ``path``."""
    np.save(folder / "m.npy", MATRIX)
    return with_vectors(folder, ids, folder / "m.npy", "--feature-ids", path, *options)


def check_listed(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> None:
    np.save(folder / "m.npy", MATRIX)
    check_vectors(folder, ids, folder / "m.npy", "--feature-ids", path, *options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("item_id,row", "{i},{k}"),
        ("row,item_id", "{k},{i}"),
        ("iid,idx", "{i},{k}"),
        ("org_id remap_id", "{i} {k}"),
        ("item_id;index;title", "{i};{k};A title"),
    ],
)
def test_row_indices_are_used(tmp_path: Path, kind: str, header: str, line: str) -> None:
    ids = KINDS[kind]
    check_listed(tmp_path, ids, write(tmp_path / "l.txt", lines(ids, header, line)))


@pytest.mark.parametrize(
    ("header", "line"),
    [(",item_id", "{k},{i}"), ("Unnamed: 0\tasin", "{k}\t{i}"), ("index,item_id", "{k},{i}")],
)
def test_an_index_of_sorted_rows_is_ambiguous(tmp_path: Path, header: str, line: str) -> None:
    """The vectors may have been made before the rows were sorted, or after."""
    path = write(tmp_path / "l.txt", lines(KINDS["words"], header, line))
    refused(listed(tmp_path, KINDS["words"], path), "cannot tell the row of each item")


@pytest.mark.parametrize(
    ("header", "line"),
    [("asin,itemID", "{i},{k}"), (None, "{i} {k}"), ("key,value", "{i},{k}"), (None, "{k},{i}")],
)
def test_a_column_without_a_usual_name_is_used_unless_both_may_hold_rows(
    tmp_path: Path, header: str | None, line: str
) -> None:
    check_listed(tmp_path, SPARSE, write(tmp_path / "l.txt", lines(SPARSE, header, line)))
    path = write(tmp_path / "l.txt", lines(MIXED, header, line))
    refused(listed(tmp_path, MIXED, path), "l.txt")
    name = header.partition(",")[0] if header else str(int(line.startswith("{k}")))
    check_listed(tmp_path, MIXED, path, "--feature-id-column", name)


@pytest.mark.parametrize("change", [{3: 4}, {3: 99}, {8: 9}, {3: ""}])
@pytest.mark.parametrize("header", ["item_id,row", ",item_id", "asin,id"])
def test_broken_row_indices_are_refused(
    tmp_path: Path, header: str, change: dict[int, Any]
) -> None:
    rows = [(WORDS[k], str(change.get(k, k))) for k in ORDER]
    rows = [row[::-1] if header.startswith(",") else row for row in rows]
    content = "\n".join([header, *map(",".join, rows), ""])
    refused(listed(tmp_path, WORDS, write(tmp_path / "l.csv", content)), "cannot tell the row")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [
        "item_id,row,index\n" + "".join(f"i{k},{k},{8 - k}\n" for k in range(N)),
        "item_id,place,title\n" + "".join(f"i{k},{8 - k},T\n" for k in range(N)),
        "item_id,rank\n" + "".join(f"i{k},{9 - k}\n" for k in range(N)),
        "item_id,row\n" + "".join(f"i{k},{k}\n" for k in range(N - 1)),
        '{"i4": 0, "i4": 1}',
        json.dumps({MIXED[k]: k for k in ORDER}),
        json.dumps({k: MIXED[k] for k in ORDER}),
        json.dumps(dict.fromkeys(WORDS, 5)),
    ],
)
def test_ambiguous_lists_are_refused(tmp_path: Path, content: str) -> None:
    ids = MIXED if content.startswith("{") else WORDS
    refused(listed(tmp_path, ids, write(tmp_path / "l.csv", content)), "l.csv")
    title = "item_id,title\n" + "".join(f"{k},T\n" for k in ORDER)
    refused(listed(tmp_path, MIXED, write(tmp_path / "t.csv", title)), "cannot tell the row")


@pytest.mark.parametrize("ids", [WORDS, MIXED, SPARSE, [f"{k:03d}" for k in range(N)]])
def test_one_id_per_line_is_the_order_of_the_rows(tmp_path: Path, ids: list[str]) -> None:
    numbered = "".join(f"{row},{token}\n" for row, token in enumerate(ids))
    plain = "\n".join(ids) + "\n"
    for content in (plain, f"item_id\n{plain}", f",0\n{numbered}"):
        check_listed(tmp_path, ids, write(tmp_path / "l.txt", content))


@pytest.mark.parametrize(
    "form",
    [
        "Film {}, The",
        "{},5",
        "a;{}",
        "a|{}",
        "a::{}",
        "film number {}",
        'say "{}"',
        '"{}"',
        "a  {}",
    ],
)
@pytest.mark.parametrize("header", ["", "sku\n", "item_id\n"])
def test_separators_and_quote_marks_are_part_of_the_ids(
    tmp_path: Path, form: str, header: str
) -> None:
    """Also beside ids without them, and where some rows are of items without interaction."""
    for ids in ([form.format(k) for k in range(N)], [*WORDS[:4], *map(form.format, range(4, N))]):
        escaped = ['"{}"'.format(token.replace('"', '""')) for token in ids]
        rows = [f"u{user},{token}" for user in range(2) for token in escaped[1:]]
        np.save(tmp_path / "m.npy", MATRIX)
        listing = write(tmp_path / "l.txt", header + "\n".join(ids) + "\n\n")
        content = "\n".join(["user_id,item_id", *rows, ""])
        given = ("--features", f"v={tmp_path / 'm.npy'}", "--feature-ids", listing)
        passed(table(tmp_path, content, *given, "--fix", "drop-unrated"))
        expected = {token: MATRIX[k].tolist() for k, token in enumerate(ids) if k}
        assert features(tmp_path / "out", "v") == expected
        if header != "sku\n":
            write(listing, header + "\n".join(ids[:-1]) + "\n")
            refused(table(tmp_path, content, *given), "9 rows for 8 ids")


def test_quote_marks_of_a_csv_writer_are_no_part_of_ids_without_interactions(
    tmp_path: Path,
) -> None:
    """It encloses only cells with commas, here that of an item without interactions."""
    ids = [*WORDS[: N - 1], "Film, The"]
    np.save(tmp_path / "m.npy", MATRIX)
    listing = write(tmp_path / "l.txt", "\n".join(["item_id", *ids[:-1], '"Film, The"', ""]))
    content = "\n".join(["user_id,item_id", *(f"u{u},{i}" for u in "ab" for i in ids[:-1]), ""])
    given = ("--features", f"v={tmp_path / 'm.npy'}", "--feature-ids", listing)
    passed(table(tmp_path, content, *given, "--fix", "keep-unrated"))
    assert features(tmp_path / "out", "v") == dict(zip(ids, MATRIX.tolist(), strict=True))


def test_the_interactions_decide_whether_lines_have_cells(tmp_path: Path) -> None:
    """`Film 3` is an item, `Film 3;T` is none."""
    ids = [f"Film {k}" for k in range(N)]
    titled = ("".join(line.format(token) for token in ids) for line in ("{};T\n", '"{}",5\n'))
    for content in (lines(ids, None, "{k},{i}"), *titled):
        check_listed(tmp_path, ids, write(tmp_path / "l.txt", content))


def test_a_line_above_the_ids_is_a_header_unless_it_is_an_item(tmp_path: Path) -> None:
    plain = "\n".join(WORDS) + "\n"
    for header in ("sku", "Produkt-Nr"):
        check_listed(tmp_path, WORDS, write(tmp_path / "l.txt", f"{header}\n{plain}"))
    for line in ("i3", "5"):
        path = write(tmp_path / "l.txt", f"{line}\n{plain}")
        refused(listed(tmp_path, WORDS, path), "9 rows for 10 ids")
    for first in ("abc", "7a"):
        ids = [first, *(str(100 + k) for k in range(N - 1))]
        check_listed(tmp_path, ids, write(tmp_path / "l.txt", "\n".join(ids) + "\n"))


@pytest.mark.parametrize("column", ["year", "title", "imdbId", "id"])
def test_other_columns_do_not_hold_row_indices(tmp_path: Path, column: str) -> None:
    value = {"year": "199{}", "title": "T{}", "imdbId": "11470{}", "id": "88{}"}[column]
    rows = [f"{token},{value.format(k % 4)}" for k, token in enumerate(WORDS)]
    content = "\n".join([f"item_id,{column}", *rows, ""])
    check_listed(tmp_path, WORDS, write(tmp_path / "l.csv", content))


@pytest.mark.parametrize("form", ["map", "from 1", "reversed", "list", "records", "parquet", "npz"])
def test_lists_in_json_and_binary_files(tmp_path: Path, form: str) -> None:
    frame = pd.DataFrame({"item_id": [WORDS[k] for k in ORDER], "row": ORDER})
    path = tmp_path / f"l.{form}"
    if form == "parquet":
        frame.to_parquet(path)
    elif form == "npz":
        np.savez(path, item_id=frame["item_id"].to_numpy(str), row=np.array(ORDER))
    else:
        value = {
            "map": {WORDS[k]: k for k in ORDER},
            "from 1": {WORDS[k]: k + 1 for k in ORDER},
            "reversed": {k: WORDS[k] for k in ORDER},
            "list": WORDS,
            "records": frame.to_dict("records"),
        }[form]
        write(path, json.dumps(value))
    check_listed(tmp_path, WORDS, path)


def test_ids_and_rows_beside_a_matrix(tmp_path: Path) -> None:
    """The arrays of an .npz file, and the lists beside a .npy file."""
    np.save(tmp_path / "m.npy", MATRIX)
    write(tmp_path / "m.ids.csv", lines(WORDS, "item_id,row", "{i},{k}"))
    check_vectors(tmp_path, WORDS, tmp_path / "m.npy")
    tokens = np.array([WORDS[k] for k in ORDER])
    np.savez(tmp_path / "n.npz", features=MATRIX, item_id=tokens, row=np.array(ORDER))
    check_vectors(tmp_path, WORDS, tmp_path / "n.npz")


def test_the_column_that_matches_the_interactions_holds_the_ids(tmp_path: Path) -> None:
    """``org_id`` comes before ``remap_id``, but the interactions hold the latter."""
    content = "org_id,remap_id\n" + "".join(f"{5000 + 3 * k},{k}\n" for k in ORDER)
    path = write(tmp_path / "l.csv", content)
    refused(listed(tmp_path, MIXED, path), "`remap_id` holds 9 items", "--feature-id-column")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["itemId", "id", "key", "Item ID"])
def test_a_usual_name_is_found_anywhere(tmp_path: Path, kind: str, name: str) -> None:
    """Also beside an index of pandas, which holds the row numbers of other items."""
    frame = pd.DataFrame(MATRIX[ORDER], columns=["p", "q", "r"])
    frame[name] = [MIXED[k] for k in ORDER]
    path = tmp_path / f"f.{kind}"
    for index in (False, True):
        frame.to_parquet(path, index=index) if kind == "parquet" else frame.to_csv(
            path, index=index
        )
        options = () if name in ("itemId", "Item ID") else ("--feature-id-column", name)
        check_vectors(tmp_path, MIXED, path, *options)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_the_named_column_is_used_and_must_exist(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"f.{kind}"
    tokens = np.array([MIXED[k] for k in ORDER])
    if kind == "npz":
        np.savez(path, film=tokens, item_id=np.arange(N), m=MATRIX[ORDER])
    else:
        frame = pd.DataFrame(MATRIX[ORDER], columns=["p", "q", "r"])
        frame = frame.assign(item_id=range(N), film=tokens)
        frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    check_vectors(tmp_path, MIXED, path, "--feature-id-column", "film")
    result = with_vectors(tmp_path, MIXED, path, "--feature-id-column", "flim")
    refused(result, "no id column `flim` among ", "item_id")


def test_the_encoding_applies_to_feature_files(tmp_path: Path) -> None:
    events = write(tmp_path / "e.csv", "user,item\na,é\na,ö\nb,é\n".encode("latin-1"))
    vectors = write(tmp_path / "f.csv", "p,q,item\n1,2,é\n2,1,ö\n".encode("latin-1"))
    np.save(tmp_path / "m.npy", np.array([[1.0, 2.0], [2.0, 1.0]]))
    ids = write(tmp_path / "ids.txt", "é\nö\n".encode("latin-1"))
    base = ("table", "--input", events, "--encoding", "latin-1", "--output", tmp_path / "out")
    files = ("--features", f"v={vectors}", "--features", f"m={tmp_path / 'm.npy'}")
    done(*base, *files, "--feature-ids", ids)
    for modality in "vm":
        assert features(tmp_path / "out", modality) == {"é": [1.0, 2.0], "ö": [2.0, 1.0]}


@pytest.mark.parametrize("name", ["id", "film"])
def test_texts_and_titles_take_the_same_columns(tmp_path: Path, name: str) -> None:
    stories, items = ["a cat sleeps", "the cat eats", "rockets fly", "the moon"], [44, 0, 2, 1]
    path = tmp_path / "t.csv"
    pd.DataFrame({"title": stories, name: items}).to_csv(path)
    events = write(tmp_path / "e.csv", "user,item\na,44\na,0\nb,2\nb,1\na,1\n")
    base = ("extract", "--input", events, "--output", tmp_path / "out", "--force")
    texts: tuple[Any, ...] = ("--text", f"t={path}", "--text-size", 2)
    if name == "film":
        refused(prepare(*base, *texts), "no id column among (no name), title, film")
        texts += ("--feature-id-column", name)
    done(*base, *texts)
    expected = encode_texts(stories, "tfidf", 2).matrix.tolist()
    assert features(tmp_path / "out", "t") == dict(zip(map(str, items), expected, strict=True))
    result = prepare(*base, *texts, "--items", path)
    if name == "film":
        refused(result, "call it item_id in the file")
    else:
        passed(result)
        titles = (tmp_path / "out" / "out.item").read_text().splitlines()[1:]
        assert titles == [f"{n}\t{story}" for n, story in zip(items, stories, strict=True)]


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (("a", "i", "item_id"), None, "item_id"),
        (("a", "i"), None, "i"),
        (("index", "id"), None, "id"),
        (("id", "item"), None, "item"),
        (("id", "item"), "film", None),
        (("", "a"), None, None),
    ],
)
def test_names_of_ids(names: tuple[str, ...], wanted: str | None, found: str | None) -> None:
    assert find_id(names, wanted) == found
    assert not any(map(is_label, ["i", "key", "p", "0", "f_1"]))
    assert all(map(is_label, ["", " ", "Unnamed: 0", "index", "id", "item_id"]))
