"""MMRec, LATTICE and MMSSL: numbered users and items, row i of the features is item i."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, pairs, passed, prepare, refused, write

USERS, ITEMS, WIDTH = 9, 7, 5
SPLIT = {"train": (0, 1, 2), "valid": (3,), "test": (4,)}
MATRIX = np.random.default_rng(0).normal(size=(ITEMS, WIDTH))
ASIN = [f"B{item:09d}" for item in range(ITEMS)]
ROWS = {name: pytest.approx(MATRIX[item].tolist(), rel=1e-6) for item, name in enumerate(ASIN)}


def liked(user: int, part: str) -> list[int]:
    return [(user + n) % ITEMS for n in SPLIT[part]]


def add_features(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image_feat.npy", MATRIX)
    np.save(folder / "text_feat.npy", MATRIX.astype(np.float32))
    return folder


def mmrec(folder: Path) -> Path:
    lines = ["userID\titemID\trating\ttimestamp\tx_label"]
    for label, part in enumerate(SPLIT):
        lines += [f"{u}\t{i}\t5.0\t{9 + u}\t{label}" for u in range(USERS) for i in liked(u, part)]
    write(folder / f"{folder.name}.inter", "\n".join(lines) + "\n")
    items = "".join(f"{ASIN[i]}\t{i}\n" for i in reversed(range(ITEMS)))
    write(folder / "i_id_mapping.csv", "asin\titemID\n" + items)
    users = "".join(f"A{user}\t{user}\n" for user in range(USERS))
    write(folder / "u_id_mapping.csv", "user_id\tuserID\n" + users)
    return add_features(folder)


def lattice(folder: Path, core: str = "5-core") -> Path:
    for part in SPLIT:
        lists = {str(user): liked(user, part) for user in range(USERS)}
        write(folder / core / f"{part.replace('valid', 'val')}.json", json.dumps(lists))
    write(folder / core / "item_list.txt", "".join(f"{a}\t{i}\n" for i, a in enumerate(ASIN)))
    write(folder / core / "user_list.txt", "".join(f"A{user}\t{user}\n" for user in range(USERS)))
    return add_features(folder)


MAKE = {"mmrec": mmrec, "lattice": lattice}


def convert(source: str, folder: Path, *options: Any) -> Result:
    out = folder.parent / "out"
    return prepare(source, "--input", folder, "--output", out, "--force", *options)


@pytest.mark.parametrize("source", MAKE)
def test_splits_rows_and_original_ids(tmp_path: Path, source: str) -> None:
    folder, out = MAKE[source](tmp_path / "baby"), tmp_path / "out"
    passed(convert(source, folder))
    for part in SPLIT:
        wanted = {(str(user), str(item)) for user in range(USERS) for item in liked(user, part)}
        assert set(pairs(out, part)) == wanted
    assert features(out, "visual") == {str(i): ROWS[a] for i, a in enumerate(ASIN)}
    assert set(features(out, "textual")) == set(map(str, range(ITEMS)))
    passed(convert(source, folder, "--original-ids"))
    assert features(out, "visual") == ROWS
    assert ("A0", ASIN[0]) in pairs(out, "train")


def test_mmssl_has_the_lists_beside_the_features(tmp_path: Path) -> None:
    passed(convert("lattice", lattice(tmp_path / "tiktok", core=".")))


@pytest.mark.parametrize("source", MAKE)
@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_rows_filled_with_the_mean_have_no_content(tmp_path: Path, source: str, kind: Any) -> None:
    folder, filled = MAKE[source](tmp_path / "baby"), MATRIX.copy()
    filled[5] = filled[2]
    np.save(folder / "image_feat.npy", filled)
    passed(convert(source, folder))
    # A larger group of equal rows, such as of a placeholder, is content.
    filled[[0, 1, 3]] = filled[0]
    filled[[2, 5]] = np.delete(filled, [2, 5], axis=0).mean(axis=0)
    np.save(folder / "image_feat.npy", filled.astype(kind))
    refused(convert(source, folder), "2 items have a row without content, first '2'", "drop-rows")
    passed(convert(source, folder, "--fix", "drop-rows"))
    assert set(features(tmp_path / "out", "visual")) == {"0", "1", "3", "4", "6"}


@pytest.mark.parametrize("source", MAKE)
def test_damaged_features_are_refused(tmp_path: Path, source: str) -> None:
    folder = MAKE[source](tmp_path / "baby")
    np.save(folder / "image_feat.npy", MATRIX[:-1])
    refused(convert(source, folder), "has 6 rows for 7 items")
    np.save(folder / "image_feat.npy", np.array([{"a": 1}]), allow_pickle=True)
    refused(convert(source, folder), "Python objects")
    add_features(folder)
    write(folder / "text_feat.npy", (folder / "text_feat.npy").read_bytes()[:-7])
    refused(convert(source, folder), "text_feat.npy: cut or not a NumPy file")


@pytest.mark.parametrize(
    "content",
    [
        *('{"0": [1, 2], "1": [3', '{"0": [1], "0": [2]}', "[[1, 2]]", '{"0": 5}'),
        *('{"0": ["B1"]}', '{"0": [-1]}', ""),
    ],
)
def test_damaged_lists_are_refused(tmp_path: Path, content: str) -> None:
    folder = lattice(tmp_path / "sports")
    write(folder / "5-core" / "train.json", content)
    refused(convert("lattice", folder), "train.json")


def test_the_encoding_applies_to_lists(tmp_path: Path) -> None:
    folder = lattice(tmp_path / "sports")
    for path in (folder / "5-core").glob("*.json"):
        path.write_bytes(path.read_text().encode("utf-16-le"))
    refused(convert("lattice", folder), "not JSON")
    passed(convert("lattice", folder, "--encoding", "utf-16-le"))


@pytest.mark.parametrize(
    ("header", "line"),
    [("itemID\tasin\n", "{i}\t{a}\n"), ("\tasin\titemID\n", "{i}\t{a}\t{i}\n"), ("", "{a}\t{i}\n")],
)
def test_the_column_of_numbers_is_found(tmp_path: Path, header: str, line: str) -> None:
    folder = mmrec(tmp_path / "baby")
    rows = [line.format(i=item, a=ASIN[item]) for item in (3, 0, 6, 2, 5, 1, 4)]
    write(folder / "i_id_mapping.csv", header + "".join(rows))
    passed(convert("mmrec", folder, "--original-ids"))
    assert features(tmp_path / "out", "visual") == ROWS
    write(folder / "i_id_mapping.csv", "asin\tname\nB1\tx\nB2\ty\n")
    refused(convert("mmrec", folder, "--original-ids"), "neither asin nor name holds numbers")


@pytest.mark.parametrize("number", ["7" * 5000, "²", "-1", "1.5"])
def test_an_item_that_is_not_a_row_index_is_refused(tmp_path: Path, number: str) -> None:
    folder = mmrec(tmp_path / "baby")
    path = folder / "baby.inter"
    path.write_text(path.read_text().replace("0\t0\t5.0", f"0\t{number}\t5.0", 1), "utf-8")
    assert len(refused(convert("mmrec", folder), "baby.inter", "not a number from 0")) < 500


def test_a_list_that_does_not_name_all_numbers_is_refused(tmp_path: Path) -> None:
    """The others would stay numbers, which may be ids of other users."""
    folder = mmrec(tmp_path / "baby")
    path = folder / "u_id_mapping.csv"
    write(path, "org\tuserID\n" + "".join(f"{100 + u}\t{u}\n" for u in range(USERS - 1)))
    refused(convert("mmrec", folder, "--original-ids"), "no id for 1 of 9 numbers", "first 8")
    write(path, "userID\torg\n" + "".join(f"{u}\t{100 + u}\n" for u in range(USERS)))
    refused(convert("mmrec", folder, "--original-ids"), "no id for 9 of 9 numbers")
