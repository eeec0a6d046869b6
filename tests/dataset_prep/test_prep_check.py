"""``check`` finds what was damaged afterwards; ``describe`` shows what is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from prep_support import done, manifest, prepare, refused, write

from dataset_prep.plot import at_least, concentration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, four items, one of them without features."""
    train = write(tmp_path / "train.csv", "user,item\na,x\na,y\nb,x\nb,z\n")
    test = write(tmp_path / "test.csv", "user,item\na,z\nb,w\n")
    items = write(tmp_path / "items.csv", "item,title\nx,The X\ny,The Y\nz,The Z\n")
    vectors = write(tmp_path / "f.csv", "item,a,b\nx,1,0\ny,0.9,0.1\nz,-1,1\n")
    done(
        "table", "--splits", f"train={train}", f"test={test}", "--items", items,
        "--features", f"visual={vectors}", "--output", tmp_path / "set",
    )  # fmt: skip
    return tmp_path / "set"


def save(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / "features" / "visual.npy"
    np.save(path, change(np.load(path)))


def edit(folder: Path, name: str, change: Callable[[str], str]) -> None:
    write(folder / name, change((folder / name).read_text()))


def rated(value: str) -> Callable[[str], str]:
    """Add a column of ratings with one value."""
    return lambda text: text.replace("\n", f"\t{value}\n").replace(value, "rating:float", 1)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (partial(edit, name="set.inter", change=lambda t: t + "c\tx\n"), "changed since"),
    "lost": (lambda f: (f / "set.item").unlink(), "set.item: missing"),
    "no table": (lambda f: (f / "set.inter").unlink(), "set.inter: missing"),
    "swapped rows": (partial(save, change=lambda m: m[::-1]), "visual.npy: changed"),
    "manifest": (lambda f: write(f / "manifest.json", "{"), "not readable as JSON"),
    "no checksums": (lambda f: write(f / "manifest.json", '{"name": "set"}'), "no checksums"),
    "NaN": (partial(save, change=lambda m: m * np.nan), "rows hold NaN or Inf"),
    "exploding": (partial(save, change=lambda m: m * 1e12), "columns exceed"),
    "text": (partial(save, change=lambda m: m.astype(str)), "holds <U"),
    "row lost": (partial(save, change=lambda m: m[1:]), "lists 3 rows"),
    "leak": (partial(edit, name="set.test.inter", change=lambda t: t + "a\tx\n"), "earlier split"),
    "unknown": (
        partial(edit, name="set.test.inter", change=lambda t: t + "b\ty\n"),
        "1 pairs are not in set.inter",
    ),
    "misspelt split": (
        lambda f: (f / "set.train.inter").rename(f / "set.trian.inter"),
        "splits test, trian; runs need",
    ),
    "no header": (partial(edit, name="set.inter", change=lambda t: "a\tx\n"), "has no type"),
    "cut": (partial(edit, name="set.inter", change=lambda t: t[:-3]), "1 in line 7"),
    "no id": (partial(edit, name="set.inter", change=lambda t: t + "NULL\tx\n"), "no user or item"),
    "NaN rating": (partial(edit, name="set.inter", change=rated("nan")), "in rating:float"),
    "word rating": (partial(edit, name="set.inter", change=rated("good")), "has 'good' in column"),
    "item twice": (partial(edit, name="set.item", change=lambda t: t + "x\tX\n"), "repeat an item"),
    "other items": (
        partial(edit, name="set.item", change=lambda t: t.splitlines()[0] + "\nq\tQ\n"),
        "none of its items is in the interactions",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("signed", [True, False])
def test_damage_is_found(folder: Path, name: str, signed: bool) -> None:
    damage, named = DAMAGES[name]
    damage(folder)
    if not signed:
        if name in ("changed", "lost", "swapped rows", "manifest", "no checksums"):
            pytest.skip("only checksums show it")
        (folder / "manifest.json").unlink()
    result = prepare("check", folder)
    assert result.code == 2
    assert any(named in line for line in result.out.splitlines() if line.startswith("broken: "))


def test_sound_folders(folder: Path, tmp_path: Path) -> None:
    write(folder / "splits" / "iid_ood-0123456789abcdef.npz", b"made by a run")
    write(folder / "splits" / "mine.npz", b"made by a user")
    write(folder / "caches" / "shift-01.json", b"made by a run")
    write(folder / "graphs" / "neighbours-01.npz", b"made by a run")
    result = done("check", folder)
    assert "broken" not in result.out and "iid_ood" not in result.out
    assert "caches" not in result.out and "graphs" not in result.out
    assert "6 interactions, 2 users, 4 items" in result.out
    assert "0 users and 1 items have no training row" in result.out
    assert "3 of 4 items (75.0%)" in result.out
    assert f"warning: {folder / 'splits' / 'mine.npz'}: not in the manifest" in result.out
    (folder / "manifest.json").unlink()
    assert "cannot be verified" in done("check", folder).out
    done("planted", "--users", "60", "--items", "50", "--output", tmp_path / "p")
    assert "truth: 2 modalities" in done("check", tmp_path / "p").out
    edit(tmp_path / "p", "truth/environments.tsv", lambda t: t + "nobody\tnothing\t0\n")
    assert "1 pairs are not in p.inter" in prepare("check", tmp_path / "p").out


def test_repeated_pairs_are_a_warning(folder: Path) -> None:
    """A run accepts them in one table, but not one pair in two splits."""
    (folder / "manifest.json").unlink()
    for name, row, kept in (
        ("set.inter", "a\tx\n", "a run keeps the first row of each pair, or the earliest if"),
        ("set.test.inter", "a\tz\n", "a run keeps the first row of each pair"),
    ):
        edit(folder, name, lambda text, row=row: text + row)  # type: ignore[misc]
        found = f"warning: {folder / name}: 1 rows repeat a (user, item) pair; {kept}"
        assert found in done("check", folder).out


@pytest.mark.parametrize("command", ["check", "describe"])
def test_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(folder)
    assert "6 interactions" in done(command, ".").out
    monkeypatch.chdir(folder / "features")
    assert "6 interactions" in done(command, "..").out
    refused(prepare(command, folder / "nothing"), "no such folder")
    refused(prepare(command, folder / "ml-100k"), "ml-100k comes inside RecBole")


def test_describe(folder: Path) -> None:
    result = done("describe", folder, "--items", "1")
    assert "6 interactions, 2 users, 4 items" in result.out
    assert "sparsity 25.0000%" in result.out
    assert "covers 3 of 4 items (75.0%)" in result.out
    assert "  The X: The Y (" in result.out
    assert "  The Z: " in done("describe", folder, "--item", "z").out
    refused(prepare("describe", folder, "--item", "q"), "no item 'q'")
    refused(prepare("describe", folder, "--items", "-1"), "must be 0 or more")
    # Column 0 is large noise; in all others x equals z.
    rows = np.array([[900.0, 1, 2, 3], [901.0, 3, 1, 2], [-900.0, 1, 2, 3.01]], dtype=np.float32)
    np.save(folder / "features" / "visual.npy", rows)
    assert "  The X: The Z (" in done("describe", folder, "--item", "x").out


def test_a_table_without_ids_cannot_be_described(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, all="")
    write(folder / "set.inter", HEADER + "NA\tx\n")
    refused(prepare("describe", folder), "no row of its .inter file has a user and an item")


def test_describe_plot(folder: Path, tmp_path: Path) -> None:
    values, fractions = at_least(np.array([1, 1, 2, 5]))
    assert values.tolist() == [1, 2, 5]
    assert fractions.tolist() == [4 / 4, 2 / 4, 1 / 4]
    most, held = concentration(np.array([1, 1, 2, 4]))
    assert most.tolist() == [0, 1 / 4, 2 / 4, 3 / 4, 1]
    assert held.tolist() == [0, 4 / 8, 6 / 8, 7 / 8, 1]
    pytest.importorskip("matplotlib")
    done("describe", folder, "--plot", tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 0
    for path in ("d.xyz", "none/d.png"):
        refused(prepare("describe", folder, "--plot", tmp_path / path), "--plot")


def test_the_manifest(folder: Path) -> None:
    found = manifest(folder)
    inputs = found["provenance"]["inputs"]
    assert [entry["name"] for entry in inputs] == ["train.csv", "test.csv", "f.csv", "items.csv"]
    assert all(len(entry["sha256"]) == 64 for entry in inputs)
    assert found["counts"] == {
        "read": 6, "without missing ids": 6, "without duplicates": 6, "train": 4, "test": 2,
    }  # fmt: skip
    assert found["modalities"]["visual"]["coverage"] == {"items": 3, "of": 4, "share": 0.75}


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
