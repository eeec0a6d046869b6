"""Feature tables in text as they are published: each item gets its vector, or the run stops."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from prep_support import (
    KINDS,
    MATRIX,
    MIXED,
    ORDER,
    WORDS,
    N,
    check_vectors,
    features,
    lines,
    numbers,
    passed,
    refused,
    with_vectors,
    write,
)

from dataset_prep.read.ids import numbered_header
from dataset_prep.read.vectors_in_text import parse_vector


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("item_id,0,1,2", "{i},{v}"),
        ("film,0,1,2", "{i},{v}"),
        (",item_id,0,1,2", "{k},{i},{v}"),
        ("Unnamed: 0,item_id,0,1,2", "{k},{i},{v}"),
        ("row,movieId,a,b,c", "{k},{i},{v}"),
        ("item_id,title,0,1,2", "{i},A title,{v}"),
        (None, "{i},{v}"),
        ("item_id,vector", '{i},"{v}"'),
        ("film,emb", '{i},"[{v}]"'),
        (None, '{i},"({v})"'),
        (",title,item_id,year,emb", '{k},"T, {k}",{i},1999,"{v}"'),
        ("item_id\tvector", "{i}\t{v}"),
        ("item_id,vector", '{i},"array([{v}], dtype=float32)"'),
    ],
)
def test_headers_and_vectors_are_found(
    tmp_path: Path, kind: str, header: str | None, line: str
) -> None:
    ids = KINDS[kind]
    check_vectors(tmp_path, ids, write(tmp_path / "f.csv", lines(ids, header, line)))


@pytest.mark.parametrize("separator", ["\t", ","])
def test_the_name_of_the_modality_selects_one_of_several_vectors(
    tmp_path: Path, separator: str
) -> None:
    """As in the .item file of a dataset of RecBole."""
    rows = [f"{WORDS[k]}|Film {k}|{numbers(k, ' ')}|{1 + k} {-k}" for k in ORDER]
    header = "item_id:token|name:token_seq|v:float_seq|aud:float_seq"
    content = "\n".join([header, *rows, ""]).replace("|", separator)
    path = write(tmp_path / "f.item", content)
    check_vectors(tmp_path, WORDS, path)
    out = passed(with_vectors(tmp_path, WORDS, path, "--features", f"aud={path}")).out
    assert features(tmp_path / "out", "aud") == {i: [1 + k, -k] for k, i in enumerate(WORDS)}
    assert "f.item: modality aud is column aud:float_seq; left out: v:float_seq" in out
    write(path, content.replace("v:float_seq", "vis:float_seq"))
    message = "2 vectors (vis:float_seq, aud:float_seq), expected one, or one called v; NAME"
    refused(with_vectors(tmp_path, WORDS, path), message, "`--features vis=FILE`")


def test_an_index_of_words_holds_the_ids_and_one_of_numbers_does_not(tmp_path: Path) -> None:
    for header in (",0,1,2", ",a,b,c"):
        check_vectors(tmp_path, WORDS, write(tmp_path / "f.csv", lines(WORDS, header, "{i},{v}")))
        path = write(tmp_path / "g.csv", lines(MIXED, header, "{i},{v}"))
        refused(with_vectors(tmp_path, MIXED, path), "--feature-id-column ''")
        check_vectors(tmp_path, MIXED, path, "--feature-id-column", "")


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("id,code,a,b,c", "{k},{i},{v}"),
        ("id,code,v", '{k},{i},"{v}"'),
        (None, "{k},{i},{v}"),
    ],
)
def test_two_columns_that_may_hold_the_ids_are_refused(
    tmp_path: Path, header: str | None, line: str
) -> None:
    path = write(tmp_path / "f.csv", lines(MIXED, header, line))
    refused(with_vectors(tmp_path, MIXED, path), "`code`" if header else "`1`")
    if header:
        check_vectors(tmp_path, MIXED, path, "--feature-id-column", "code")


@pytest.mark.parametrize(
    ("rows", "without_ids", "header"),
    [
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
        # More digits than int() converts; a character that isdigit() accepts and int() refuses.
        ([f"a,{'9' * 5000}", "b,.5"], False, False),
        (["a,²", "b,.5"], False, False),
    ],
)
def test_headers_of_numbers(rows: list[str], without_ids: bool, header: bool) -> None:
    assert numbered_header([row.split(",") for row in rows], without_ids) is header


@pytest.mark.parametrize(
    ("text", "vector"),
    [
        ("0.5,1", [0.5, 1.0]),
        ("[0.5]", [0.5]),
        ("[[1 2]]", [1.0, 2.0]),
        ("[1  2\n 3]", [1.0, 2.0, 3.0]),
        ("1;2", [1.0, 2.0]),
        ("1e-3 -2", [0.001, -2.0]),
        ("tensor([1, 2])", [1.0, 2.0]),
        ("0.5", None),
        ("", None),
        ("[]", None),
        ("0,5 0,7", None),
        ("0,5;0,7", None),
        ("[1 2 ... 3]", None),
        ("1, two", None),
        ("12 Angry Men", None),
    ],
)
def test_parse_vector(text: str, vector: list[float] | None) -> None:
    assert parse_vector(text) == vector


@pytest.mark.parametrize(
    ("header", "line", "named"),
    [
        ("item_id,v", "{i},[{k}, 2, 3]", "quote marks"),
        ("item_id,v", "{i},[{k} 2 ... 3]", "complete vectors"),
        ("item_id;v", "{i};{k},5", "decimal comma"),
        ("item_id\ta\tb", "{i}\t{k} 5\t2 5", "2 vectors (a, b)"),
        ("item_id,title", "{i},Film {k}", "`title` holds 'Film"),
    ],
)
def test_text_without_vectors_is_refused(
    tmp_path: Path, header: str, line: str, named: str
) -> None:
    path = write(tmp_path / "f.csv", lines(WORDS, header, line))
    refused(with_vectors(tmp_path, WORDS, path), named)


def test_a_first_item_above_numbers_is_not_a_header(tmp_path: Path) -> None:
    ids = ["abc", *(str(10 + k) for k in range(N - 1))]
    rows = [f"{token},[{numbers(k, ' ')}]" for k, token in enumerate(ids)]
    check_vectors(tmp_path, ids, write(tmp_path / "f.csv", "\n".join([*rows, ""])))


def test_tags_beside_numbers_are_not_a_vector(tmp_path: Path) -> None:
    rows = [f'{WORDS[k]},{numbers(k)},"{",".join("123456"[: 1 + k % 4])}"' for k in ORDER]
    content = "\n".join(["item_id,a,b,c,tags", *rows, ""])
    check_vectors(tmp_path, WORDS, write(tmp_path / "f.csv", content))


def test_word2vec(tmp_path: Path) -> None:
    ids = [f"i {k}" for k in range(N)]
    rows = [f"{ids[k]} {numbers(k, ' ')} \n" for k in ORDER]
    content = f"{N} 3\n{''.join(rows)}"
    check_vectors(tmp_path, ids, write(tmp_path / "f.vec", content))
    packed = gzip.compress(content.encode(), mtime=0)
    check_vectors(tmp_path, ids, write(tmp_path / "f.txt.gz", packed))
    path = write(tmp_path / "g.vec", f"{N} 3\n{''.join(rows[:-1])}")
    refused(with_vectors(tmp_path, ids, path), "states 9 rows, but it has 8", "--fix drop-rows")
    glove = "".join(f"{WORDS[k]} {numbers(k, ' ')}\n" for k in ORDER)
    check_vectors(tmp_path, WORDS, write(tmp_path / "glove.txt", glove))
    binary = write(tmp_path / "f.bin", b"9 3\ni0 \x00\x00\x01\x02")
    refused(with_vectors(tmp_path, WORDS, binary), "word2vec's binary format")


def test_a_matrix_in_text_takes_ids_from_a_file(tmp_path: Path) -> None:
    ids = write(tmp_path / "ids.txt", "\n".join(MIXED) + "\n")
    rows = [numbers(k) for k in range(N)]
    counted = [f"{k},{row}" for k, row in enumerate(rows)]
    for content in (rows, ["0,1,2", *rows], [",0,1,2", *counted]):
        path = write(tmp_path / "f.csv", "\n".join([*content, ""]))
        check_vectors(tmp_path, MIXED, path, "--feature-ids", ids)


@pytest.mark.parametrize("form", ["columns", "cells"])
def test_rows_of_4096_numbers(tmp_path: Path, form: str) -> None:
    """A row of 80 KB: the layout must be found in more than the first 64 KiB."""
    wide = np.random.default_rng(0).normal(size=(3, 4096))
    mark = '"' if form == "cells" else ""
    header = "item_id,v" if mark else f"item_id,{','.join(map(str, range(4096)))}"
    rows = [f"{WORDS[k]},{mark}{','.join(map(repr, wide[k].tolist()))}{mark}" for k in range(3)]
    path = write(tmp_path / "f.csv", "\n".join([header, *rows, ""]))
    passed(with_vectors(tmp_path, WORDS[:3], path))
    assert features(tmp_path / "out", "v")["i2"] == pytest.approx(wide[2].tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        *(
            (cell, f"line 5 has '{cell}' where column `b` needs a number")
            for cell in ("1,5", "abc")
        ),
        *((gap, "NaN or Inf, in 1 rows, first 'i5', and columns 1") for gap in ("NA", "")),
    ],
)
def test_a_cell_that_is_not_a_number_does_not_hide_its_column(
    tmp_path: Path, cell: str, named: str
) -> None:
    content = lines(WORDS, "item_id\ta\tb\tc", "{i},{v}").replace(",", "\t")
    path = write(tmp_path / "f.tsv", content.replace(str(MATRIX[5][1]), cell))
    refused(with_vectors(tmp_path, WORDS, path), named)
