"""What ``check`` says about splits, checksums and values of a folder without a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prep_support import done, prepare, write

HEADER = "user_id:token\titem_id:token\n"


def folder_of(folder: Path, **tables: str) -> Path:
    """A folder with these rows, ``ax by``, in ``set.inter`` (``all``) and in splits."""
    for name, rows in tables.items():
        text = HEADER + "".join(f"{pair[0]}\t{pair[1:]}\n" for pair in rows.split())
        write(folder / "set" / f"set{'' if name == 'all' else '.' + name}.inter", text)
    return folder / "set"


def test_a_pair_of_training_and_test_leaks_past_validation(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, all="ax ay bx by", train="ax by", valid="ay", test="bx ax")
    assert "set.test.inter: 1 pairs are in an earlier split too" in prepare("check", folder).out
    folder = folder_of(tmp_path, all="ax ay bx by", train="ax by", valid="ay", test="bx")
    out = done("check", folder).out
    assert "earlier split" not in out and "in no split" not in out


def test_interactions_in_no_split_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, all="ax ay az bx by", train="ax by", test="bx")
    assert f"warning: {folder}: 2 interactions are in no split" in done("check", folder).out


def test_pairs_of_many_items_are_told_apart(tmp_path: Path) -> None:
    items = [f"a{n}" for n in range(70_000)]
    out = done("check", folder_of(tmp_path, all=" ".join([*items, "b0", "b1"]))).out
    assert "repeat" not in out
    assert "70,002 interactions, 2 users, 70,000 items" in out


def test_ratings_of_zero_are_a_warning(tmp_path: Path) -> None:
    rows = "user_id:token\titem_id:token\trating:float\na\tx\t0\na\ty\t1\nb\tx\t0\n"
    write(tmp_path / "set" / "set.inter", rows)
    assert "2 of 3 rows have rating <= 0" in done("check", tmp_path / "set").out


@pytest.mark.parametrize("rows", [1, 2])
def test_constant_columns_are_a_warning_only_with_several_rows(tmp_path: Path, rows: int) -> None:
    folder = folder_of(tmp_path, all="ax ay bx by")
    lines = ["row\titem_id\n", "0\tx\n", "1\ty\n"]
    write(folder / "features" / "v.items.tsv", "".join(lines[: rows + 1]))
    np.save(folder / "features" / "v.npy", np.array([[1.0, 2.0], [1.0, 3.0]])[:rows])
    out = done("check", folder).out
    assert ("columns are constant" in out) == (rows == 2)
    np.save(folder / "features" / "v.npy", np.full((rows, 2), np.nan))
    broken = prepare("check", folder)
    assert broken.code == 2 and "ok: v:" not in broken.out and "ok: v:" in out


def test_a_true_mask_with_more_columns_than_the_features_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    done("planted", "--users", 60, "--items", 50, "--output", folder)
    path = folder / "truth" / "columns.tsv"
    lines = path.read_text().splitlines(keepends=True)
    name, number, *rest = lines[-1].split("\t")
    write(path, "".join([*lines, "\t".join([name, str(int(number) + 1), *rest])]))
    assert "columns for" in prepare("check", folder).out
