"""Rows of feature files belong to the item that their id column names, wherever it stands."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import Result, done, features, prepare, write

from dataset_prep.encoders.text import encode_texts
from dataset_prep.read.ids import find_id, is_label

# Item n has the row (n + 1, n * n), so that a row in the wrong place shows.
ITEMS = [44, 0, 2, 1]
EVENTS = "user,item\na,44\na,0\nb,2\nb,1\na,1\n"
EXPECTED = {str(n): [float(n + 1), float(n * n)] for n in ITEMS}
FRAME = pd.DataFrame({"p": [n + 1 for n in ITEMS], "q": [n * n for n in ITEMS]}).astype(float)


def saved(folder: Path, frame: pd.DataFrame, kind: str, index: bool = False) -> Path:
    path = folder / f"f.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=index)
        return path
    text = io.StringIO()
    frame.to_csv(text, index=index, lineterminator="\n")
    return write(path, text.getvalue())


def table(folder: Path, vectors: Path, *options: Any) -> Result:
    events = write(folder / "e.csv", EVENTS)
    base = ("table", "--input", events, "--features", f"v={vectors}")
    return prepare(*base, "--output", folder / "out", *options)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["itemId", "id", "key"])
def test_a_usual_name_is_found_at_the_end(tmp_path: Path, kind: str, name: str) -> None:
    path = saved(tmp_path, FRAME.assign(**{name: ITEMS}), kind)
    result = table(tmp_path, path)
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == EXPECTED


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_named_column_wins_and_the_other_ids_are_no_features(tmp_path: Path, kind: str) -> None:
    frame = FRAME.assign(film=ITEMS)
    frame.insert(0, "item_id", [0, 1, 2, 44])
    frame.insert(1, "index", range(4))
    result = table(tmp_path, saved(tmp_path, frame, kind), "--feature-id-column", "film")
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == EXPECTED
    assert "f." + kind + ": columns that are no features left out: item_id, index" in result.out


@pytest.mark.parametrize("name", ["id", "Item ID"])
def test_the_index_of_pandas_is_neither_id_nor_feature(tmp_path: Path, name: str) -> None:
    """``to_csv`` writes row numbers first, here those of other items."""
    path = saved(tmp_path, FRAME.assign(**{name: ITEMS}), "csv", index=True)
    assert path.read_text().startswith(",p,q,")
    result = table(tmp_path, path)
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v") == EXPECTED
    assert "columns that are no features left out: (no name)" in result.out
    named = write(tmp_path / "f.csv", "Unnamed: 0" + path.read_text())
    assert table(tmp_path, named, "--force").code == 0
    assert features(tmp_path / "out", "v") == EXPECTED


def test_an_index_alone_is_taken_only_when_it_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, FRAME.set_index(pd.Index(ITEMS)), "csv", index=True)
    refusal = table(tmp_path, path).refusal
    assert "no id column among (no name), p, q; name it with `--feature-id-column`" in refusal
    assert "--feature-id-column '' for the one without a name" in refusal
    assert table(tmp_path, path, "--feature-id-column", "").code == 0
    assert features(tmp_path / "out", "v") == EXPECTED


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_a_column_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    if kind == "npz":
        path = tmp_path / "f.npz"
        np.savez(path, item_id=np.array(ITEMS), m=FRAME.to_numpy())
    else:
        path = saved(tmp_path, FRAME.assign(item_id=ITEMS), kind)
    refusal = table(tmp_path, path, "--feature-id-column", "itm_id").refusal
    assert "no id column `itm_id` among " in refusal and "item_id" in refusal
    assert not (tmp_path / "out").exists()
    assert table(tmp_path, path, "--feature-id-column", "item_id").code == 0


def test_the_encoding_reaches_feature_files(tmp_path: Path) -> None:
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
    stories = ["a cat sleeps", "the cat eats", "rockets fly", "the moon"]
    frame = pd.DataFrame({"title": stories, name: ITEMS})
    path = saved(tmp_path, frame, "csv", index=True)
    base = ("extract", "--input", write(tmp_path / "e.csv", EVENTS), "--output", tmp_path / "out")
    texts = ("--text", f"t={path}", "--text-size", 2)
    if name == "film":
        assert "no id column among (no name), title, film" in prepare(*base, *texts).refusal
        refusal = prepare(*base, *texts, "--feature-id-column", "flim").refusal
        assert "no id column `flim` among (no name), title, film" in refusal
        texts += ("--feature-id-column", name)
    done(*base, *texts)
    expected = encode_texts(stories, "tfidf", 2).matrix.tolist()
    assert features(tmp_path / "out", "t") == dict(zip(map(str, ITEMS), expected, strict=True))
    if name == "id":
        done(*base, *texts, "--items", path, "--force")
        titles = (tmp_path / "out" / "out.item").read_text().splitlines()[1:]
        assert titles == [f"{n}\t{story}" for n, story in zip(ITEMS, stories, strict=True)]
    else:
        refusal = prepare(*base, *texts, "--items", path, "--force").refusal
        assert refusal.endswith("among (no name), title, film; call it item_id in the file")


def test_rows_that_filters_removed_are_counted_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, FRAME.assign(item=ITEMS), "csv")
    assert "that the filters removed" not in table(tmp_path, path).out
    result = table(tmp_path, path, "--item-core", 2, "--force", "--fix", "keep-constant")
    assert "v: 3 rows of items that the filters removed are left out" in result.out


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (("a", "i", "item_id"), None, "item_id"),
        (("a", "i"), None, "i"),
        (("index", "id"), None, "id"),
        (("id", "item"), None, "item"),
        (("id", "film"), "film", "film"),
        (("id", "item"), "film", None),
        (("", "a"), None, None),
    ],
)
def test_the_best_name_is_chosen(
    names: tuple[str, ...], wanted: str | None, found: str | None
) -> None:
    assert find_id(names, wanted) == found


def test_columns_that_may_be_features_are_kept() -> None:
    assert not any(map(is_label, ["i", "key", "p", "0", "f_1"]))
    assert all(map(is_label, ["", " ", "Unnamed: 0", "index", "id", "item_id"]))
