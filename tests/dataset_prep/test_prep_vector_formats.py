"""Feature files in JSON, .npz, HDF5, Parquet: each item gets its own vector, or none."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from prep_support import features, write
from vector_support import KINDS, MATRIX, MIXED, ORDER, WORDS, N, check, of_json, table

from dataset_prep.read import feature_arrays

JSON_FORMS = (
    *("map", "records", "records of numbers", "pairs", "ids and features"),
    *("lines of records", "lines of numbers", "lines of maps", "lines of pairs"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", JSON_FORMS)
def test_json(tmp_path: Path, kind: str, form: str) -> None:
    content = of_json(form, KINDS[kind])
    check(tmp_path, KINDS[kind], write(tmp_path / "f.json", content))
    packed = gzip.compress(b"\xef\xbb\xbf" + content.encode(), mtime=0)
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


BROKEN: dict[str, tuple[Any, str]] = {
    "shorter": ([1.0, 2.0], "no vector of 3 numbers, first 'i5' with 2"),
    "empty": ([], "no vector of 3 numbers, first 'i5' with 0"),
    "not finite": ([1.0, float("nan"), 2.0], "NaN or Inf, in 1 rows, first 'i5'"),
}


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        *((kind, "shorter") for kind in ("json", "cells", "npz", "hdf5", "parquet", "word2vec")),
        *(("lines", broken) for broken in BROKEN),
    ],
)
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
        ("f.csv", gzip.compress(b"item_id,a\n", mtime=0), "gzip"),
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
