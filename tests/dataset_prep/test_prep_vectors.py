"""Feature files in JSON, .npz, HDF5, Parquet and PyTorch: each item gets its vector, or none."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from prep_support import (
    KINDS,
    MATRIX,
    MIXED,
    ORDER,
    WORDS,
    N,
    check_vectors,
    features,
    passed,
    refused,
    with_vectors,
    write,
)

from dataset_prep.read import features as features_module


def of_json(form: str, ids: Sequence[str]) -> str:
    records = [{"title": "T", "item_id": ids[k], "emb": MATRIX[k].tolist()} for k in ORDER]
    flat = [{"asin": ids[k], **dict(zip("abc", MATRIX[k], strict=True))} for k in ORDER]
    rows = [MATRIX[k].tolist() for k in ORDER]
    whole: dict[str, Any] = {
        "map": {ids[k]: MATRIX[k].tolist() for k in ORDER},
        "records": records,
        "records of numbers": flat,
        "columns": {"ids": [ids[k] for k in ORDER], "features": rows},
    }
    if form in whole:
        return json.dumps(whole[form], indent=1)
    return "".join(json.dumps(value) + "\n" for value in {"lines": records, "flat": flat}[form])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", ["map", "records", "records of numbers", "columns", "lines", "flat"]
)
def test_json(tmp_path: Path, kind: str, form: str) -> None:
    content = of_json(form, KINDS[kind])
    check_vectors(tmp_path, KINDS[kind], write(tmp_path / "f.json", content))
    packed = gzip.compress(b"\xef\xbb\xbf" + content.encode(), mtime=0)
    check_vectors(tmp_path, KINDS[kind], write(tmp_path / "f.jsonl.gz", packed))


def test_json_of_vectors_alone_needs_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "f.json", json.dumps(MATRIX.tolist()))
    refused(with_vectors(tmp_path, WORDS, path), "no id column")
    ids = write(tmp_path / "ids.txt", "\n".join(WORDS) + "\n")
    check_vectors(tmp_path, WORDS, path, "--feature-ids", ids)


@pytest.mark.parametrize(
    "content",
    [
        '{"i0": [1, 2], "i1": [2',
        "[" * 100_000,
        '{"i0": 4, "i1": 5}',
        '{"0": {"i0": 1.5}, "1": {"i0": 2.5}}',
        '{"i0": [1, 2], "i0": [2, 1]}',
        '[{"item_id": "i0", "u": [1, 2], "w": [1, 2]}]',
        '[{"item_id": "i0", "title": "T"}]',
        '{"ids": ["i0"], "features": [[1, 2], [3, 4]]}',
        '["i0", "i1"]',
        '[{"item_id": [1], "v": [1, 2]}, {"item_id": [2], "v": [2, 1]}]',
        '[{"item_id": [1], "v": [1, 2]}, {"item_id": [2, 3], "v": [2, 1]}]',
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: str) -> None:
    refused(with_vectors(tmp_path, WORDS, write(tmp_path / "f.json", content)), "f.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", ["per item", "rows per item", "ids and features", "named", "other lists"]
)
def test_npz(tmp_path: Path, kind: str, form: str) -> None:
    ids, path = np.array(KINDS[kind]), tmp_path / "f.npz"
    arrays: dict[str, Any] = {
        "per item": {ids[k]: MATRIX[k] for k in ORDER},
        "rows per item": {ids[k]: MATRIX[k : k + 1] for k in ORDER},
        "ids and features": {"f": MATRIX[ORDER], "ids": ids[ORDER], "title": ids},
        "named": {"v": MATRIX[ORDER], "w": MATRIX, "item_id": ids[ORDER]},
        # A list of another length cannot hold the ids.
        "other lists": {"m": MATRIX[ORDER], "films": ids[ORDER], "bands": np.arange(3)},
    }
    np.savez(path, **arrays[form])
    check_vectors(tmp_path, KINDS[kind], path)


def test_arrays_by_index_are_in_numeric_order(tmp_path: Path) -> None:
    """arr_10 comes after arr_9 and not after arr_1."""
    ids = [*WORDS, "x", "y", "z"]
    np.savez(tmp_path / "f.npz", *MATRIX, *MATRIX[:3])
    listed = write(tmp_path / "ids.txt", "\n".join(ids) + "\n")
    passed(with_vectors(tmp_path, ids, tmp_path / "f.npz", "--feature-ids", listed))
    found = features(tmp_path / "out", "v")
    assert found == {token: MATRIX[k % N].tolist() for k, token in enumerate(ids)}


@pytest.mark.parametrize("form", ["per item", "group", "ids and features", "rows"])
def test_hdf5(tmp_path: Path, form: str) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        if form == "ids and features":
            file["features"], file["ids"] = MATRIX[ORDER], [MIXED[k] for k in ORDER]
        elif form == "rows":
            file["features"], file["row"] = MATRIX, ORDER
            file["item_id"] = np.array([MIXED[k] for k in ORDER], dtype="S")
        else:
            for k, token in enumerate(MIXED):
                file["all/" * (form == "group") + token] = MATRIX[k]
    check_vectors(tmp_path, MIXED, tmp_path / "f.h5")


def test_hdf5_reads_only_the_file_itself(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["m"] = MATRIX
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["m"], file["ids"] = h5py.ExternalLink(tmp_path / "secret.h5", "m"), WORDS
    refused(with_vectors(tmp_path, WORDS, tmp_path / "f.h5"), "holds 0 matrices")
    layout = h5py.VirtualLayout(MATRIX.shape, float)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "m", MATRIX.shape)
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["ids"] = WORDS
        file.create_virtual_dataset("m", layout)
    refused(with_vectors(tmp_path, WORDS, tmp_path / "g.h5"), "lies in other files")
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file.create_dataset("m", (10**9, 1000), "f4", chunks=(1000, 1000))
    refused(with_vectors(tmp_path, WORDS, tmp_path / "h.h5"), "claim to hold 4000000000000")


def test_a_crash_of_the_hdf5_reader_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libhdf5 ends with a segmentation fault on some damaged files."""
    path = write(tmp_path / "f.dat", b"\x89HDF\r\n\x1a\n" + bytes(100))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "h5py", None)
        refused(with_vectors(tmp_path, WORDS, path), "pip install h5py")
    pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    crash = subprocess.CompletedProcess([], -signal.SIGSEGV, "", "")
    monkeypatch.setattr(features_module.subprocess, "run", lambda *_, **__: crash)
    refused(with_vectors(tmp_path, WORDS, path), "HDF5 that cannot be read (its reader crashed)")


@pytest.mark.parametrize("form", ["list", "fixed", "large", "text", "index", "named index"])
def test_parquet(tmp_path: Path, form: str) -> None:
    ids = WORDS if form == "index" else MIXED
    tokens, rows = [ids[k] for k in ORDER], MATRIX[ORDER].tolist()
    path = tmp_path / "f.parquet"
    if "index" in form:
        index = pd.Index(tokens, name="item_id" if form == "named index" else None)
        pd.DataFrame(rows, columns=["0", "1", "2"], index=index).to_parquet(path)
    else:
        column = {
            "list": pa.array(rows, pa.list_(pa.float64())),
            "large": pa.array(rows, pa.large_list(pa.float64())),
            "fixed": pa.array(rows, pa.list_(pa.float64(), 3)),
            "text": pa.array(list(map(str, rows))),
        }[form]
        pq.write_table(pa.table({"emb": column, "item_id": tokens, "year": [1999] * N}), path)
    check_vectors(tmp_path, ids, path)


def test_columns_of_numbers_in_parquet(tmp_path: Path) -> None:
    """Text is not a feature, and a missing integer is a missing value."""
    frame = pd.DataFrame({"item_id": WORDS, "year": ["1999"] * N, "a": MATRIX[:, 0]})
    frame["b"] = pd.array([*range(N - 1), None], dtype="Int64")
    frame.to_parquet(tmp_path / "f.parquet")
    refused(with_vectors(tmp_path, WORDS, tmp_path / "f.parquet"), "1 values are NaN or Inf")
    passed(with_vectors(tmp_path, WORDS, tmp_path / "f.parquet", "--fix", "drop-rows"))
    expected = {WORDS[k]: [MATRIX[k][0], float(k)] for k in range(N - 1)}
    assert features(tmp_path / "out", "v") == expected


def test_two_columns_of_parquet_that_may_hold_the_ids_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(N), "code": list(map(int, MIXED)), "v": MATRIX.tolist()})
    frame.to_parquet(tmp_path / "f.parquet")
    refused(with_vectors(tmp_path, MIXED, tmp_path / "f.parquet"), "`code` may hold the ids")
    check_vectors(tmp_path, MIXED, tmp_path / "f.parquet", "--feature-id-column", "code")
    frame.rename(columns={"code": "item_id"}).to_parquet(tmp_path / "g.parquet")
    check_vectors(tmp_path, MIXED, tmp_path / "g.parquet")


def test_tensors(tmp_path: Path) -> None:
    torch.save({token: torch.tensor(MATRIX[k]) for k, token in enumerate(MIXED)}, tmp_path / "f.pt")
    check_vectors(tmp_path, MIXED, tmp_path / "f.pt")
    torch.save(torch.tensor(MATRIX).bfloat16(), tmp_path / "g.pt")
    ids = write(tmp_path / "ids.txt", "\n".join(MIXED) + "\n")
    passed(with_vectors(tmp_path, MIXED, tmp_path / "g.pt", "--feature-ids", ids))
    assert features(tmp_path / "out", "v")["8"] == [1.5, 1.25, -1.125]
    for tensor in (torch.eye(N).to_sparse(), torch.eye(N).to(torch.float8_e5m2)):
        torch.save(tensor, tmp_path / "g.pt")
        result = with_vectors(tmp_path, MIXED, tmp_path / "g.pt", "--feature-ids", ids)
        refused(result, "g.pt: holds a tensor that NumPy does not have")
    torch.save({"a": [1, 2]}, tmp_path / "h.pt")
    refused(with_vectors(tmp_path, MIXED, tmp_path / "h.pt"), "holds a list, not a tensor")


@pytest.mark.parametrize("vector", [[1.0, 2.0], [], [1.0, float("nan"), 2.0]])
@pytest.mark.parametrize("kind", ["map", "lines", "cells", "npz", "parquet", "word2vec"])
def test_a_broken_vector_names_its_item(tmp_path: Path, kind: str, vector: list[float]) -> None:
    rows = {f"i{k}": vector if k == 5 else MATRIX[k].tolist() for k in range(N)}
    path = tmp_path / ("f.npz" if kind == "npz" else "f")
    if kind == "map":
        write(path, json.dumps(rows))
    elif kind == "lines":
        entries = [{"item_id": token, "emb": row} for token, row in rows.items()]
        write(path, "".join(json.dumps(entry) + "\n" for entry in entries))
    elif kind == "cells":
        write(path, "item_id,v\n" + "".join(f'{token},"{row}"\n' for token, row in rows.items()))
    elif kind == "npz":
        np.savez(path, **{token: np.array(row) for token, row in rows.items()})
    elif kind == "parquet":
        pd.DataFrame({"item_id": list(rows), "v": list(rows.values())}).to_parquet(path)
    elif vector:
        texts = [f"{token} {' '.join(map(str, row))}\n" for token, row in rows.items()]
        write(path, f"{N} 3\n{''.join(texts)}")
    else:
        pytest.skip("a line of word2vec has numbers")
    refused(with_vectors(tmp_path, WORDS, path), "'i5'", "--fix drop-rows")
    passed(with_vectors(tmp_path, WORDS, path, "--fix", "drop-rows"))
    expected = {f"i{k}": MATRIX[k].tolist() for k in range(N) if k != 5}
    assert features(tmp_path / "out", "v") == expected


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("f.csv", gzip.compress(b"item_id,a\n", mtime=0), "gzip"),
        ("f.pkl", b"\x80\x04]\x94.", "pickle can run code"),
        ("f.npz", b"PK\x03\x04" + bytes(9), "cut or not a NumPy file"),
        ("f.parquet", b"PAR1" + bytes(9), "Parquet"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, named: str) -> None:
    refused(with_vectors(tmp_path, WORDS, write(tmp_path / name, content)), named)
