"""DiffMM: published pickled matrices, read without running anything."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from prep_support import Result, features, pairs, passed, prepare

from dataset_prep.read.pickles import read_pickled_matrix
from recbole_painvrl.errors import UserError

SHAPE = (6, 8)
FILES = {"train": "trnMat.pkl", "valid": "valMat.pkl", "test": "tstMat.pkl"}


def entries(seed: int) -> sp.coo_matrix:
    draw = np.random.default_rng(seed)
    return sp.coo_matrix((draw.random(SHAPE) < 0.4).astype(np.float32))


def release(folder: Path) -> Path:
    folder.mkdir()
    left = np.zeros(SHAPE, dtype=bool)
    for seed, name in enumerate(FILES.values()):
        dense = entries(seed).toarray() * ~left
        left |= dense != 0
        (folder / name).write_bytes(pickle.dumps(sp.coo_matrix(dense)))
    for modality in ("image", "text"):
        np.save(folder / f"{modality}_feat.npy", np.random.default_rng(9).normal(size=(8, 4)))
    return folder


def convert(folder: Path, *options: Any) -> Result:
    return prepare("diffmm", "--input", folder, "--output", folder.parent / "out", *options)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_every_protocol_and_layout_is_read(tmp_path: Path, protocol: int, layout: str) -> None:
    path = tmp_path / "m.pkl"
    for kind in (np.float64, np.int8, np.bool_, np.dtype(">f4")):
        matrix = entries(3).asformat(layout)
        # SciPy of today makes no matrix of the other byte order, but releases hold some.
        matrix.data = matrix.data.astype(kind)
        path.write_bytes(pickle.dumps(matrix, protocol=protocol))
        assert (read_pickled_matrix(path).toarray() == entries(3).toarray()).all()


def test_dense_and_old_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(entries(1).toarray()))
    assert (read_pickled_matrix(path).toarray() == entries(1).toarray()).all()
    old = pickle.dumps(entries(1), protocol=2).replace(b"scipy.sparse._coo", b"scipy.sparse.coo")
    path.write_bytes(old.replace(b"numpy.core.", b"numpy._core."))
    assert (read_pickled_matrix(path).toarray() == entries(1).toarray()).all()


def test_the_release_converts_with_ids_aligned(tmp_path: Path) -> None:
    folder = release(tmp_path / "tiktok")
    passed(convert(folder, "--fix", "drop-unrated"))
    out = tmp_path / "out"
    train = entries(0)
    wanted = {(str(user), str(item)) for user, item in zip(train.row, train.col, strict=True)}
    assert set(pairs(out, "train")) == wanted
    stored = np.load(folder / "image_feat.npy")
    rows = features(out, "visual")
    assert all(rows[item] == pytest.approx(stored[int(item)].tolist()) for item in rows)


class _Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def harmful(mark: Path) -> dict[str, bytes]:
    """Pickles that would create ``mark``, by different ways."""
    command = f"touch {mark}"
    text = str(mark).encode()
    return {
        "posix.system": pickle.dumps(_Runs(os.system, command)),
        "builtins.eval": pickle.dumps(_Runs(eval, f"open({str(mark)!r}, 'w')")),
        "builtins.exec": pickle.dumps({"data": [_Runs(exec, f"open({str(mark)!r}, 'w')")]}),
        "builtins.open": b"\x80\x02cbuiltins\nopen\nX"
        + len(text).to_bytes(4, "little")
        + text
        + b"X\x01\x00\x00\x00w\x86R.",
        "builtins.getattr": pickle.dumps(_Runs(getattr, "text", "upper")),
        "numpy.load": pickle.dumps(_Runs(np.load, str(mark))),
        "os.path.join": b"\x80\x04\x8c\x07os.path\x8c\x04join\x93.",
        "numpy.ndarray.tofile": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "collections.Counter": pickle.dumps(Counter("ab")),
        "scipy.sparse._dok.dok_matrix": pickle.dumps(entries(0).todok(), protocol=4),
        "numpy.memmap": b"\x80\x02cnumpy\nmemmap\nX"
        + len(text).to_bytes(4, "little")
        + text
        + b"X\x05\x00\x00\x00uint8X\x02\x00\x00\x00w+\x87R.",
    }


@pytest.mark.parametrize("name", harmful(Path("x")))
def test_a_harmful_pickle_is_refused_by_name_and_never_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    folder = release(tmp_path / "tiktok")
    file = "valMat.pkl"
    (folder / file).write_bytes(harmful(mark)[name])
    refusal = convert(folder).refusal
    assert file in refusal and f"it names {name}" in refusal and "nothing in it was run" in refusal
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_harm_inside_a_true_matrix_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    matrix = entries(0)
    matrix.extra = _Runs(os.system, f"touch {mark}")
    folder = release(tmp_path / "tiktok")
    (folder / "trnMat.pkl").write_bytes(pickle.dumps(matrix))
    assert "it names posix.system" in convert(folder).refusal
    assert not mark.exists()


@given(st.integers(0, 2**31), st.sampled_from(["cut", "flip", "noise"]))
def test_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, seed: int, damage: str
) -> None:
    draw = np.random.default_rng(seed)
    content = bytearray(pickle.dumps(entries(0).tocsr(), protocol=int(draw.integers(2, 6))))
    if damage == "cut":
        content = content[: int(draw.integers(0, len(content)))]
    elif damage == "flip":
        content[int(draw.integers(0, len(content)))] ^= int(draw.integers(1, 256))
    else:
        content = bytearray(draw.bytes(200))
    path = tmp_path_factory.mktemp("m") / "m.pkl"
    path.write_bytes(content)
    try:
        matrix = read_pickled_matrix(path)
    except UserError as error:
        assert "\n" not in str(error) and "nothing in it was run" in str(error)
    else:
        assert damage == "flip" and isinstance(matrix, sp.coo_matrix)


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("indptr", [0, 3, 6, 9, 11, 14, -1_207_959_534], "index pointers"),
        ("indptr", [0, 9, 3, 9, 11, 14, 18], "index pointers"),
        ("indptr", [0, 3, 6, 9, 11, 14, 900], "index pointers"),
        ("indptr", [-5, 3, 6, 9, 11, 14, 18], "index pointers"),
        ("indices", [1, 2, 3, 3, 5, 7, 2, 4, 5, 1, 7, 0, 3, 7, 1, 3, 4, -6], "beyond the shape"),
        ("indices", [1, 2, 3, 3, 5, 7, 2, 4, 5, 1, 7, 0, 3, 7, 1, 3, 4, 8], "beyond the shape"),
        ("indices", [1, 2], "differ in number"),
        ("_shape", (6, -8), "beyond the shape"),
        ("_shape", (10**12, 8), "index pointers"),
    ],
)
def test_no_index_reaches_compiled_code_unchecked(
    tmp_path: Path, name: str, values: Any, word: str
) -> None:
    # SciPy 1.12 accepts the first of these in check_format(full_check=True); its tocoo() then
    # writes outside its memory.
    matrix = entries(0).tocsr()
    assert matrix.nnz == 18
    setattr(matrix, name, values if name == "_shape" else np.array(values, dtype=np.int32))
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(matrix))
    with pytest.raises(UserError, match=word):
        read_pickled_matrix(path)


def test_shapes_must_agree(tmp_path: Path) -> None:
    folder = release(tmp_path / "tiktok")
    (folder / "tstMat.pkl").write_bytes(pickle.dumps(entries(0).tocsr()[:, :7].tocoo()))
    assert "different shapes" in convert(folder).refusal
    (folder / "tstMat.pkl").unlink()
    assert "neither interactions.npz nor trnMat.pkl" in convert(folder).refusal


def test_splits_in_npz(tmp_path: Path) -> None:
    folder = release(tmp_path / "tiktok")
    splits = {"train": [[0, 0], [1, 1]], "val": [[0, 1]], "test": [[1, 0]]}
    arrays = {name: np.array(rows, dtype=np.int32) for name, rows in splits.items()}
    np.savez(folder / "interactions.npz", **arrays, shape=np.array([2, 8]))
    result = convert(folder, "--fix", "drop-unrated")
    assert result.code == 0 and "no modality acoustic" in result.out
    assert pairs(tmp_path / "out", "valid") == [("0", "1")]
    np.savez(folder / "interactions.npz", **arrays, shape=np.array([2, 1]))
    assert "beyond the stated 1" in convert(folder, "--force").refusal
    np.savez(folder / "interactions.npz", **arrays, shape=np.array([2, 9]))
    assert "has 8 rows for 9 items" in convert(folder, "--force").refusal
    for shape in (8, [8], ["2", "8"], [2.0, np.nan]):
        np.savez(folder / "interactions.npz", **arrays, shape=np.array(shape))
        assert "`shape` is not two whole numbers" in convert(folder, "--force").refusal
