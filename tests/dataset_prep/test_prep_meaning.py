"""What a column means is not assumed: ratings of 0 or less and missing ids must be answered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prep_support import Result, done, inter, pairs, prepare, write

USERS, ITEMS = ("a", "b", "c", "d"), ("x", "y", "x", "y")


def table(folder: Path, name: str, cells: list[str], *options: str) -> Result:
    rows = zip(USERS, ITEMS, cells, strict=False)
    content = "".join(f"{user};{item};{cell}\n" for user, item, cell in rows)
    path = write(folder / "e.csv", f"user;item;{name}\n" + content)
    return prepare("table", "--input", path, "--output", folder / "out", "--force", *options)


@pytest.mark.parametrize(
    ("name", "cells", "least"),
    [
        ("click", ["0", "1", "1", "0"], "1"),
        ("is_click", ["yes", "no", "yes", "no"], "1"),
        ("label", ["1.0", "0.0", "1.0", "0.0"], "1"),
        ("liked", ["True", "False", "false", "true"], "1"),
        ("like", ["-1", "1", "-1", "1"], "1"),
        ("rating", ["-1", "7", "10", "0"], "1"),
        ("Book-Rating", ["0", "0", "8", "9"], "1"),
        ("watch_ratio", ["0", "0.5", "1.25", "0"], "0.5"),
        ("interaction", ["0", "1", "1", "0"], "1"),
        ("implicit", ["0", "1", "1", "0"], "1"),
        ("finish", ["0", "1", "1", "0"], "1"),
        ("stars", ["0,0", "4,5", "3", "-1"], "3"),
    ],
)
def test_ratings_of_zero_or_less_must_be_answered(
    tmp_path: Path, name: str, cells: list[str], least: str
) -> None:
    refusal = table(tmp_path, name, cells).refusal
    assert "2 of 4 rows" in refusal and f"`{name}`" in refusal
    assert f"--min-rating {least}" in refusal and "--fix keep-nonpositive" in refusal
    assert not (tmp_path / "out").exists()
    assert table(tmp_path, name, cells, "--min-rating", least).code == 0
    assert len(pairs(tmp_path / "out")) == 2
    assert table(tmp_path, name, cells, "--fix", "keep-nonpositive").code == 0
    assert len(pairs(tmp_path / "out")) == 4
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["provenance"]["repairs"][0]["count"] == 2


def test_a_decision_and_a_repair_are_told_together(tmp_path: Path) -> None:
    refusal = table(tmp_path, "rating", ["0", "", "1", "1"]).refusal
    assert "and 1 more" in refusal and "--min-rating 1" in refusal
    assert "--fix drop-rows" in refusal
    assert table(tmp_path, "rating", ["0", "", "1", "1"], "--fix", "drop-rows").code == 2
    fixed = ("--fix", "drop-rows", "--min-rating", "1")
    assert table(tmp_path, "rating", ["0", "", "1", "1"], *fixed).code == 0
    assert pairs(tmp_path / "out") == [("c", "x"), ("d", "y")]


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet", "npy", "npz", "split"])
def test_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"e.{'npz' if kind == 'split' else kind}"
    records = [{"user_id": n, "item_id": n % 2, "label": n % 2 == 0} for n in range(4)]
    rows = np.array([[n, n % 2, n % 2] for n in range(4)])
    if kind == "json":
        write(path, json.dumps(records))
    elif kind == "jsonl":
        write(path, "\n".join(map(json.dumps, records)) + "\n")
    elif kind == "parquet":
        pd.DataFrame(records).to_parquet(path)
    elif kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, user=rows[:, 0], item=rows[:, 1], rating=rows[:, 2])
    else:
        np.savez(path, train=rows, test=rows[:0])
    refusal = prepare("table", "--input", path, "--output", tmp_path / "out").refusal
    assert "2 of 4 rows have a rating of 0 or less" in refusal


def test_a_rating_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for cells, shown in ((["1,234", "2,500"], "1,234"), (["5", "five"], "five")):
        refusal = table(tmp_path, "rating", cells).refusal
        assert repr(shown) in refusal and "line" in refusal
        assert "holds no interaction" not in refusal


def test_a_column_of_words_is_no_rating_unless_it_is_named(tmp_path: Path) -> None:
    words = ["view", "click", "view", "buy"]
    result = table(tmp_path, "interaction", words)
    assert result.code == 0 and "`interaction` holds no rating" in result.out
    assert "rating" not in inter(tmp_path / "out")
    assert (
        "'view'" in table(tmp_path, "interaction", words, "--rating-column", "interaction").refusal
    )
    assert "'view'" in table(tmp_path, "rating", words).refusal


@pytest.mark.parametrize("word", ["NA", "null", "None", "NaN"])
def test_words_that_read_as_missing_are_no_silent_loss(tmp_path: Path, word: str) -> None:
    rows = "".join(f"u{n},i{n}\n" for n in range(20))
    path = write(tmp_path / "e.csv", f"user,item\n{rows}u0,{word}\n")
    given = ("table", "--input", path, "--output", tmp_path / "out")
    refusal = prepare(*given).refusal
    assert repr(word) in refusal and "--fix drop-rows" in refusal
    done(*given, "--fix", "drop-rows")
    assert len(pairs(tmp_path / "out")) == 20


def test_many_missing_ids_are_a_fault_and_few_a_count(tmp_path: Path) -> None:
    few = write(tmp_path / "few.csv", "user,item\n" + "u,i\n" * 9 + "u,\n")
    assert " 9 " in done("table", "--input", few, "--output", tmp_path / "few").out
    many = write(tmp_path / "many.csv", "user,item\n" + "u,\n" * 9 + "u,i\n")
    given = ("table", "--input", many, "--output", tmp_path / "many")
    assert "9 of 10 rows have no user or no item id" in prepare(*given).refusal
    done(*given, "--fix", "drop-rows")
    assert pairs(tmp_path / "many") == [("u", "i")]


def test_ids_stay_as_they_are(tmp_path: Path) -> None:
    ids = ["1e5", "007", "1_000", "0x10", "True", "1.50", "+3", "12345678901234567890"]
    path = write(tmp_path / "e.csv", "user,item\n" + "".join(f"u,{i}\n" for i in ids))
    done("table", "--input", path, "--output", tmp_path / "out")
    assert inter(tmp_path / "out")["item_id"].tolist() == ids


@pytest.mark.parametrize(
    "names",
    [
        ("User-ID", "ISBN", "Book-Rating", None),
        ("userID", "artistID", "weight", None),
        ("user_id", "anime_id", "rating", None),
        ("user_id", "business_id", "stars", "date"),
        ("reviewerID", "asin", "overall", "unixReviewTime"),
        ("user_id", "parent_asin", "rating", "timestamp"),
        ("USERID", "Video ID", "Watch.Ratio", "Time"),
        ("visitorid", "itemid", None, "timestamp"),
        ("userId", "movieId", "playCount", "ts"),
    ],
)
def test_names_that_people_give_columns(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    cells = ("u1", "i1", "3", "5")
    taken = [(name, cell) for name, cell in zip(names, cells, strict=True) if name]
    content = "\n".join(",".join(part) for part in zip(*taken, strict=True)) + "\n"
    path = write(
        tmp_path / "e.csv", f"extra,{content.splitlines()[0]}\nz,{content.splitlines()[1]}\n"
    )
    done("table", "--input", path, "--output", tmp_path / "out")
    assert inter(tmp_path / "out").to_numpy().tolist() == [[cell for _, cell in taken]]


def test_a_log_names_its_malformed_cells(tmp_path: Path) -> None:
    """Flags that are neither 0 nor 1, and times to the last digit."""
    rows = ["1\t7\t{}\t0\t0\t{}\t3\t9", "2\t7\t{}\t0\t0\t{}\t3\t9", "2\t8\t{}\t0\t0\t{}\t3\t9"]
    log = tmp_path / "in" / "train_interaction.txt"
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "visual.npy", np.eye(2))
    np.save(tmp_path / "in" / "visual.ids.npy", np.array([7, 8]))
    given = ("kwai", "--input", tmp_path / "in", "--visual", tmp_path / "in" / "visual.npy")
    given += ("--output", tmp_path / "out")
    times = [2**60 + n for n in range(3)]

    def filled(*flags: object) -> str:
        return "".join(
            f"{row.format(*pair)}\n"
            for row, pair in zip(rows, zip(flags, times, strict=True), strict=True)
        )

    write(log, filled("1", "yes", "1"))
    assert "in column `click`, first line 2 ('yes')" in prepare(*given).refusal
    write(log, filled("2", "2", "2"))
    assert "no row could be read" in prepare(*given).refusal
    write(log, filled("1", "0", "1"))
    done(*given)
    assert inter(tmp_path / "out")["timestamp"].tolist() == [str(times[0]), str(times[2])]


def test_numbers_are_no_splits_unless_they_are_said_to_be(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user,item,fold\na,x,0\nb,x,0\na,y,2\nb,y,1\n")
    given = ("table", "--input", path, "--output", tmp_path / "out", "--force")
    assert "column `fold` holds '0'" in prepare(*given).refusal
    done(*given, "--part-column", "")
    assert [p.name for p in (tmp_path / "out").glob("*.inter")] == ["out.inter"]
    done(*given, "--part-column", "fold")
    assert pairs(tmp_path / "out", "test") == [("a", "y")]
