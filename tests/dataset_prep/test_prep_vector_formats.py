"""Feature files as people publish them: each item gets its own vector, or the file is refused."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from prep_support import Result, features, prepare, write

from dataset_prep.framework import feature_arrays
from dataset_prep.framework.feature_text import parse_vector
from dataset_prep.framework.id_columns import numbered_header

N = 9
# Vector k tells the item that it belongs to.
MATRIX = np.array([[k + 0.5, k * k + 0.25, -k - 0.125] for k in range(N)])
ORDER = [7, 3, 0, 5, 1, 2, 8, 6, 4]
WORDS = [f"i{k}" for k in range(N)]
MIXED = ["4", "8", "0", "6", "1", "3", "2", "7", "5"]
KINDS = {"words": WORDS, "mixed": MIXED}


def table(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> Result:
    rows = [f"u{user},{token}" for user in range(2) for token in ids]
    events = write(folder / "e.csv", "\n".join(["user_id,item_id", *rows, ""]))
    base = ("table", "--input", events, "--features", f"v={path}", "--output", folder / "out")
    return prepare(*base, "--force", *options)


def check(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> None:
    result = table(folder, ids, path, *options)
    assert result.code == 0, result.err
    expected = {token: MATRIX[k].tolist() for k, token in enumerate(ids)}
    assert features(folder / "out", "v") == expected


def numbers(k: int, separator: str = ",") -> str:
    return separator.join(map(str, MATRIX[k]))


def lines(ids: Sequence[str], header: str | None, line: Callable[[int, str], str]) -> str:
    rows = [line(k, ids[k]) for k in ORDER]
    return "\n".join([*([] if header is None else [header]), *rows, ""])


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


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("form", ["csv", "other names", "headless", "further columns", "tsv"])
def test_vectors_in_one_cell(tmp_path: Path, cell: str, form: str) -> None:
    if form == "tsv" and cell == "numpy lines":
        pytest.skip("a TSV file without quote marks has no cell of two lines")
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


def of_json(form: str, ids: Sequence[str]) -> str:
    records = [{"title": "T", "item_id": ids[k], "emb": MATRIX[k].tolist()} for k in ORDER]
    flat = [{"asin": ids[k], **dict(zip("abc", MATRIX[k], strict=True))} for k in ORDER]
    maps = {ids[k]: MATRIX[k].tolist() for k in ORDER}
    listed = {"ids": [ids[k] for k in ORDER], "features": [MATRIX[k].tolist() for k in ORDER]}
    per_line = {
        "lines of records": records,
        "lines of numbers": flat,
        "lines of maps": [{key: vector} for key, vector in maps.items()],
        "lines of pairs": [[key, vector] for key, vector in maps.items()],
    }
    whole = {
        "map": maps,
        "records": records,
        "records of numbers": flat,
        "pairs": list(maps.items()),
        "ids and features": listed,
    }
    if form in per_line:
        return "".join(json.dumps(value) + "\n" for value in per_line[form])
    return json.dumps(whole[form], indent=1)


JSON_FORMS = (
    *("map", "records", "records of numbers", "pairs", "ids and features"),
    *("lines of records", "lines of numbers", "lines of maps", "lines of pairs"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", JSON_FORMS)
def test_json(tmp_path: Path, kind: str, form: str) -> None:
    content = of_json(form, KINDS[kind])
    check(tmp_path, KINDS[kind], write(tmp_path / "f.json", content))
    packed = gzip.compress(b"\xef\xbb\xbf" + content.encode())
    check(tmp_path, KINDS[kind], write(tmp_path / "f.jsonl.gz", packed))


def test_json_of_vectors_alone_needs_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "f.json", json.dumps(MATRIX.tolist()))
    assert "no ids for its 9 rows" in table(tmp_path, WORDS, path).refusal
    ids = write(tmp_path / "ids.txt", "\n".join(WORDS) + "\n")
    check(tmp_path, WORDS, path, "--feature-ids", ids)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"i0": [1, 2], "i1": [2', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"i0": 4, "i1": 5}', "single values"),
        ('{"0": {"i0": 1.5}, "1": {"i0": 2.5}}', "nested objects"),
        ('[{"film": "i0", "v": [1, 2]}]', "--feature-id-column"),
        ('[{"item_id": "i0", "v": [1, 2], "w": [1, 2]}]', "2 lists (v, w)"),
        ('[{"item_id": "i0", "title": "T"}]', "JSON without vectors"),
        ('{"ids": ["i0"], "features": [[1, 2], [3, 4]]}', "2 vectors for 1 ids"),
        ('["i0", "i1"]', "no row holds a vector"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: str, named: str) -> None:
    assert named in table(tmp_path, WORDS, write(tmp_path / "f.json", content)).refusal


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", ["per item", "rows per item", "ids and features", "named", "by place"]
)
def test_npz(tmp_path: Path, kind: str, form: str) -> None:
    ids, path = KINDS[kind], tmp_path / "f.npz"
    options: tuple[Any, ...] = ()
    if form == "per item":
        np.savez(path, **{ids[k]: MATRIX[k] for k in ORDER})
    elif form == "rows per item":
        np.savez(path, **{ids[k]: MATRIX[k : k + 1] for k in ORDER})
    elif form == "ids and features":
        titles = np.array([f"T{k}" for k in ORDER])
        np.savez(path, features=MATRIX[ORDER], ids=np.array(ids)[ORDER], title=titles)
    elif form == "named":
        both = {"v": MATRIX[ORDER], "w": MATRIX}
        np.savez(path, **both, item_id=np.array(ids)[ORDER])
    else:
        # More than ten, so that arr_10 comes after arr_9 and not after arr_1.
        np.savez(path, *MATRIX, *MATRIX[:3])
        ids = [*ids, "x", "y", "z"]
        options = ("--feature-ids", write(tmp_path / "ids.txt", "\n".join(ids) + "\n"))
        result = table(tmp_path, ids, path, *options)
        assert result.code == 0, result.err
        found = features(tmp_path / "out", "v")
        assert found == {token: MATRIX[k % N].tolist() for k, token in enumerate(ids)}
        return
    check(tmp_path, ids, path, *options)


@pytest.mark.parametrize("form", ["per item", "group", "per modality", "ids and features", "rows"])
def test_hdf5(tmp_path: Path, form: str) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for k, token in enumerate(MIXED):
            if form in ("per item", "group"):
                file["all/" * (form == "group") + token] = MATRIX[k]
            elif form == "per modality":
                file[f"{token}/v"], file[f"{token}/w"] = MATRIX[k], -MATRIX[k]
        if form == "ids and features":
            file["features"], file["ids"] = MATRIX[ORDER], [MIXED[k] for k in ORDER]
        elif form == "rows":
            file["features"], file["row"] = MATRIX, ORDER
            file["item_id"] = np.array([MIXED[k] for k in ORDER], dtype="S")
    check(tmp_path, MIXED, tmp_path / "f.h5")


def test_hdf5_reads_nothing_outside_the_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["m"] = MATRIX
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["m"], file["ids"] = h5py.ExternalLink(tmp_path / "secret.h5", "m"), WORDS
    assert "holds 0 matrices" in table(tmp_path, WORDS, tmp_path / "f.h5").refusal
    layout = h5py.VirtualLayout(MATRIX.shape, float)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "m", MATRIX.shape)
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["ids"] = WORDS
        file.create_virtual_dataset("m", layout)
    assert "lies in other files" in table(tmp_path, WORDS, tmp_path / "g.h5").refusal


def test_an_hdf5_file_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("m", (10**9, 1000), "f4", chunks=(1000, 1000))
    assert "claim to hold 4000000000000" in table(tmp_path, WORDS, tmp_path / "f.h5").refusal


def test_a_crash_of_the_hdf5_reader_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libhdf5 ends with a segmentation fault on some damaged files."""
    pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    path = write(tmp_path / "f.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    crash = subprocess.CompletedProcess([], -signal.SIGSEGV, "", "")
    monkeypatch.setattr(feature_arrays.subprocess, "run", lambda *_, **__: crash)
    refusal = table(tmp_path, WORDS, path).refusal
    assert "HDF5 that cannot be read (its reader crashed)" in refusal


def test_hdf5_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    path = write(tmp_path / "f.dat", b"\x89HDF\r\n\x1a\n" + bytes(100))
    refusal = table(tmp_path, WORDS, path).refusal
    assert "HDF5" in refusal and "pip install h5py" in refusal


@pytest.mark.parametrize("form", ["list", "fixed", "large", "text", "index", "named index"])
def test_parquet(tmp_path: Path, form: str) -> None:
    ids = WORDS if form == "index" else MIXED
    tokens, rows = [ids[k] for k in ORDER], MATRIX[ORDER].tolist()
    path = tmp_path / "f.parquet"
    if "index" in form:
        name = "item_id" if form == "named index" else None
        index = pd.Index(tokens, name=name)
        frame = pd.DataFrame(rows, columns=["0", "1", "2"], index=index)
        frame.to_parquet(path)
    else:
        kinds = {
            "list": pa.list_(pa.float64()),
            "large": pa.large_list(pa.float64()),
            "fixed": pa.list_(pa.float64(), 3),
        }
        texts = [str(row) for row in rows]
        column = pa.array(texts) if form == "text" else pa.array(rows, kinds[form])
        pq.write_table(pa.table({"emb": column, "item_id": tokens, "year": [1999] * N}), path)
    check(tmp_path, ids, path)


def test_two_columns_of_parquet_that_may_hold_the_ids_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(N), "code": list(map(int, MIXED)), "v": MATRIX.tolist()})
    frame.to_parquet(tmp_path / "f.parquet")
    assert "`code` may hold the ids" in table(tmp_path, MIXED, tmp_path / "f.parquet").refusal
    check(tmp_path, MIXED, tmp_path / "f.parquet", "--feature-id-column", "code")
    frame.rename(columns={"code": "item_id"}).to_parquet(tmp_path / "g.parquet")
    check(tmp_path, MIXED, tmp_path / "g.parquet")


def test_word2vec(tmp_path: Path) -> None:
    ids = [f"i {k}" for k in range(N)]
    rows = [f"{ids[k]} {numbers(k, ' ')} \n" for k in ORDER]
    content = f"{N} 3\n{''.join(rows)}"
    check(tmp_path, ids, write(tmp_path / "f.vec", content))
    check(tmp_path, ids, write(tmp_path / "f.txt.gz", gzip.compress(content.encode())))
    path = write(tmp_path / "g.vec", f"{N} 3\n{''.join(rows[:-2])}")
    assert "says 9 rows, but 7 are there" in table(tmp_path, ids, path).refusal
    glove = "".join(f"{WORDS[k]} {numbers(k, ' ')}\n" for k in ORDER)
    check(tmp_path, WORDS, write(tmp_path / "glove.txt", glove))
    binary = write(tmp_path / "f.bin", b"9 3\ni0 \x00\x00\x01\x02")
    assert "word2vec's binary format" in table(tmp_path, WORDS, binary).refusal


def test_tensors(tmp_path: Path) -> None:
    torch.save({token: torch.tensor(MATRIX[k]) for k, token in enumerate(MIXED)}, tmp_path / "f.pt")
    check(tmp_path, MIXED, tmp_path / "f.pt")
    torch.save(torch.tensor(MATRIX).bfloat16(), tmp_path / "g.pt")
    ids = write(tmp_path / "ids.txt", "\n".join(MIXED) + "\n")
    result = table(tmp_path, MIXED, tmp_path / "g.pt", "--feature-ids", ids)
    assert result.code == 0, result.err
    assert features(tmp_path / "out", "v")["8"] == [1.5, 1.25, -1.125]
    torch.save({"a": [1, 2]}, tmp_path / "h.pt")
    assert "holds a list, not a tensor" in table(tmp_path, MIXED, tmp_path / "h.pt").refusal


def test_a_matrix_in_text_takes_ids_from_a_file(tmp_path: Path) -> None:
    ids = write(tmp_path / "ids.txt", "\n".join(MIXED) + "\n")
    rows = [numbers(k) for k in range(N)]
    for start in ([], ["0,1,2"]):
        path = write(tmp_path / "f.csv", "\n".join([*start, *rows, ""]))
        check(tmp_path, MIXED, path, "--feature-ids", ids)
    counted = [f"{k},{row}" for k, row in enumerate(rows)]
    path = write(tmp_path / "g.csv", "\n".join([",0,1,2", *counted, ""]))
    check(tmp_path, MIXED, path, "--feature-ids", ids)


BROKEN: dict[str, tuple[Any, str]] = {
    "shorter": ([1.0, 2.0], "no vector of 3 numbers, first 'i5' with 2"),
    "empty": ([], "no vector of 3 numbers, first 'i5' with 0"),
    "not finite": ([1.0, float("nan"), 2.0], "NaN or Inf, in 1 rows, first 'i5'"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("kind", ["json", "lines", "cells", "npz", "hdf5", "parquet", "word2vec"])
def test_broken_vectors_name_the_item(tmp_path: Path, kind: str, broken: str) -> None:
    vector, named = BROKEN[broken]
    rows = {f"i{k}": vector if k == 5 else MATRIX[k].tolist() for k in range(N)}
    path = tmp_path / f"f.{kind}"
    if kind == "json":
        write(path, json.dumps(rows))
    elif kind == "lines":
        entries = [{"item_id": token, "emb": row} for token, row in rows.items()]
        write(path, "".join(json.dumps(entry) + "\n" for entry in entries))
    elif kind == "cells":
        write(path, "item_id,v\n" + "".join(f'{token},"{row}"\n' for token, row in rows.items()))
    elif kind == "npz":
        path = tmp_path / "f.npz"
        np.savez(path, **{token: np.array(row) for token, row in rows.items()})
    elif kind == "hdf5":
        h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
        with h5py.File(path, "w") as file:
            for token, row in rows.items():
                file[token] = np.array(row)
    elif kind == "parquet":
        pd.DataFrame({"item_id": list(rows), "v": list(rows.values())}).to_parquet(path)
    else:
        texts = [f"{token} {' '.join(map(str, row))}\n" for token, row in rows.items()]
        write(path, f"{N} 3\n{''.join(texts)}")
    refusal = table(tmp_path, WORDS, path).refusal
    assert named in refusal and "--fix drop-rows" in refusal
    result = table(tmp_path, WORDS, path, "--fix", "drop-rows")
    assert result.code == 0, result.err
    expected = {f"i{k}": MATRIX[k].tolist() for k in range(N) if k != 5}
    assert features(tmp_path / "out", "v") == expected


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


def test_the_content_decides_not_the_ending(tmp_path: Path) -> None:
    ids = write(tmp_path / "ids.txt", "\n".join(WORDS) + "\n")
    np.save(tmp_path / "a.npy", MATRIX)
    np.savez(tmp_path / "b.npz", ids=np.array(WORDS), features=MATRIX)
    pd.DataFrame({"item_id": WORDS, "v": MATRIX.tolist()}).to_parquet(tmp_path / "c.parquet")
    write(tmp_path / "d.csv", of_json("map", WORDS))
    for source in ("a.npy", "b.npz", "c.parquet", "d.csv"):
        path = (tmp_path / source).rename(tmp_path / f"{source}.dat")
        options = ("--feature-ids", ids) if source == "a.npy" else ()
        check(tmp_path, WORDS, path, *options)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("f.csv", gzip.compress(b"item_id,a\n"), "gzip"),
        ("f.pkl", b"\x80\x04]\x94.", "pickle can run code"),
        ("f.npz", b"PK\x03\x04" + bytes(9), "cut or not a NumPy file"),
        ("f.h5", b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5 that cannot be read"),
        ("f.parquet", b"PAR1" + bytes(9), "Parquet"),
    ],
)
def test_other_files_are_named_by_what_they_are(
    tmp_path: Path, name: str, content: bytes, named: str
) -> None:
    if name == "f.h5":
        pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    assert named in table(tmp_path, WORDS, write(tmp_path / name, content)).refusal
