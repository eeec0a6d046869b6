"""Titles of items: which columns hold them, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from prep_support import Result, passed, prepare, write


def table(folder: Path, content: str | bytes, *options: str, file: str = "t.csv") -> Result:
    """Prepare ``folder/out`` from items 1 and 2 with these titles."""
    events = write(folder / "e.csv", "user,item\na,1\na,2\nb,1\n")
    items = write(folder / file, content)
    given = ("table", "--input", events, "--items", items, "--output", folder / "out", "--force")
    return prepare(*given, *options)


def titles(folder: Path) -> dict[str, str]:
    path = folder / "out" / "out.item"
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return dict(zip(frame["item_id:token"], frame["movie_title:token_seq"], strict=True))


CONTENTS: dict[str, tuple[str, dict[str, str]]] = {
    "title after original_title": (
        "book_id,original_title,title\n1,Zauberberg,The Magic Mountain\n2,,Plain\n",
        {"1": "The Magic Mountain", "2": "Plain"},
    ),
    "original_title alone": ("id,original_title\n1,A\n2,B\n", {"1": "A", "2": "B"}),
    "text alone": ("isbn;Book-Title\n1;A\n2;B\n", {"1": "A", "2": "B"}),
    "unusual names": ("code,track name\n1,A\n2,B\n", {"1": "A", "2": "B"}),
    "a person's name": ("item,user_name,product_name\n1,bo,A\n2,al,B\n", {"1": "A", "2": "B"}),
    "the first of two": ("item,original_title,full_title\n1,A,B\n2,C,D\n", {"1": "B", "2": "D"}),
    "the second of two": ("item,full_title,original_title\n1,A,B\n2,C,D\n", {"1": "A", "2": "C"}),
    "a short name": ("item,user_name,short_name\n1,A,B\n2,C,D\n", {"1": "B", "2": "D"}),
    "no interaction": ("item,title\nq,Q\n1,A\n2,B\n", {"1": "A", "2": "B"}),
    "RecBole's header": (
        "item_id:token\tmovie_title:token_seq\n1\tA, b\n2\tC\n",
        {"1": "A, b", "2": "C"},
    ),
    "a title of two lines": ('item,title\n1,"A\nB"\n2,"say ""x"""\n', {"1": "A B", "2": 'say "x"'}),
    "plain marks": ('item\ttitle\n1\t"A\n2\tB" c\n', {"1": '"A', "2": 'B" c'}),
    "an item twice": ("item,title\n1,A\n1,B\n2,C\n", {"1": "A", "2": "C"}),
    "JSON lines": ('{"item": 1, "name": "A"}\n{"item": 2}\n', {"1": "A", "2": ""}),
    "floating ids": ("item,title\n1.0,A\n2.0,B\n", {"1": "A", "2": "B"}),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_titles(tmp_path: Path, name: str) -> None:
    content, expected = CONTENTS[name]
    passed(table(tmp_path, content))
    assert titles(tmp_path) == expected


def test_titles_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": [1, 2], "original_title": ["x", "y"], "title": ["A", None]})
    frame.to_parquet(tmp_path / "p.parquet")
    assert table(tmp_path, (tmp_path / "p.parquet").read_bytes(), file="t.parquet").code == 0
    assert titles(tmp_path) == {"1": "A", "2": ""}
    frame.assign(item_id=[[1], [2, 3]]).to_parquet(tmp_path / "p.parquet")
    result = table(tmp_path, (tmp_path / "p.parquet").read_bytes(), file="t.parquet")
    assert "none of their ids ('[1]'...)" in result.refusal


def movielens(folder: Path, file: str, content: bytes, *options: str) -> Result:
    write(folder / "in" / "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4,1\n2,2,5,2\n")
    write(folder / "in" / file, content)
    given = ("movielens", "--input", folder / "in", "--output", folder / "out", *options)
    return prepare(*given)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("file", ["movies.csv", "movies.dat", "u.item"])
def test_films_of_every_release(tmp_path: Path, file: str, encoding: str) -> None:
    separator = {"movies.csv": ",", "movies.dat": "::", "u.item": "|"}[file]
    rows = [["1", "Amélie: \x85 (2001)", "Drama"], ["2", "B (2000)", "X"]]
    rows = [["movieId", "title", "genres"], *rows] if file == "movies.csv" else rows
    content = "".join(f"{separator.join(row)}\n" for row in rows).encode(encoding)
    options = ["--encoding", "latin-1"] if encoding == "latin-1" and file == "movies.csv" else []
    if options:
        assert "--encoding" in movielens(tmp_path, file, content).refusal
    passed(movielens(tmp_path, file, content, *options))
    assert titles(tmp_path) == {"1": "Amélie: (2001)", "2": "B (2000)"}
