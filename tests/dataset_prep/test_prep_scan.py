"""Statistics and standardisation of features that are read in several blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import done, features, write

from dataset_prep.fix.features import repair_ids, repair_rows
from dataset_prep.fix.selection import Selection
from dataset_prep.read import matrices
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import Report

BLOCKS = pytest.mark.parametrize("cells", [1, 10, 1 << 21])


def selected(matrix: Any, absent: Any = None) -> Selection:
    tokens = [str(row) for row in range(len(matrix))]
    return Selection.of(FeatureTable("v", "f.npy", tokens, matrix, absent))


@BLOCKS
def test_statistics_do_not_depend_on_the_blocks(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    """They are those of the finite values: every row of the first column has some elsewhere."""
    monkeypatch.setattr(matrices, "CELLS_PER_BLOCK", cells)
    matrix = np.random.default_rng(0).normal(size=(7, 5))
    matrix[:, 0] -= 1e4
    matrix[:, 3] = -2.0
    matrix[[0, 3, 5], 1], matrix[[1, 2, 4, 6], 2] = np.nan, np.inf
    found, finite = selected(matrix).scan(), np.where(np.isfinite(matrix), matrix, np.nan)
    np.testing.assert_allclose(found.mean, np.nanmean(finite, axis=0))
    np.testing.assert_allclose(found.deviation, np.nanstd(finite, axis=0), atol=1e-12)
    np.testing.assert_array_equal(found.largest, np.nanmax(np.abs(finite), axis=0))
    assert found.n_finite.tolist() == [7, 4, 3, 7, 7]
    assert found.broken_rows.all()
    assert found.constant.tolist() == [False, False, False, True, False]
    assert found.exploding(100).tolist() == [True, False, False, False, False]
    matrix[[2, 6]] = 0.0
    assert np.flatnonzero(selected(matrix).scan().zero_rows).tolist() == [2, 6]


@BLOCKS
def test_columns_are_standardised_over_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    """Over the rows that are written: the filter drops item 9, whose values are far off."""
    monkeypatch.setattr(matrices, "CELLS_PER_BLOCK", cells)
    rows = "".join(f"{n},{n * n - 3000},{n % 3}\n" for n in range(9)) + "9,900000,700\n"
    path = write(tmp_path / "f.csv", "item,a,b\n" + rows)
    events = "".join(f"{u},{n}\n" for u in "uv" for n in range(9)) + "w,9\n"
    done(
        "table", "--input", write(tmp_path / "e.csv", "user,item\n" + events), "--k-core", 2,
        "--features", f"v={path}", "--fix", "standardise", "--output", tmp_path / "out",
    )  # fmt: skip
    matrix = np.array(list(features(tmp_path / "out", "v").values()))
    assert matrix.shape == (9, 2)
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(matrix.std(axis=0), 1, atol=1e-6)


def test_rows_without_content_are_found_after_others_were_dropped() -> None:
    """Item 0 is dropped first; the mask of rows without content counts the rows of the file."""
    absent = np.array([False, False, True, False, True])
    selection = selected(np.random.default_rng(0).normal(size=(5, 3)), absent)
    report = Report(frozenset({"drop-unrated", "drop-rows"}))
    repair_ids(selection, ["1", "2", "3", "4"], report)
    repair_rows(selection, report)
    assert selection.tokens.tolist() == ["1", "3"]
    assert selection.rows.tolist() == [1, 3]
