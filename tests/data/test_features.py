"""Feature files: alignment, normalisation, and one clear line for every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_painvrl.data import features as features_module
from recbole_painvrl.data.features import aligned_features, all_modalities
from recbole_painvrl.errors import UserError

IDS = {"[PAD]": 0, "a": 1, "b": 2, "c": 3}
MATRIX = np.array([[3, 4], [0, 0], [1, 0]], dtype=np.float32)
TOKENS = ["c", "a", "b"]


def write(
    folder: Path,
    matrix: Any = MATRIX,
    tokens: list[str] = TOKENS,
    rows: list[Any] | None = None,
    name: str = "visual",
) -> Path:
    (folder / "features").mkdir(exist_ok=True)
    np.save(folder / "features" / f"{name}.npy", matrix, allow_pickle=True)
    numbers = range(len(tokens)) if rows is None else rows
    lines = [f"{row}\t{token}\n" for row, token in zip(numbers, tokens, strict=True)]
    table = "row\titem_id\n" + "".join(lines)
    (folder / "features" / f"{name}.items.tsv").write_text(table, encoding="utf-8")
    return folder


def fault(folder: Path, modality: str = "visual", **choices: Any) -> str:
    """The one line of the error, with its file checked."""
    with pytest.raises(UserError) as caught:
        aligned_features(folder, modality, IDS, 4, **choices)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder / "features" / modality))
    assert ";" in message, "the message says what to do"
    return message


def npy(folder: Path) -> Path:
    return folder / "features" / "visual.npy"


def tsv(folder: Path) -> Path:
    return folder / "features" / "visual.items.tsv"


@given(st.permutations(range(6)), st.permutations(range(6)), st.sampled_from(["<f2", "<f4", ">f8"]))
@settings(max_examples=25, deadline=None)
def test_neither_row_order_nor_line_order_matters(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], lines: list[int], dtype: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    matrix = np.random.default_rng(0).integers(-4, 5, (6, 3)).astype(np.float32)
    ids = {f"i{n}": n + 1 for n in range(6)}
    write(
        folder,
        matrix[rows].astype(dtype),
        tokens=[f"i{rows[line]}" for line in lines],
        rows=lines,
    )
    norms = np.linalg.norm(matrix.astype(float), axis=1, keepdims=True)
    expected = np.divide(matrix, norms, out=np.zeros((6, 3)), where=norms > 0)
    aligned = aligned_features(folder, "visual", ids, 7).matrix
    np.testing.assert_allclose(aligned[1:], expected, rtol=1e-6)


def test_missing_items_zero_or_mean(tmp_path: Path) -> None:
    write(tmp_path, MATRIX[[0, 2]], ["c", "b"])
    zero = aligned_features(tmp_path, "visual", IDS, 4, missing="zero")
    assert zero.n_missing == 1
    assert not zero.matrix[1].any()
    mean = aligned_features(tmp_path, "visual", IDS, 4, missing="mean").matrix
    direction = np.array([3 / 5 + 1, 4 / 5]) / np.hypot(3 / 5 + 1, 4 / 5)
    np.testing.assert_allclose(mean[1], direction, rtol=1e-6)
    assert not mean[0].any(), "padding stays zero"


def test_missing_items_can_be_an_error(tmp_path: Path) -> None:
    write(tmp_path, MATRIX[[0, 2]], ["c", "b"])
    message = fault(tmp_path, missing="error")
    assert "1 of 3 items have no row, first item 'a'" in message
    assert "missing_modality" in message


def test_unknown_ids_are_an_error_or_counted(tmp_path: Path) -> None:
    write(tmp_path, tokens=["a", "b", "x"])
    message = fault(tmp_path)
    assert "1 of 3 item ids" in message and "first 'x' in row 2" in message
    assert "unknown_items: ignore" in message
    aligned = aligned_features(tmp_path, "visual", IDS, 4, unknown="ignore")
    assert (aligned.n_unknown, aligned.n_missing) == (1, 1)
    np.testing.assert_allclose(aligned.matrix[1], [3 / 5, 4 / 5], rtol=1e-6)
    assert not aligned.matrix[[0, 2, 3]].any(), "the unknown row went nowhere, not to padding"


def test_no_id_in_common_shows_both_kinds_of_id(tmp_path: Path) -> None:
    write(tmp_path, tokens=["i1", "i2", "i3"])
    message = fault(tmp_path, unknown="ignore")
    assert "none of its 3 item ids" in message and "'a'" in message and "'i1'" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    matrix = MATRIX.copy()
    matrix[1, 0] = matrix[2, 1] = value
    message = fault(write(tmp_path, matrix))
    assert "2 values are NaN or Inf" in message
    assert f"first {value} in row 1, column 0" in message


def test_exploding_columns_are_named(tmp_path: Path) -> None:
    matrix = MATRIX.copy()
    matrix[2, 1] = -2e6
    message = fault(write(tmp_path, matrix))
    assert "1 columns have values above 1e+06 (columns 1; largest 2e+06)" in message
    assert "drop these columns" in message


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        (np.array([[1, None], [2, 3], [4, 5]], dtype=object), "Python objects"),
        (np.ones((3, 0), dtype=np.float32), "has shape (3, 0)"),
        (np.ones((3, 2), dtype=np.int64), "int64 values"),
        (np.array([["a", "b"]] * 3), "values; save the rows as float32"),
    ],
)
def test_wrong_arrays(tmp_path: Path, matrix: Any, found: str) -> None:
    assert found in fault(write(tmp_path, matrix))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path(tmp_path / "sprung").touch, ()

    write(tmp_path, np.array([[Trap()], [Trap()], [Trap()]], dtype=object))
    fault(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_at_any_place(tmp_path: Path, kept: int) -> None:
    write(tmp_path)
    content = npy(tmp_path).read_bytes()
    npy(tmp_path).write_bytes(content[:kept])
    message = fault(tmp_path)
    assert "not a readable .npy file" in message


def test_missing_matrix_suggests_a_name(tmp_path: Path) -> None:
    write(tmp_path)
    message = fault(tmp_path, "visuals")
    assert "no such file, the dataset has features for visual" in message
    assert "did you mean `visual`?" in message


def test_a_list_of_items_without_its_matrix_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, name="text")
    assert all_modalities(tmp_path) == ["text", "visual"]
    npy(tmp_path).unlink()
    with pytest.raises(UserError) as caught:
        all_modalities(tmp_path)
    assert str(caught.value).startswith(f"{npy(tmp_path)}: no such file, but visual.items.tsv")
    assert str(caught.value).endswith("`--modalities=[text]`")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("", "instead of the header"),
        ("0\tc\n1\ta\n2\tb\n", "first line is ['0', 'c'] instead of the header"),
        ("row\titem_id\n0\tc\n1\ta\n", "lists 2 rows, visual.npy has 3"),
        ("row\titem_id\n0\tc\n1\ta\n3\tb\n", "line 4 is ['3', 'b'], not row<TAB>item_id with"),
        ("row\titem_id\n0\tc\n0\ta\n2\tb\n", "line 3 is ['0', 'a'], not"),
        ("row\titem_id\n0\tc\n1\n2\tb\n", "line 3 is ['1'], not row<TAB>item_id"),
        ("row\titem_id\n0\tc\n1\tb\n2\tb\n", "item 'b' is in rows 1 and 2"),
    ],
)
def test_wrong_tables(tmp_path: Path, table: str, found: str) -> None:
    write(tmp_path)
    tsv(tmp_path).write_text(table, encoding="utf-8")
    assert found in fault(tmp_path)


def test_blocks_of_rows_are_one_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows, two at a time: rows, mean direction, constant columns and places of faults."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(5, 3)).astype(np.float32)
    matrix[:, 2] = 2.0
    # Column 1 is constant in every block, and is not constant.
    matrix[:, 1] = [4.0, 4.0, 5.0, 5.0, 6.0]
    tokens = [f"i{n}" for n in (3, 1, 5, 4, 2)]
    ids = {"[PAD]": 0, **{f"i{n}": n for n in range(1, 7)}}
    write(tmp_path, matrix, tokens)
    expected = np.zeros((7, 3))
    for row, token in zip(matrix.astype(np.float64), tokens, strict=True):
        expected[ids[token]] = row / np.sqrt((row**2).sum())
    expected[6] = expected.sum(axis=0) / np.sqrt((expected.sum(axis=0) ** 2).sum())
    monkeypatch.setattr(features_module, "_BLOCK_CELLS", 6)
    aligned = aligned_features(tmp_path, "visual", ids, 7, "mean")
    np.testing.assert_allclose(aligned.matrix, expected, rtol=1e-6)
    assert (aligned.n_missing, aligned.n_constant_columns) == (1, 1)
    matrix[3, 1], matrix[4, 2] = np.nan, np.inf
    with pytest.raises(UserError, match="2 values are NaN or Inf, first nan in row 3, column 1"):
        aligned_features(write(tmp_path, matrix, tokens), "visual", ids, 7, "mean")
