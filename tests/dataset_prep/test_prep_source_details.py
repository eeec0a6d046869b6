"""Times, texts and ids of single releases that other values would hide."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from prep_support import Result, done, features, inter, pairs, passed, prepare, refused, write

from dataset_prep.sources import amazon as source

ASIN = [f"B00000000{item}" for item in range(3)]


def amazon(folder: Path, content: str, *options: Any, file: str = "r.json") -> Result:
    given = ("amazon", "--input", write(folder / file, content), "--output", folder / "out")
    return prepare(*given, "--force", *options)


def review(user: int, item: int, time: float, rating: float = 4.0) -> str:
    entry = {"user_id": f"U{user}", "parent_asin": ASIN[item], "rating": rating, "timestamp": time}
    return json.dumps(entry) + "\n"


def test_milliseconds_become_fractions_of_a_second(tmp_path: Path) -> None:
    passed(amazon(tmp_path, review(0, 0, 1588687728923) + review(0, 1, 1588687728001)))
    found = inter(tmp_path / "out")["timestamp"].astype(float).tolist()
    assert found == pytest.approx([1588687728.923, 1588687728.001], abs=1e-4)


@pytest.mark.parametrize(
    ("rating", "time"), [("NaN", "1.5e9"), ("Infinity", "1.5e9"), ("4", '"nan"'), ("1" * 400, "9")]
)
def test_a_review_without_a_finite_number_is_malformed(
    rating: str, time: str, tmp_path: Path
) -> None:
    good = review(0, 0, 1.5e9) + review(0, 1, 1.5e9) + review(1, 1, 1.5e9)
    bad = (
        f'{{"user_id": "U1", "parent_asin": "{ASIN[0]}", "rating": {rating}, "timestamp": {time}}}'
    )
    refused(amazon(tmp_path, good + bad + "\n"), "drop-rows")
    passed(amazon(tmp_path, good + bad + "\n", "--fix", "drop-rows"))
    assert pairs(tmp_path / "out") == [("U0", ASIN[0]), ("U0", ASIN[1]), ("U1", ASIN[1])]


def test_every_block_of_reviews_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_ROWS_PER_BLOCK", 2)
    rows = [(user, item) for user in range(3) for item in range(3) if user != item]
    passed(amazon(tmp_path, "".join(review(u, i, 1.5e9 + u) for u, i in rows)))
    assert pairs(tmp_path / "out") == [(f"U{u}", ASIN[i]) for u, i in rows]


def test_ratings_of_2023_are_of_the_parent(tmp_path: Path) -> None:
    """As the metadata are; the column `asin` is of a variant."""
    rows = "".join(f"U{n},V{n},{ASIN[n]},5,1500000000\n" for n in range(3))
    content = "user_id,asin,parent_asin,rating,timestamp\n" + rows
    passed(amazon(tmp_path, content, file="r.csv"))
    assert pairs(tmp_path / "out") == [(f"U{n}", ASIN[n]) for n in range(3)]


def test_titles_are_part_of_the_texts_and_the_first_entry_counts(tmp_path: Path) -> None:
    entries = [(0, "red car"), (1, "blue car"), (2, "red boat"), (1, "green tree")]
    lines = [json.dumps({"parent_asin": ASIN[n], "title": t, "store": "s"}) for n, t in entries]
    meta = write(tmp_path / "meta.json", "\n".join(lines) + "\n")
    rows = "".join(review(u, i, 1.5e9) for u in range(2) for i in range(3))
    options = ("--metadata", meta, "--text-encoder", "tfidf", "--text-size", 2)
    passed(amazon(tmp_path, rows, *options, "--fix", "drop-columns"))
    assert f"{ASIN[1]}\tblue car\n" in (tmp_path / "out" / "out.item").read_text()
    assert len({tuple(row) for row in features(tmp_path / "out", "textual").values()}) == 3


def mmgcn(folder: Path, **files: Any) -> Result:
    for name, rows in files.items():
        write(folder / "in" / f"{name}.npy", b"")
        np.save(folder / "in" / f"{name}.npy", np.array(rows), allow_pickle=True)
    given = ("--input", folder / "in", "--output", folder / "out", "--force")
    return prepare("mmgcn", *given, "--fix", "drop-unrated")


def test_users_and_items_of_mmgcn_are_counted_over_all_splits(tmp_path: Path) -> None:
    """Neither the last user nor the last item is in the training split."""
    splits = {"train": [[0, 3], [1, 4], [1, 3]], "val_full": [[2, 4]], "test_full": [[0, 5]]}
    passed(mmgcn(tmp_path, **splits, feat_v=np.eye(3) + 1))
    assert pairs(tmp_path / "out") == [("0", "0"), ("1", "1"), ("1", "0"), ("2", "1"), ("0", "2")]
    assert features(tmp_path / "out", "visual")["2"] == [1.0, 1.0, 2.0]
    refused(mmgcn(tmp_path, **splits, feat_v=np.eye(2)), "has 2 rows for 3 items")


@pytest.mark.parametrize("first", [0, 1])
def test_items_of_mmgcn_that_are_not_after_the_users_begin_at_zero(
    tmp_path: Path, first: int
) -> None:
    """Item 1 may be a number of the last user: users are 0 and 1, and items overlap."""
    rows = [[0, first], [1, first + 1], [1, first]]
    passed(mmgcn(tmp_path, train=rows, test_full=[[0, first + 1]]))
    assert pairs(tmp_path / "out", "train") == [(str(u), str(i)) for u, i in rows]


def test_two_matrices_of_one_kind_are_two_modalities(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.savez(folder / "interactions.npz", train=[[1, 31], [2, 31], [1, 5]], test=[[2, 5]])
    write(folder / "feature_rows.tsv", "itemId\n31\n5\n")
    for name, scale in (("visual_a", 1), ("visual_b", 2)):
        np.save(folder / f"{name}.npy", scale * np.array([[1.0, 5.0], [2.0, 3.0]]))
    done("movielens", "--input", folder, "--output", tmp_path / "out")
    assert features(tmp_path / "out", "visual")["31"] == [1.0, 5.0]
    assert features(tmp_path / "out", "visual_b")["31"] == [2.0, 10.0]


def test_the_difference_to_the_paper_has_its_sign(tmp_path: Path) -> None:
    np.savez(tmp_path / "kwai.npz", train=[[0, 0], [0, 1], [1, 1]], test=[[1, 0]])
    out = done("mmgcn", "--input", tmp_path / "kwai.npz", "--output", tmp_path / "out").out
    (line,) = [line.split() for line in out.splitlines() if line.lstrip().startswith("diff")]
    assert line == ["difference", f"{4 - 298_492:+,}", f"{2 - 7_010:+,}", f"{2 - 86_483:+,}"]


def test_dislikes_in_pickled_matrices_are_ratings_of_all_splits(tmp_path: Path) -> None:
    """A matrix of ones beside one with a dislike holds ratings, too."""
    for name, rows in (("trnMat", [[1, 0, 1], [1, 1, 0]]), ("tstMat", [[0, -1, 0], [0, 0, 1]])):
        matrix = sp.coo_matrix(np.array(rows, dtype=np.float64))
        write(tmp_path / "in" / f"{name}.pkl", pickle.dumps(matrix))
    np.save(tmp_path / "in" / "image_feat.npy", np.eye(3) + 1)
    given = ("diffmm", "--input", tmp_path / "in", "--output", tmp_path / "out")
    refused(prepare(*given), "1 of 6 rows have a rating of 0 or less")
    passed(prepare(*given, "--min-rating", 1))
    assert pairs(tmp_path / "out", "test") == [("1", "2")]


def test_titles_of_items_without_interaction_are_not_encoded(tmp_path: Path) -> None:
    rows = "".join(f"{u},{i},9\n" for u in range(3) for i in range(6))
    write(tmp_path / "in" / "x_pairs.csv", "user,item,timestamp\n" + rows)
    titles = "".join(f"{i},clip no {i} kind{i % 3}\n" for i in range(9))
    write(tmp_path / "in" / "x_titles.csv", "item,title\n" + titles)
    given = ("microlens", "--input", tmp_path / "in", "--output", tmp_path / "out")
    done(*given, "--text-encoder", "tfidf", "--text-size", 3, "--fix", "drop-columns")
    assert set(features(tmp_path / "out", "textual")) == set("012345")


def test_users_of_lists_keep_the_order_of_the_file(tmp_path: Path) -> None:
    """As text, user 10 comes before user 2."""
    train = {"2": [0, 1], "10": [2], "1": [1, 2, 3]}
    write(tmp_path / "in" / "train.json", json.dumps(train))
    write(tmp_path / "in" / "test.json", json.dumps({"10": [0]}))
    done("lattice", "--input", tmp_path / "in", "--output", tmp_path / "out")
    expected = [(user, str(item)) for user, items in train.items() for item in items]
    assert pairs(tmp_path / "out", "train") == expected


def test_records_of_unrated_items_may_come_first(tmp_path: Path) -> None:
    rows = np.arange(12, dtype="<f4").reshape(4, 3) ** 2
    names = ["B999999999", ASIN[1], "B888888888", ASIN[0]]
    records = [name.encode() + row.tobytes() for name, row in zip(names, rows, strict=True)]
    visual = write(tmp_path / "v.b", b"".join(records))
    reviews = "".join(review(u, i, 1.5e9) for u in range(2) for i in range(2))
    passed(amazon(tmp_path, reviews, "--visual", visual, "--visual-size", 3))
    expected = {ASIN[1]: rows[1].tolist(), ASIN[0]: rows[3].tolist()}
    assert features(tmp_path / "out", "visual") == expected


def test_how_often_a_title_has_a_word_counts(tmp_path: Path) -> None:
    log = "".join(f"{u}\t1\t{i}\t2\t3\t0\t1\t0\t4\t5\t53000\t10\n" for u in "78" for i in range(4))
    write(tmp_path / "in" / "final_track2_train.txt", log)
    bags = [{"5": 9, "6": 1}, {"5": 1, "6": 9}, {"5": 9, "6": 1}, {"5": 1, "7": 3}]
    lines = [json.dumps({"item_id": i, "title_features": bag}) for i, bag in enumerate(bags)]
    write(tmp_path / "in" / "track2_title.txt", "\n".join(lines) + "\n")
    given = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--text-size", 2)
    done("tiktok", *given)
    found = {item: np.array(row) for item, row in features(tmp_path / "out", "textual").items()}
    np.testing.assert_allclose(found["0"], found["2"], atol=1e-6)
    assert np.abs(found["0"] - found["1"]).max() > 0.1
