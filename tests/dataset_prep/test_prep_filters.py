"""Filters and splits: exact, counted, in the documented order; other rows are refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import (
    done,
    features,
    inter,
    manifest,
    pairs,
    passed,
    prepare,
    refused,
    table,
    write,
)

from dataset_prep.fix.filters import Filters, clean, k_core
from dataset_prep.interactions import PARTS, InteractionBuilder, Interactions
from dataset_prep.report import Report

EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


def built(edges: list[tuple[int, int]]) -> Interactions:
    builder = InteractionBuilder()
    array = np.array(edges)
    builder.add(array[:, 0], array[:, 1])
    return builder.finish("test", Report())


def naive_core(edges: list[tuple[int, int]], user_core: int, item_core: int) -> list[int]:
    """Drop one sparse user or item at a time until none is left."""
    alive = list(range(len(edges)))
    while True:
        users = Counter(edges[n][0] for n in alive)
        items = Counter(edges[n][1] for n in alive)
        bad = [n for n in alive if users[edges[n][0]] < user_core or items[edges[n][1]] < item_core]
        if not bad:
            return alive
        alive.remove(bad[0])


@given(EDGES, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_k_core_is_the_largest_one(
    edges: list[tuple[int, int]], user_core: int, item_core: int
) -> None:
    edges = list(dict.fromkeys(edges))
    found = np.flatnonzero(k_core(built(edges), user_core, item_core)).tolist()
    assert found == naive_core(edges, user_core, item_core)


def test_counts_after_every_step(tmp_path: Path) -> None:
    rows = "user,item,rating\na,x,5\na,x,4\na,y,2\nb,x,4\nb,,5\nb,z,5\nc,z,5\nc,x,3\n"
    option = ("--features", f"v={write(tmp_path / 'f.csv', 'item,a' + chr(10) + 'x,1' + chr(10))}")
    option += ("--min-rating", "3", "--all-modalities", "--k-core", "2", "--user-core", "1")
    passed(table(tmp_path, rows, *option, "--fix", "keep-constant"))
    steps = manifest(tmp_path / "out")["provenance"]["steps"]
    assert [tuple(step.values()) for step in steps] == [
        ("read", 8, 3, 3),
        ("without missing ids", 7, 3, 3),
        ("rating >= 3", 6, 3, 2),
        ("without duplicates", 5, 3, 2),
        ("items with all modalities", 3, 3, 1),
        ("1/2-core", 3, 3, 1),
    ]
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("c", "x")]
    assert list(features(tmp_path / "out", "v")) == ["x"]


LOG = "user,item,rating,timestamp\na,x,5,30\na,y,4,20\na,x,4,10\nb,x,3,40\na,x,1,10\na,x,2,5\n"


@pytest.mark.parametrize(
    ("options", "kept", "note"),
    [
        ((), "a y 4 20, b x 3 40, a x 2 5", "3 rows repeat a (user, item) pair; the earliest row"),
        (("--min-rating", 3), "a y 4 20, a x 4 10, b x 3 40", "1 rows repeat"),
        (("--time-column", ""), "a x 5, a y 4, b x 3", "; the first row of each pair is kept"),
    ],
)
def test_the_earliest_row_of_a_pair_is_kept(
    tmp_path: Path, options: tuple[Any, ...], kept: str, note: str
) -> None:
    """The log is newest first; the rows that are left keep the order of the file."""
    out = passed(table(tmp_path, LOG, *options)).out
    rows = inter(tmp_path / "out").to_numpy().tolist()
    assert ", ".join(map(" ".join, rows)) == kept
    assert any(line.startswith("note: e.csv: ") and note in line for line in out.splitlines())


PAIR = [st.integers(0, 1)] * 2
TIMED = st.lists(st.tuples(*PAIR, st.integers(0, 3), st.sampled_from(PARTS)), min_size=6)


@given(TIMED, st.booleans(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_one_row_of_a_pair_is_kept(
    rows: list[tuple[int, int, int, str]], timed: bool, split: bool
) -> None:
    builder = InteractionBuilder()
    for user, item, time, part in rows:
        times = np.array([time]) if timed else None
        builder.add(np.array([user]), np.array([item]), None, times, part if split else None)
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for row, (user, item, time, part) in enumerate(rows):
        key = (PARTS.index(part) * split, time * timed, row)
        best[user, item] = min(best.get((user, item), key), key)
    left = clean(builder.finish("test", Report()), Filters(), Report()).rows
    assert left.index.tolist() == sorted(row for *_, row in best.values())


def test_ids_are_right_after_the_first_ones_are_removed(tmp_path: Path) -> None:
    passed(table(tmp_path, "user,item\nlone,rare\na,x\nb,x\na,y\nb,y\n", "--k-core", "2"))
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]


def test_all_modalities_keeps_items_that_every_modality_has(tmp_path: Path) -> None:
    """x has both, y the first alone, z the second alone, w none."""
    options = ["--all-modalities", "--fix", "keep-constant"]
    for name, rows in (("v", "item,a,b\nx,1,2\ny,2,1\n"), ("t", "item,a,b\nx,3,1\nz,1,3\n")):
        options += ["--features", f"{name}={write(tmp_path / f'{name}.csv', rows)}"]
    passed(table(tmp_path, "user,item\na,x\na,y\nb,x\nb,z\nc,w\nc,x\n", *options))
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("c", "x")]
    for name in ("v", "t"):
        assert list(features(tmp_path / "out", name)) == ["x"]


def test_filters_that_cannot_be_applied_are_refused(tmp_path: Path) -> None:
    for options, word in (
        (("--k-core", "3"), "left after `3/3-core`"),
        (("--min-rating", "3"), "--min-rating"),
        (("--k-core", "0"), "--k-core"),
        (("--all-modalities",), "--all-modalities: there are no features"),
    ):
        refused(table(tmp_path, "user,item\na,x\nb,y\n", *options), word)
    result = passed(table(tmp_path, "user,item\na,x\nb,y\n", "--resplit"))
    assert "note: --resplit: there are no fixed splits" in result.out


def test_fixed_splits(tmp_path: Path) -> None:
    def run(train: str, test: str, *options: str) -> tuple[str | Path, ...]:
        files = [
            f"{name}={write(tmp_path / f'{name}.csv', 'user,item' + chr(10) + rows)}"
            for name, rows in (("train", train), ("test", test))
            if rows
        ]
        return ("table", "--splits", *files, "--output", folder, "--force", *options)

    folder = tmp_path / "out"
    done(*run("a,x\na,y\nb,x\n", "b,y\n"))
    assert pairs(folder, "train") == [("a", "x"), ("a", "y"), ("b", "x")]
    assert pairs(folder, "test") == [("b", "y")]
    assert pairs(folder) == pairs(folder, "train") + pairs(folder, "test")
    assert manifest(folder)["default_protocol"] == "files"
    done(*run("a,x\na,y\nb,x\n", "b,y\n", "--resplit"))
    assert [path.name for path in folder.glob("*.inter")] == ["out.inter"]
    assert manifest(folder)["default_protocol"] == "random"
    leaking = run("a,x\na,x\nb,x\n", "b,y\na,x\n")
    refused(prepare(*leaking), "1 pairs of one split are also in another")
    done(*leaking, "--fix", "drop-duplicates")
    assert pairs(folder, "train") == [("a", "x"), ("b", "x")]
    assert pairs(folder, "test") == [("b", "y")]
    refused(prepare(*run("a,x\n", "")), "give train and test")


def test_words_for_a_missing_id_are_counted_by_row(tmp_path: Path) -> None:
    rows = "user,item\na,x\nb,NA\nc,NA\nNULL,x\nd,NA\n"
    refused(table(tmp_path, rows), "4 ids are words for a missing value ('NULL', 'NA')")


@pytest.mark.parametrize(("rows", "good"), [(5, True), (4, False)])
def test_more_than_a_fifth_of_the_ids_missing_is_a_fault(
    tmp_path: Path, rows: int, good: bool
) -> None:
    content = "user,item\nlast,\n" + "".join(f"u{n},x\n" for n in range(rows - 1))
    result = table(tmp_path, content)
    if good:
        assert " 4 " in passed(result).out
    else:
        refused(result, f"1 of {rows} rows have no user or no item id")
        passed(table(tmp_path, content, "--fix", "drop-rows"))
    assert len(pairs(tmp_path / "out")) == rows - 1


def test_files_of_which_some_lack_ratings_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "user,item,rating\na,x,5\nb,x,4\n")
    second = write(tmp_path / "b.csv", "user,item\na,y\n")
    result = prepare("table", "--input", first, second, "--output", tmp_path / "out")
    refused(result, "only 2 of 3 rows have ratings")
