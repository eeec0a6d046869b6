"""Filters: exact, counted, in the documented order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import done, features, pairs, prepare, write

from dataset_prep.fix.filters import k_core
from dataset_prep.interactions import InteractionBuilder, Interactions
from dataset_prep.report import Report

EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


def table(edges: list[tuple[int, int]]) -> Interactions:
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
    found = np.flatnonzero(k_core(table(edges), user_core, item_core)).tolist()
    assert found == naive_core(edges, user_core, item_core)


def test_counts_after_every_step(tmp_path: Path) -> None:
    rows = "user,item,rating\na,x,5\na,x,4\na,y,2\nb,x,4\nb,,5\nb,z,5\nc,z,5\nc,x,3\n"
    path = write(tmp_path / "e.csv", rows)
    matrix = "item,a\nx,1\ny,2\n"
    option = f"v={write(tmp_path / 'f.csv', matrix)}"
    result = done(
        "table", "--input", path, "--features", option, "--output", tmp_path / "out",
        "--min-rating", "3", "--all-modalities", "--k-core", "2", "--user-core", "1",
        "--fix", "drop-unrated,keep-constant",
    )  # fmt: skip
    steps = json.loads((tmp_path / "out" / "manifest.json").read_text())["provenance"]["steps"]
    assert [(s["step"], s["interactions"], s["users"], s["items"]) for s in steps] == [
        ("read", 8, 3, 3),
        ("without missing ids", 7, 3, 3),
        ("rating >= 3", 6, 3, 2),
        ("without duplicates", 5, 3, 2),
        ("items with all modalities", 3, 3, 1),
        ("1/2-core", 3, 3, 1),
    ]
    assert all(step["step"] in result.out for step in steps)
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("c", "x")]
    assert list(features(tmp_path / "out", "v")) == ["x"]


def test_ids_stay_right_when_the_first_ones_go(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user,item\nlone,rare\na,x\nb,x\na,y\nb,y\n")
    done("table", "--input", path, "--k-core", "2", "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]


def test_an_empty_result_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user,item\na,x\nb,y\n")
    arguments = ("table", "--input", path, "--output", tmp_path / "out")
    assert "left after `3/3-core`" in prepare(*arguments, "--k-core", "3").refusal
    assert "--min-rating" in prepare(*arguments, "--min-rating", "3").refusal
    assert "--k-core" in prepare(*arguments, "--k-core", "0").refusal


def splits(tmp_path: Path, train: str, test: str, *options: str) -> tuple[Path, list[str]]:
    files = {
        name: write(tmp_path / f"{name}.csv", f"user,item\n{rows}")
        for name, rows in (("train", train), ("test", test))
    }
    given = [f"{name}={path}" for name, path in files.items()]
    out = tmp_path / "out"
    return out, ["table", "--splits", *given, "--output", str(out), *options]


def test_fixed_splits_become_files(tmp_path: Path) -> None:
    folder, arguments = splits(tmp_path, "a,x\na,y\nb,x\n", "b,y\n")
    done(*arguments)
    assert pairs(folder, "train") == [("a", "x"), ("a", "y"), ("b", "x")]
    assert pairs(folder, "test") == [("b", "y")]
    assert pairs(folder) == pairs(folder, "train") + pairs(folder, "test")
    assert json.loads((folder / "manifest.json").read_text())["default_protocol"] == "files"


def test_resplit_forgets_them(tmp_path: Path) -> None:
    folder, arguments = splits(tmp_path, "a,x\na,y\nb,x\n", "b,y\n", "--resplit")
    done(*arguments)
    assert [path.name for path in folder.glob("*.inter")] == ["out.inter"]
    assert json.loads((folder / "manifest.json").read_text())["default_protocol"] == "random"


def test_a_pair_in_two_splits_leaks_and_stays_in_the_first(tmp_path: Path) -> None:
    folder, arguments = splits(tmp_path, "a,x\na,x\nb,x\n", "b,y\na,x\n")
    refusal = prepare(*arguments).refusal
    assert "1 pairs of one split are also in another" in refusal
    done(*arguments, "--fix", "drop-duplicates")
    assert pairs(folder, "train") == [("a", "x"), ("b", "x")]
    assert pairs(folder, "test") == [("b", "y")]


def test_train_alone_is_no_split(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "user,item\na,x\n")
    arguments = ("table", "--splits", f"train={path}", "--output", tmp_path / "out")
    assert "give train and test" in prepare(*arguments).refusal


def test_all_modalities_keeps_items_that_every_one_has(tmp_path: Path) -> None:
    """x has both, y the first alone, z the second alone, w none."""
    path = write(tmp_path / "e.csv", "user,item\na,x\na,y\nb,x\nb,z\nc,w\nc,x\n")
    first, second = (
        f"{name}={write(tmp_path / f'{name}.csv', rows)}"
        for name, rows in (("v", "item,a,b\nx,1,2\ny,2,1\n"), ("t", "item,a,b\nx,3,1\nz,1,3\n"))
    )
    done(
        "table", "--input", path, "--features", first, "--features", second,
        "--output", tmp_path / "out", "--all-modalities", "--fix", "keep-constant",
    )  # fmt: skip
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "x"), ("c", "x")]
    for name in ("v", "t"):
        assert list(features(tmp_path / "out", name)) == ["x"]
