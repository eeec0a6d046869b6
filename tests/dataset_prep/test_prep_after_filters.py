"""Faults of features that depend on which rows, items and columns are left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, passed, refused, table, write

EVENTS = "user,item\n" + "".join(f"u{n % 4},{n}\n" for n in range(8))


def run(folder: Path, matrix: Any, fix: str, first: int = 0) -> Result:
    """Prepare ``folder/out`` from items 0 to 7; row 0 of the matrix is item ``first``."""
    np.save(folder / "f.npy", matrix)
    options = ["--features", f"v={folder / 'f.npy'}", "--rows-from", first]
    return table(folder, EVENTS, *options, "--fix", fix)


def healthy(n: int = 8) -> Any:
    return np.random.default_rng(0).standard_normal((n, 4))


def written(folder: Path) -> Any:
    return np.load(folder / "out" / "features" / "v.npy")


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
    refused(run(tmp_path, matrix, "drop-unrated", 1), "7 of its ids have interactions, but 8 would")
    passed(run(tmp_path, matrix, "drop-unrated,shift-ids", 1))
    found = features(tmp_path / "out", "v")
    assert list(found) == [str(n) for n in range(8)]
    np.testing.assert_allclose(found["7"], matrix[7], rtol=1e-6)


def test_large_negative_values_explode(tmp_path: Path) -> None:
    matrix = healthy()
    matrix[2, 1] = -3e15
    refused(run(tmp_path, matrix, ""), "1 columns explode beyond")
    passed(run(tmp_path, matrix, "drop-columns"))
    assert written(tmp_path).shape == (8, 3)


def test_the_manifest_and_the_command_say_what_was_dropped(tmp_path: Path) -> None:
    """Items 8 and 9 have no interaction: a run is told to ignore them if they are kept."""
    matrix = healthy(10)
    matrix[:, 1] = 7.0
    kept = passed(run(tmp_path, matrix, "drop-columns,keep-unrated"))
    assert "--unknown_items=ignore" in kept.out
    dropped = passed(run(tmp_path, matrix, "drop-columns,drop-unrated"))
    assert "--unknown_items=ignore" not in dropped.out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    entry = manifest["modalities"]["v"]
    assert (entry["columns_in_file"], entry["columns_dropped"]) == (4, 1)
