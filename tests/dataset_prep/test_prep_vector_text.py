"""Feature tables in text as people publish them: each item gets its own vector, or none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from prep_support import features, write
from vector_support import KINDS, MATRIX, MIXED, ORDER, WORDS, N, check, lines, numbers, table

from dataset_prep.read.feature_text import parse_vector
from dataset_prep.read.ids import numbered_header


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "start"),
    [
        ("item_id,0,1,2", "{i}"),
        ("asin,1,2,3", "{i}"),
        ("film,0,1,2", "{i}"),
        (",item_id,0,1,2", "{k},{i}"),
        ("Unnamed: 0,item_id,0,1,2", "{k},{i}"),
        ("index,item_id,a,b,c", "{k},{i}"),
        ("row,movieId,a,b,c", "{k},{i}"),
        ("item_id,title,0,1,2", "{i},A title"),
        (None, "{i}"),
    ],
)
def test_headers_of_numbers_are_headers(
    tmp_path: Path, kind: str, header: str | None, start: str
) -> None:
    ids = KINDS[kind]
    content = lines(ids, header, lambda k, i: f"{start.format(i=i, k=k)},{numbers(k)}")
    check(tmp_path, ids, write(tmp_path / "f.csv", content))


def test_an_index_of_words_holds_the_ids_and_one_of_numbers_does_not(tmp_path: Path) -> None:
    for header in (",0,1,2", ",a,b,c"):
        content = lines(WORDS, header, lambda k, i: f"{i},{numbers(k)}")
        check(tmp_path, WORDS, write(tmp_path / "f.csv", content))
        content = lines(MIXED, header, lambda k, i: f"{i},{numbers(k)}")
        path = write(tmp_path / "g.csv", content)
        assert "--feature-id-column ''" in table(tmp_path, MIXED, path).refusal
        check(tmp_path, MIXED, path, "--feature-id-column", "")


@pytest.mark.parametrize("header", ["id,code,a,b,c", "id,code,v", None])
def test_two_columns_that_may_hold_the_ids_are_refused(tmp_path: Path, header: str | None) -> None:
    """A row number in the first column, ids in the second, both of them small numbers."""
    mark = '"' if header == "id,code,v" else ""
    content = lines(MIXED, header, lambda k, i: f"{k},{i},{mark}{numbers(k)}{mark}")
    refusal = table(tmp_path, MIXED, write(tmp_path / "f.csv", content)).refusal
    assert ("`code`" if header else "`1`") in refusal
    assert "--feature-id-column" in refusal
    name = "code" if header else "1"
    if header:
        check(tmp_path, MIXED, tmp_path / "f.csv", "--feature-id-column", name)


@pytest.mark.parametrize(
    ("rows", "without_ids", "header"),
    [
        (["item_id,0,1", "a,1,0"], False, True),
        (["item_id,7,3", "a,1,0"], False, True),
        ([",0,1,2", "1,.5,.2,.3"], False, True),
        (["film,0,1,2", "a,.5,.2,.3"], False, True),
        (["film,0,1,2", "a,1,2,3"], False, False),
        (["film,0,1,2,3", "a,1,2,3,4"], False, True),
        (["i0,0,1", "i1,.5,.5"], False, False),
        (["i0,5,1,2", "i1,.5,.5,.5"], False, False),
        (["0,1,2,3", "a,.5,.2,.3"], False, True),
        (["0,1,2", "1,.5,.2"], False, False),
        (["0,1,2", ".1,.5,.2"], True, True),
        (["a,b,c", "a,.5,.2"], False, False),
        (["item_id,0,0", "a,.5,.2"], False, False),
        ([",0.5,1", "a,.5,.2"], False, False),
    ],
)
def test_what_counts_as_a_header_of_numbers(
    rows: list[str], without_ids: bool, header: bool
) -> None:
    cells = [row.split(",") for row in rows]
    assert numbered_header(cells, without_ids) is header


CELLS = {
    "commas": lambda k: numbers(k),
    "list": lambda k: f"[{numbers(k, ', ')}]",
    "spaces": lambda k: numbers(k, " "),
    "semicolons": lambda k: numbers(k, ";"),
    "tuple": lambda k: f"({numbers(k, ', ')})",
    "numpy": lambda k: f"[{numbers(k, '  ')}]",
    "numpy lines": lambda k: f"[{MATRIX[k][0]} {MATRIX[k][1]}\n {MATRIX[k][2]}]",
    "repr": lambda k: f"array([{numbers(k, ', ')}], dtype=float32)",
}


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        *((cell, "csv") for cell in CELLS),
        *(("commas", form) for form in ("other names", "headless", "further columns", "tsv")),
    ],
)
def test_vectors_in_one_cell(tmp_path: Path, cell: str, form: str) -> None:
    vector = CELLS[cell]
    if form == "tsv":
        content = lines(MIXED, "item_id\tvector", lambda k, i: f"{i}\t{vector(k)}")
    elif form == "further columns":
        header = ",title,item_id,year,emb"
        content = lines(MIXED, header, lambda k, i: f'{k},"T, {k}",{i},1999,"{vector(k)}"')
    else:
        header = {"csv": "item_id,vector", "other names": "film,emb", "headless": None}[form]
        content = lines(MIXED, header, lambda k, i: f'{i},"{vector(k)}"')
    check(tmp_path, MIXED, write(tmp_path / "f.csv", content))


@pytest.mark.parametrize(
    ("text", "vector"),
    [
        ("0.5,1", [0.5, 1.0]),
        ("[0.5]", [0.5]),
        ("[[1 2]]", [1.0, 2.0]),
        ("1e-3 -2", [0.001, -2.0]),
        ("tensor([1, 2])", [1.0, 2.0]),
        ("0.5", None),
        ("", None),
        ("[]", None),
        ("0,5 0,7", None),
        ("0,5;0,7", None),
        ("[1 2 ... 3]", None),
        ("A title", None),
        ("1, two", None),
        ("12 Angry Men", None),
    ],
)
def test_parse_vector(text: str, vector: list[float] | None) -> None:
    assert parse_vector(text) == vector


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("item_id,v\n" + "".join(f"i{k},[{k}, 2, 3]\n" for k in range(N)), "quote marks"),
        ("item_id,v\n" + "".join(f"i{k},[{k} 2 ... 3]\n" for k in range(N)), "cut by `...`"),
        ("item_id;a;b\n" + "".join(f"i{k};{k},5;2,5\n" for k in range(N)), "decimal comma"),
        ("item_id\ta\tb\n" + "".join(f"i{k}\t{k} 5\t2 5\n" for k in range(N)), "2 vectors (a, b)"),
        ("item_id,title\n" + "".join(f"i{k},Film {k}\n" for k in range(N)), "`title` holds 'Film"),
    ],
)
def test_text_without_vectors_names_the_cause(tmp_path: Path, content: str, named: str) -> None:
    refusal = table(tmp_path, WORDS, write(tmp_path / "f.csv", content)).refusal
    assert named in refusal
    assert "separator;" not in refusal and "check the separator" not in refusal


def test_a_first_item_above_numbers_is_no_header(tmp_path: Path) -> None:
    ids = ["abc", *(str(10 + k) for k in range(N - 1))]
    rows = [f"{token},[{numbers(k, ' ')}]" for k, token in enumerate(ids)]
    check(tmp_path, ids, write(tmp_path / "f.csv", "\n".join([*rows, ""])))


def test_tags_beside_numbers_are_no_vector(tmp_path: Path) -> None:
    def line(k: int, token: str) -> str:
        return f'{token},{numbers(k)},"{",".join("123456"[: 1 + k % 4])}"'

    content = lines(WORDS, "item_id,a,b,c,tags", line)
    check(tmp_path, WORDS, write(tmp_path / "f.csv", content))


def test_word2vec(tmp_path: Path) -> None:
    ids = [f"i {k}" for k in range(N)]
    rows = [f"{ids[k]} {numbers(k, ' ')} \n" for k in ORDER]
    content = f"{N} 3\n{''.join(rows)}"
    check(tmp_path, ids, write(tmp_path / "f.vec", content))
    check(tmp_path, ids, write(tmp_path / "f.txt.gz", gzip.compress(content.encode(), mtime=0)))
    path = write(tmp_path / "g.vec", f"{N} 3\n{''.join(rows[:-2])}")
    assert "says 9 rows, but 7 are there" in table(tmp_path, ids, path).refusal
    glove = "".join(f"{WORDS[k]} {numbers(k, ' ')}\n" for k in ORDER)
    check(tmp_path, WORDS, write(tmp_path / "glove.txt", glove))
    binary = write(tmp_path / "f.bin", b"9 3\ni0 \x00\x00\x01\x02")
    assert "word2vec's binary format" in table(tmp_path, WORDS, binary).refusal


def test_a_matrix_in_text_takes_ids_from_a_file(tmp_path: Path) -> None:
    ids = write(tmp_path / "ids.txt", "\n".join(MIXED) + "\n")
    rows = [numbers(k) for k in range(N)]
    for start in ([], ["0,1,2"]):
        path = write(tmp_path / "f.csv", "\n".join([*start, *rows, ""]))
        check(tmp_path, MIXED, path, "--feature-ids", ids)
    counted = [f"{k},{row}" for k, row in enumerate(rows)]
    path = write(tmp_path / "g.csv", "\n".join([",0,1,2", *counted, ""]))
    check(tmp_path, MIXED, path, "--feature-ids", ids)


@pytest.mark.parametrize("form", ["columns", "cells"])
def test_rows_of_4096_numbers(tmp_path: Path, form: str) -> None:
    """A row of 80 KB: the layout must be found in more than the first 64 KiB."""
    wide = np.random.default_rng(0).normal(size=(3, 4096))
    rows = [",".join(map(repr, row)) for row in wide.tolist()]
    if form == "cells":
        text = "".join(f'{token},"{row}"\n' for token, row in zip(WORDS, rows, strict=False))
        content = f"item_id,v\n{text}"
    else:
        text = "".join(f"{token},{row}\n" for token, row in zip(WORDS, rows, strict=False))
        content = f"item_id,{','.join(map(str, range(4096)))}\n{text}"
    result = table(tmp_path, WORDS[:3], write(tmp_path / "f.csv", content))
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v")["i2"] == pytest.approx(wide[2].tolist(), rel=1e-6)


@pytest.mark.parametrize("cell", ["1.5x", "1,5", "abc"])
def test_a_cell_that_is_no_number_does_not_hide_its_column(tmp_path: Path, cell: str) -> None:
    content = lines(WORDS, "item_id\ta\tb\tc", lambda k, i: f"{i}\t{numbers(k, chr(9))}")
    content = content.replace(str(MATRIX[5][1]), cell)
    refusal = table(tmp_path, WORDS, write(tmp_path / "f.tsv", content)).refusal
    assert f"line 5 has '{cell}' where column `b` needs a number" in refusal


def test_missing_cells_are_values_that_are_missing(tmp_path: Path) -> None:
    content = lines(WORDS, "item_id\ta\tb\tc", lambda k, i: f"{i}\t{numbers(k, chr(9))}")
    for gap in ("NA", "null", ""):
        path = write(tmp_path / "f.tsv", content.replace(str(MATRIX[5][1]), gap))
        assert (
            "NaN or Inf, in 1 rows, first 'i5', and columns 1"
            in table(tmp_path, WORDS, path).refusal
        )
