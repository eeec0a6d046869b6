"""MMRec, LATTICE and MMSSL: numbered users and items, row i of the features is item i."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, pairs, prepare, write

USERS, ITEMS, WIDTH = 9, 7, 5
SPLIT = {"train": (0, 1, 2), "valid": (3,), "test": (4,)}


def matrix(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(ITEMS, WIDTH))


def liked(user: int, part: str) -> list[int]:
    return [(user + place) % ITEMS for place in SPLIT[part]]


def add_features(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image_feat.npy", matrix(0))
    np.save(folder / "text_feat.npy", matrix(1).astype(np.float32))


def mmrec(folder: Path) -> Path:
    lines = ["userID\titemID\trating\ttimestamp\tx_label"]
    for label, part in enumerate(SPLIT):
        lines += [f"{u}\t{i}\t5.0\t{9 + u}\t{label}" for u in range(USERS) for i in liked(u, part)]
    write(folder / f"{folder.name}.inter", "\n".join(lines) + "\n")
    write(
        folder / "i_id_mapping.csv",
        "asin\titemID\n" + "".join(f"B{item:09d}\t{item}\n" for item in reversed(range(ITEMS))),
    )
    write(
        folder / "u_id_mapping.csv",
        "user_id\tuserID\n" + "".join(f"A{user}\t{user}\n" for user in range(USERS)),
    )
    add_features(folder)
    return folder


def lattice(folder: Path, core: str = "5-core") -> Path:
    for part in SPLIT:
        name = "val" if part == "valid" else part
        lists = {str(user): liked(user, part) for user in range(USERS)}
        write(folder / core / f"{name}.json", json.dumps(lists))
    items = "".join(f"B{item:09d}\t{item}\n" for item in range(ITEMS))
    write(folder / core / "item_list.txt", items)
    write(folder / core / "user_list.txt", "".join(f"A{user}\t{user}\n" for user in range(USERS)))
    add_features(folder)
    return folder


MAKE = {"mmrec": mmrec, "lattice": lattice}


def convert(source: str, folder: Path, *options: Any) -> Result:
    return prepare(source, "--input", folder, "--output", folder.parent / "out", *options)


@pytest.mark.parametrize("source", MAKE)
def test_splits_and_rows_stay_aligned(tmp_path: Path, source: str) -> None:
    result = convert(source, MAKE[source](tmp_path / "baby"))
    assert result.code == 0, result.err
    out = tmp_path / "out"
    for part in SPLIT:
        wanted = {(str(user), str(item)) for user in range(USERS) for item in liked(user, part)}
        assert set(pairs(out, part)) == wanted
    rows = features(out, "visual")
    for item in range(ITEMS):
        assert rows[str(item)] == pytest.approx(matrix(0)[item].tolist(), rel=1e-6)
    assert set(features(out, "textual")) == set(map(str, range(ITEMS)))


@pytest.mark.parametrize("source", MAKE)
def test_original_ids_are_taken_from_the_mapping(tmp_path: Path, source: str) -> None:
    assert convert(source, MAKE[source](tmp_path / "baby"), "--original-ids").code == 0
    rows = features(tmp_path / "out", "visual")
    assert rows["B000000004"] == pytest.approx(matrix(0)[4].tolist(), rel=1e-6)
    assert ("A0", "B000000000") in pairs(tmp_path / "out", "train")


def test_mmssl_keeps_the_lists_beside_the_features(tmp_path: Path) -> None:
    assert convert("lattice", lattice(tmp_path / "tiktok", core=".")).code == 0


@pytest.mark.parametrize("source", MAKE)
@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_rows_filled_with_the_mean_are_found(tmp_path: Path, source: str, kind: Any) -> None:
    folder = MAKE[source](tmp_path / "baby")
    filled = matrix(0)
    filled[[2, 5]] = np.delete(filled, [2, 5], axis=0).mean(axis=0)
    np.save(folder / "image_feat.npy", filled.astype(kind))
    refusal = convert(source, folder).refusal
    assert "2 items have a row without content, first '2'" in refusal and "drop-rows" in refusal
    assert convert(source, folder, "--fix", "drop-rows").code == 0
    assert set(features(tmp_path / "out", "visual")) == {"0", "1", "3", "4", "6"}


def test_equal_rows_that_are_not_the_mean_stay(tmp_path: Path) -> None:
    folder = mmrec(tmp_path / "baby")
    twins = matrix(0)
    twins[5] = twins[2]
    np.save(folder / "image_feat.npy", twins)
    assert convert("mmrec", folder).code == 0


@pytest.mark.parametrize("source", MAKE)
def test_cut_features_are_refused(tmp_path: Path, source: str) -> None:
    folder = MAKE[source](tmp_path / "baby")
    np.save(folder / "image_feat.npy", matrix(0)[:-1])
    assert "has 6 rows for 7 items" in convert(source, folder).refusal
    whole = (folder / "text_feat.npy").read_bytes()
    add_features(folder)
    (folder / "text_feat.npy").write_bytes(whole[:-7])
    assert "text_feat.npy: cut or not a NumPy file" in convert(source, folder).refusal


def test_pickled_features_are_refused(tmp_path: Path) -> None:
    folder = mmrec(tmp_path / "baby")
    np.save(folder / "image_feat.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert "Python objects" in convert("mmrec", folder).refusal


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"0": [1, 2], "1": [3', "cut or no JSON"),
        ('{"0": [1], "0": [2]}', "'0' is there twice"),
        ("[[1, 2]]", "must map users to lists"),
        ('{"0": 5}', "must map users to lists"),
        ('{"0": ["B1"]}', "not a number from 0"),
        ("", "cut or no JSON"),
    ],
)
def test_damaged_lists_are_refused(tmp_path: Path, content: str, word: str) -> None:
    folder = lattice(tmp_path / "sports")
    write(folder / "5-core" / "train.json", content)
    assert word in convert("lattice", folder).refusal


def test_lists_follow_the_encoding(tmp_path: Path) -> None:
    folder = lattice(tmp_path / "sports")
    for path in (folder / "5-core").glob("*.json"):
        path.write_bytes(path.read_text().encode("utf-16-le"))
    assert "cut or no JSON" in convert("lattice", folder).refusal
    assert convert("lattice", folder, "--encoding", "utf-16-le").code == 0


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("itemID\tasin", "{i}\tB{i:09d}"),
        ("\tasin\titemID", "{i}\tB{i:09d}\t{i}"),
        ("", "B{i:09d}\t{i}"),
    ],
)
def test_the_column_of_numbers_is_found(tmp_path: Path, header: str, line: str) -> None:
    folder = mmrec(tmp_path / "baby")
    rows = [line.format(i=item) for item in (3, 0, 6, 2, 5, 1, 4)]
    content = "\n".join([*([header] if header else []), *rows, ""])
    write(folder / "i_id_mapping.csv", content)
    result = convert("mmrec", folder, "--original-ids")
    assert result.code == 0, result.err
    found = features(tmp_path / "out", "visual")
    expected = {f"B{i:09d}": pytest.approx(matrix(0)[i].tolist(), rel=1e-6) for i in range(ITEMS)}
    assert found == expected
    write(folder / "i_id_mapping.csv", "asin\tname\nB1\tx\nB2\ty\n")
    refusal = convert("mmrec", folder, "--original-ids", "--force").refusal
    assert "neither asin nor name holds numbers" in refusal


@pytest.mark.parametrize("number", ["7" * 5000, "²", "-1", "1.5"])
def test_an_item_that_is_no_row_number_is_named(tmp_path: Path, number: str) -> None:
    folder = mmrec(tmp_path / "baby")
    path = folder / "baby.inter"
    path.write_text(path.read_text().replace("0\t0\t5.0", f"0\t{number}\t5.0", 1), "utf-8")
    refusal = convert("mmrec", folder).refusal
    assert "baby.inter" in refusal and "not a number from 0" in refusal and len(refusal) < 500
