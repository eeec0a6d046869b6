"""Every fault of features is named, and mended only when asked for, with a count."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import Result, done, features, pairs, prepare, write

from dataset_prep.report import FIXES, parse_fixes
from recbole_painvrl.errors import UserError

N_ITEMS = 8
Matrix = npt.NDArray[Any]


def healthy(seed: int = 0, n: int = N_ITEMS, width: int = 4) -> Matrix:
    return np.random.default_rng(seed).standard_normal((n, width))


def run(
    folder: Path, matrix: Matrix, fix: str = "", ids: list[Any] | None = None, *options: str
) -> Result:
    """Prepare ``folder/out`` from users 0..3 who rated items 0..7, and this matrix."""
    rows = [f"u{n % 4},{n}\n" for n in range(N_ITEMS)]
    events = write(folder / "e.csv", "user,item\n" + "".join(rows))
    np.save(folder / "f.npy", matrix)
    write(folder / "f.ids", "".join(f"{n}\n" for n in ids or range(len(matrix))))
    extra = ["--fix", fix] if fix else []
    arguments = ["--input", events, "--features", f"v={folder / 'f.npy'}", *extra, *options]
    return prepare("table", *arguments, "--output", folder / "out")


def repairs(folder: Path) -> list[dict[str, Any]]:
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    found: list[dict[str, Any]] = manifest["provenance"]["repairs"]
    return found


def with_value(value: float, cells: list[tuple[int, int]]) -> Matrix:
    matrix = healthy()
    for cell in cells:
        matrix[cell] = value
    return matrix


COLUMN_3, ROW_5 = [(n, 3) for n in range(8)], [(5, n) for n in range(4)]
CONSTANT = with_value(7.0, COLUMN_3)
TWICE, NO_ID, OFF = [*range(8), 3], [*range(8), "null"], list(range(1, 9))
# Matrix, ids, what the message says, fix, shape after it.
BROKEN: dict[str, tuple[Matrix, list[Any] | None, str, str, tuple[int, int]]] = {
    "NaN": (with_value(np.nan, [(1, 2)]), None, "1 values are NaN or Inf", "drop-rows", (7, 4)),
    "Inf": (with_value(np.inf, [(1, 2)]), None, "columns 2", "drop-columns", (8, 3)),
    "NaN column": (with_value(np.nan, COLUMN_3[:6]), None, "6 values", "drop-columns", (8, 3)),
    "fill": (with_value(-np.inf, [(1, 2)]), None, "1 rows", "fill-mean", (8, 4)),
    "exploding": (with_value(3e15, [(4, 1)]), None, "explode", "drop-columns", (8, 3)),
    "constant": (CONSTANT, None, "1 columns are constant: columns 3", "drop-columns", (8, 3)),
    "keep": (CONSTANT, None, "constant", "keep-constant", (8, 4)),
    "zero row": (with_value(0.0, ROW_5), None, "'5'", "drop-rows", (7, 4)),
    "unrated": (healthy(n=9), None, "first '8'", "drop-unrated", (8, 4)),
    "unrated kept": (healthy(n=9), None, "first '8'", "keep-unrated", (9, 4)),
    "duplicate": (healthy(n=9), TWICE, "repeat an id, first '3'", "drop-duplicates", (8, 4)),
    "off by one": (healthy(), OFF, "off by one", "shift-ids", (8, 4)),
    "no id": (healthy(n=9), NO_ID, "1 rows have no id", "drop-rows", (8, 4)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_refused_with_its_fix_and_mended_with_a_count(tmp_path: Path, name: str) -> None:
    matrix, ids, what, fix, shape = BROKEN[name]
    refusal = run(tmp_path, matrix, ids=ids).refusal
    assert what in refusal
    assert "f.npy" in refusal
    assert "--fix" in refusal
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, matrix, fix, ids).code == 0
    assert [(r["fix"], r["where"]) for r in repairs(tmp_path)] == [(fix, "f.npy")]
    assert repairs(tmp_path)[0]["count"] >= 1
    assert np.load(tmp_path / "out" / "features" / "v.npy").shape == shape


def test_clip_and_standardise_tame_a_column(tmp_path: Path) -> None:
    assert run(tmp_path, with_value(3e15, [(4, 1)]), "clip,standardise").code == 0
    matrix = np.load(tmp_path / "out" / "features" / "v.npy").astype(np.float64)
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(matrix.std(axis=0), 1, atol=1e-6)
    assert {r["fix"] for r in repairs(tmp_path)} == {"clip", "standardise"}


def test_fill_uses_the_mean_of_the_column(tmp_path: Path) -> None:
    matrix = with_value(np.nan, [(1, 2)])
    assert run(tmp_path, matrix, "fill-mean").code == 0
    written = features(tmp_path / "out", "v")
    assert written["1"][2] == pytest.approx(np.nanmean(matrix[:, 2]), rel=1e-6)


def test_shifted_ids_meet_their_items(tmp_path: Path) -> None:
    matrix = healthy()
    assert run(tmp_path, matrix, "shift-ids", list(range(1, 9))).code == 0
    np.testing.assert_allclose(features(tmp_path / "out", "v")["0"], matrix[0], rtol=1e-6)


def test_float16_overflow_is_a_fault(tmp_path: Path) -> None:
    large = healthy()
    large[2, 2] = 1e5
    assert "float16" in run(tmp_path, large, "", None, "--dtype", "float16").refusal
    assert run(tmp_path, large, "standardise", None, "--dtype", "float16").code == 0
    assert np.load(tmp_path / "out" / "features" / "v.npy").dtype == np.float16


def test_dry_run_lists_every_fault_and_writes_nothing(tmp_path: Path) -> None:
    matrix = np.vstack([with_value(np.nan, [(1, 2)]), np.zeros((1, 4))])
    matrix[:8, 3] = 1.0
    result = run(tmp_path, matrix, "", None, "--dry-run")
    assert result.code == 2
    assert result.out.count("fault: ") == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "f.ids", "f.npy"]


@given(st.lists(st.sampled_from(sorted(BROKEN)), min_size=1, max_size=3, unique=True), st.data())
@settings(max_examples=12, deadline=None)
def test_the_suggested_repairs_mend_any_mixture(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    """Any cells of the given faults together: what the refusal suggests is enough."""
    folder = tmp_path_factory.mktemp("mixture")
    matrix = healthy(n=12, width=6)
    for name in names:
        row, column = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 5))
        if name in ("NaN", "Inf", "fill", "NaN column"):
            matrix[row, column] = np.nan
        elif name == "exploding":
            matrix[row, column] = -4e9
        elif name in ("constant", "keep"):
            matrix[:, column] = 2.0
        elif name == "zero row":
            matrix[row] = 0.0
    refused = run(folder, matrix)
    suggestion = re.search(r"--fix ([a-z,-]+)", refused.refusal)
    assert suggestion is not None
    mended = run(folder, matrix, suggestion[1])
    assert mended.code == 0, mended.err
    written = features(folder / "out", "v")
    assert set(written) <= {str(n) for n in range(N_ITEMS)}
    assert np.isfinite(list(written.values())).all()


def test_malformed_interactions_are_counted(tmp_path: Path) -> None:
    rows = "user,item,rating\na,x,1\nb,y,bad\na,y,2\nb,x,3,9\nc,x,\n"
    path = write(tmp_path / "e.csv", rows)
    refusal = prepare("table", "--input", path, "--output", tmp_path / "out").refusal
    assert "e.csv" in refusal
    assert "--fix drop-rows" in refusal
    done("table", "--input", path, "--output", tmp_path / "out", "--fix", "drop-rows")
    assert pairs(tmp_path / "out") == [("a", "x"), ("a", "y")]
    assert [r["count"] for r in repairs(tmp_path)] == [1, 1, 1]


def test_fixes_are_validated() -> None:
    assert parse_fixes(["clip, drop-rows", "clip"]) == {"clip", "drop-rows"}
    with pytest.raises(UserError, match="did you mean `drop-rows`"):
        parse_fixes(["drop-row"])
    with pytest.raises(UserError, match="contradict"):
        parse_fixes(["drop-unrated,keep-unrated"])
    assert all(re.fullmatch(r"[a-z-]+", name) for name in FIXES)


def test_columns_go_before_the_rows_that_they_leave_empty(tmp_path: Path) -> None:
    matrix = healthy()
    matrix[:, 3] = 7.0
    matrix[5, :3] = 0.0
    assert "item" in run(tmp_path, matrix, "drop-columns").refusal
    assert run(tmp_path, matrix, "drop-columns,drop-rows").code == 0
    assert np.load(tmp_path / "out" / "features" / "v.npy").shape == (7, 3)
    assert "5" not in features(tmp_path / "out", "v")
    assert [r["fix"] for r in repairs(tmp_path)] == ["drop-columns", "drop-rows"]


def test_an_exploding_column_with_gaps_is_clipped_by_its_finite_values(tmp_path: Path) -> None:
    matrix = with_value(np.nan, [(1, 2)])
    matrix[4, 2] = 3e15
    assert run(tmp_path, matrix, "clip,fill-mean").code == 2
    assert run(tmp_path, matrix, "clip,fill-mean,standardise").code == 0
    assert np.isfinite(np.load(tmp_path / "out" / "features" / "v.npy")).all()
