"""Every fault of features is named, and repaired only if requested, with a count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import Result, done, features, manifest, pairs, passed, refused, table, write

from dataset_prep.fix.features import repair_again, repair_ids, repair_rows
from dataset_prep.fix.selection import Selection
from dataset_prep.read import matrices
from dataset_prep.read.matrices import FeatureTable, Spool
from dataset_prep.report import Report, parse_fixes
from recbole_painvrl.errors import UserError

N_ITEMS = 8
EVENTS = "user,item\n" + "".join(f"u{n % 4},{n}\n" for n in range(N_ITEMS))
Matrix = npt.NDArray[Any]


def run(folder: Path, matrix: Matrix, fix: str = "", ids: Any = None, *options: Any) -> Result:
    """Prepare ``folder/out`` from items 0 to 7 and this matrix."""
    np.save(folder / "f.npy", matrix)
    write(folder / "f.ids", "".join(f"{n}\n" for n in ids or range(len(matrix))))
    return table(folder, EVENTS, "--features", f"v={folder / 'f.npy'}", "--fix", fix, *options)


def written(folder: Path) -> Matrix:
    return np.asarray(np.load(folder / "out" / "features" / "v.npy"))


def repairs(folder: Path) -> list[tuple[str, str]]:
    found = manifest(folder / "out")["provenance"]["repairs"]
    assert all(repair["count"] >= 1 for repair in found)
    return [(repair["fix"], repair["where"]) for repair in found]


def healthy(n: int = N_ITEMS, width: int = 4) -> Matrix:
    return np.random.default_rng(0).standard_normal((n, width))


def with_value(value: float, *cells: Any) -> Matrix:
    matrix = healthy()
    for cell in cells:
        matrix[cell] = value
    return matrix


CONSTANT = with_value(7.0, np.s_[:, 3])
TWICE, NO_ID, OFF = [*range(8), 3], [*range(8), "null"], list(range(1, 9))
# Matrix, ids, words of the message, fix, shape after it.
BROKEN: dict[str, tuple[Matrix, list[Any] | None, str, str, tuple[int, int]]] = {
    "NaN": (with_value(np.nan, (1, 2)), None, "1 values are NaN or Inf", "drop-rows", (7, 4)),
    "Inf": (with_value(np.inf, (1, 2)), None, "columns 2", "drop-columns", (8, 3)),
    "NaN column": (with_value(np.nan, np.s_[:6, 3]), None, "6 values", "drop-columns", (8, 3)),
    "exploding": (with_value(3e15, (4, 1)), None, "explode", "drop-columns", (8, 3)),
    "negative": (with_value(-3e15, (2, 1)), None, "1 columns explode", "drop-columns", (8, 3)),
    "constant": (CONSTANT, None, "1 columns are constant: columns 3", "drop-columns", (8, 3)),
    "keep": (CONSTANT, None, "constant", "keep-constant", (8, 4)),
    "zero row": (with_value(0.0, np.s_[5]), None, "'5'", "drop-rows", (7, 4)),
    "unrated": (healthy(n=9), None, "first '8'", "drop-unrated", (8, 4)),
    "unrated kept": (healthy(n=9), None, "first '8'", "keep-unrated", (9, 4)),
    "duplicate": (healthy(n=9), TWICE, "repeat an id, first '3'", "drop-duplicates", (8, 4)),
    "off by one": (healthy(), OFF, "off by one", "shift-ids", (8, 4)),
    "no id": (healthy(n=9), NO_ID, "1 rows have no id", "drop-rows", (8, 4)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_refused_with_its_repair(tmp_path: Path, name: str) -> None:
    matrix, ids, what, fix, shape = BROKEN[name]
    refused(run(tmp_path, matrix, ids=ids), what, "f.npy", "--fix")
    assert not (tmp_path / "out").exists()
    passed(run(tmp_path, matrix, fix, ids))
    assert repairs(tmp_path) == [(fix, "f.npy")]
    assert written(tmp_path).shape == shape
    if name == "off by one":
        np.testing.assert_allclose(features(tmp_path / "out", "v")["0"], matrix[0], rtol=1e-6)


def test_standardise_and_float16(tmp_path: Path) -> None:
    large = with_value(1e5, (2, 2))
    passed(run(tmp_path, large, "standardise"))
    np.testing.assert_allclose(written(tmp_path).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(written(tmp_path).std(axis=0), 1, atol=1e-6)
    refused(run(tmp_path, large, "", None, "--dtype", "float16"), "float16")
    passed(run(tmp_path, large, "standardise", None, "--dtype", "float16"))
    assert written(tmp_path).dtype == np.float16


@pytest.mark.parametrize(("scale", "offset"), [(1e-8, 0.0), (0.1, 4000.0)])
def test_what_float16_would_lose_is_a_fault(tmp_path: Path, scale: float, offset: float) -> None:
    matrix = scale * healthy() + offset
    passed(run(tmp_path, matrix))
    refused(run(tmp_path, matrix, "", None, "--dtype", "float16"), "vary by less than float16")
    passed(run(tmp_path, matrix, "standardise", None, "--dtype", "float16"))
    assert (written(tmp_path).std(axis=0) > 0.5).all()


def test_right_ids_among_missing_ones_are_not_off_by_one(tmp_path: Path) -> None:
    """One more of them would be rated after a shift, by chance."""
    rated = [n for n in range(1, 101) if n not in (50, 51)]
    ids = [n for n in range(1, 101) if n not in (49, 100)]
    matrix = np.random.default_rng(0).random((len(ids), 4))
    shifted, kept = (sum(n + step in rated for n in ids) for step in (1, 0))
    assert shifted > kept
    np.save(tmp_path / "f.npy", matrix)
    write(tmp_path / "f.ids", "".join(f"{n}\n" for n in ids))
    events = "user,item\n" + "".join(f"u{n % 4},{n}\n" for n in rated)
    words = ("--features", f"v={tmp_path / 'f.npy'}", "--fix", "drop-unrated,shift-ids")
    passed(table(tmp_path, events, *words))
    found = features(tmp_path / "out", "v")
    assert all(np.allclose(found[str(n)], matrix[ids.index(n)]) for n in ids if n in rated)


def test_columns_of_different_scale_are_noted(tmp_path: Path) -> None:
    columns = healthy(width=8)
    assert "nearly all variance" not in passed(run(tmp_path, columns)).out
    columns[:, 0] *= 1000
    assert "about 1 of 8 columns hold nearly all variance" in passed(run(tmp_path, columns)).out


def test_a_dry_run_lists_every_fault_and_writes_nothing(tmp_path: Path) -> None:
    matrix = np.vstack([with_value(np.nan, (1, 2)), np.zeros((1, 4))])
    matrix[:8, 3] = 1.0
    result = run(tmp_path, matrix, "", None, "--dry-run")
    assert result.code == 2
    assert result.out.count("fault: ") == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "f.ids", "f.npy"]


@given(st.lists(st.sampled_from(sorted(BROKEN)), min_size=1, max_size=3, unique=True), st.data())
@settings(max_examples=12, deadline=None)
def test_the_suggested_repairs_are_enough_for_any_mixture(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("mixture")
    matrix = healthy(n=12, width=6)
    for name in names:
        row, column = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 5))
        if name in ("NaN", "Inf", "NaN column"):
            matrix[row, column] = np.nan
        elif name == "exploding":
            matrix[row, column] = -4e9
        elif name in ("constant", "keep"):
            matrix[:, column] = 2.0
        elif name == "zero row":
            matrix[row] = 0.0
    suggestion = re.search(r"--fix ([a-z,-]+)", run(folder, matrix).refusal)
    assert suggestion is not None
    passed(run(folder, matrix, suggestion[1]))
    found = features(folder / "out", "v")
    assert set(found) <= {str(n) for n in range(N_ITEMS)}
    assert np.isfinite(list(found.values())).all()


def test_columns_are_dropped_before_the_rows_that_they_leave_empty(tmp_path: Path) -> None:
    matrix = with_value(7.0, np.s_[:, 3])
    matrix[5, :3] = 0.0
    refused(run(tmp_path, matrix, "drop-columns"), "item")
    passed(run(tmp_path, matrix, "drop-columns,drop-rows"))
    assert written(tmp_path).shape == (7, 3)
    assert "5" not in features(tmp_path / "out", "v")
    assert [fix for fix, _ in repairs(tmp_path)] == ["drop-columns", "drop-rows"]


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_features_without_any_column_are_refused(tmp_path: Path, value: float) -> None:
    matrix = np.full((8, 2), value)
    refused(
        run(tmp_path, matrix, "drop-columns"), "constant" if value == 7 else "no column is left"
    )
    assert run(tmp_path, matrix, "keep-constant").code == (0 if value == 7 else 2)


def test_malformed_interactions_are_counted(tmp_path: Path) -> None:
    rows = "user,item,rating\na,x,1\nb,y,bad\na,y,2\nb,x,3,9\nc,x,\n"
    refused(table(tmp_path, rows), "e.csv", "--fix drop-rows")
    passed(table(tmp_path, rows, "--fix", "drop-rows"))
    assert pairs(tmp_path / "out") == [("a", "x"), ("a", "y")]
    assert repairs(tmp_path) == [("drop-rows", "e.csv")] * 3


def test_fixes_are_validated() -> None:
    assert parse_fixes(["standardise, drop-rows", "standardise"]) == {"standardise", "drop-rows"}
    for name, word in (
        ("drop-row", "did you mean `drop-rows`"),
        ("shift-ids,keep-ids", "contradict"),
    ):
        with pytest.raises(UserError, match=word):
            parse_fixes([name])


def test_a_column_that_filters_make_constant_is_a_fault(tmp_path: Path) -> None:
    """Only item z, which has one user, has another value in the first column."""
    path = write(tmp_path / "f.csv", "item,a,b\nx,1,2\ny,1,3\nz,5,1\n")
    options = ["--features", f"v={path}", "--k-core", 2]
    events = "user,item\na,x\na,y\nb,x\nb,y\nb,z\n"
    refused(table(tmp_path, events, *options), "1 columns are constant: columns 0")
    passed(table(tmp_path, events, *options, "--fix", "drop-columns"))
    assert features(tmp_path / "out", "v") == {"x": [2.0], "y": [3.0]}
    passed(table(tmp_path, events, *options, "--fix", "keep-constant"))
    assert features(tmp_path / "out", "v") == {"x": [1.0, 2.0], "y": [1.0, 3.0]}


@pytest.mark.parametrize(("broken", "shape"), [(3, (5, 4)), (4, (4, 4)), (5, (7, 3))])
def test_a_column_is_dropped_if_most_of_its_values_are_broken(
    tmp_path: Path, broken: int, shape: tuple[int, int]
) -> None:
    """With both repairs; a single value of another column always costs its row."""
    matrix = healthy()
    matrix[:broken, 3] = np.nan
    matrix[0, 1] = np.inf
    passed(run(tmp_path, matrix, "drop-rows,drop-columns"))
    assert written(tmp_path).shape == shape


def test_ids_are_off_by_one_although_most_rows_are_of_other_items(tmp_path: Path) -> None:
    matrix = healthy(20)
    refused(
        run(tmp_path, matrix, "drop-unrated", range(1, 21)),
        "7 of its ids have interactions, but 8 would",
    )
    passed(run(tmp_path, matrix, "drop-unrated,shift-ids", range(1, 21)))
    found = features(tmp_path / "out", "v")
    assert list(found) == [str(n) for n in range(8)]
    np.testing.assert_allclose(found["7"], matrix[7], rtol=1e-6)


def test_the_manifest_and_the_command_say_what_was_dropped(tmp_path: Path) -> None:
    """Items 8 and 9 have no interaction: a run is told to ignore them if they are kept."""
    matrix = healthy(10)
    matrix[:, 1] = 7.0
    kept = passed(run(tmp_path, matrix, "drop-columns,keep-unrated"))
    assert "--unknown_items=ignore" in kept.out
    dropped = passed(run(tmp_path, matrix, "drop-columns,drop-unrated"))
    assert "--unknown_items=ignore" not in dropped.out
    entry = manifest(tmp_path / "out")["modalities"]["v"]
    assert (entry["columns_in_file"], entry["columns_dropped"]) == (4, 1)


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


def test_rows_that_are_empty_without_a_constant_column_are_a_fault(tmp_path: Path) -> None:
    """Item 9, which the filter removes, was the only one with another value in column a."""
    rows = "0,1,0,0\n1,1,1,.5\n2,1,0,1\n3,1,0,0\n9,2,0,1\n"
    path = write(tmp_path / "f.csv", "item,a,b,c\n" + rows)
    events = "user,item\n" + "".join(f"{u},{n}\n" for u in "uvw" for n in range(4)) + "u,9\n"
    options = ["--features", f"v={path}", "--k-core", "2", "--all-modalities", "--fix"]
    result = table(tmp_path, events, *options, "drop-columns")
    refused(result, "2 items have a row without content where constant columns", "drop-rows")
    passed(table(tmp_path, events, *options, "drop-columns,drop-rows"))
    assert features(tmp_path / "out", "v") == {"1": [1, 0.5], "2": [0, 1]}
    assert {item for _, item in pairs(tmp_path / "out")} == {"1", "2"}


def test_columns_are_checked_again_without_rows_that_are_empty() -> None:
    """Column c is constant without item 2, whose row is empty without column a."""
    values = np.array([[1.0, 3, 2], [1, 1, 2], [1, 0, 0]])
    selection, report = selected(values), Report(frozenset({"drop-columns", "drop-rows"}))
    assert repair_again(selection, report)
    assert selection.tokens.tolist() == ["0", "1"]
    assert selection.columns.tolist() == [1]
    assert not repair_again(selection, report)


def test_rows_of_an_earlier_reader_are_not_read_again(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        spool = Spool(tmp_path / "rows", 2)
        spool.add(np.full((3, 2), value))
        matrix = spool.matrix(tmp_path / "f.csv")
        assert matrix[0:3].tolist() == [[value, value]] * 3
