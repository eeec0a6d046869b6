"""``check`` finds what was damaged afterwards; ``describe`` shows what is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prep_support import done, prepare, write

from dataset_prep.plot import at_least, concentration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, four items, one of them without a row."""
    train = write(tmp_path / "train.csv", "user,item\na,x\na,y\nb,x\nb,z\n")
    test = write(tmp_path / "test.csv", "user,item\na,z\nb,w\n")
    items = write(tmp_path / "items.csv", "item,title\nx,The X\ny,The Y\nz,The Z\n")
    vectors = write(tmp_path / "f.csv", "item,a,b\nx,1,0\ny,0.9,0.1\nz,-1,1\n")
    done(
        "table", "--splits", f"train={train}", f"test={test}", "--items", items,
        "--features", f"visual={vectors}", "--output", tmp_path / "set",
    )  # fmt: skip
    return tmp_path / "set"


def resave(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / "features" / "visual.npy"
    np.save(path, change(np.load(path)))


def unsign(folder: Path) -> None:
    """Take the checksums away, so that later checks are seen alone."""
    (folder / "manifest.json").unlink()


def test_a_sound_folder(folder: Path) -> None:
    result = prepare("check", folder)
    assert result.code == 0
    assert "broken" not in result.out
    assert "6 interactions, 2 users, 4 items" in result.out
    assert "0 users and 1 items have no training row" in result.out
    assert "3 of 4 items (75.0%)" in result.out
    assert result.out.rstrip().endswith("sound")


def with_rating(path: Path, value: str) -> str:
    head, *rows = path.read_text().splitlines()
    return "".join(
        f"{line}\n" for line in [f"{head}\trating:float", *(f"{r}\t{value}" for r in rows)]
    )


def manifest_with(folder: Path, old: str, new: str) -> str:
    text = (folder / "manifest.json").read_text()
    assert old in text
    return text.replace(old, new)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (
        lambda f: write(f / "set.inter", (f / "set.inter").read_text() + "c\tx\n"),
        "changed since it was written",
    ),
    "lost file": (lambda f: (f / "set.item").unlink(), "set.item: missing"),
    "swapped rows": (lambda f: resave(f, lambda m: m[::-1]), "visual.npy: changed"),
    "broken manifest": (lambda f: write(f / "manifest.json", "{"), "not readable as JSON"),
    "no checksums": (lambda f: write(f / "manifest.json", '{"name": "set"}'), "no checksums"),
    "NaN": (lambda f: resave(f, lambda m: m * np.nan), "rows hold NaN or Inf"),
    "exploding": (lambda f: resave(f, lambda m: m * 1e12), "columns exceed"),
    "wrong dtype": (lambda f: resave(f, lambda m: m.astype(str)), "holds <U"),
    "row lost": (lambda f: resave(f, lambda m: m[1:]), "lists 3 rows"),
    "duplicate pair": (
        lambda f: write(f / "set.inter", (f / "set.inter").read_text() + "a\tx\n"),
        "1 rows repeat a pair",
    ),
    "leak": (
        lambda f: write(f / "set.test.inter", (f / "set.test.inter").read_text() + "a\tx\n"),
        "1 pairs are in an earlier split too",
    ),
    "stranger": (
        lambda f: write(f / "set.test.inter", (f / "set.test.inter").read_text() + "b\ty\n"),
        "1 pairs are not in set.inter",
    ),
    "no header": (
        lambda f: write(f / "set.inter", "a\tx\nb\ty\n"),
        "of the first line has no type",
    ),
    "cut": (lambda f: write(f / "set.inter", (f / "set.inter").read_bytes()[:-3]), "1 in line 7"),
    "missing id": (
        lambda f: write(f / "set.inter", (f / "set.inter").read_text() + "NULL\tx\n"),
        "1 rows have no user or item id",
    ),
    "no types": (
        lambda f: write(f / "set.inter", (f / "set.inter").read_text().replace(":token", "")),
        "column 'user_id' of the first line has no type",
    ),
    "rating that is none": (
        lambda f: write(f / "set.inter", with_rating(f / "set.inter", "nan")),
        "rows have no number in rating:float",
    ),
    "word for a rating": (
        lambda f: write(f / "set.inter", with_rating(f / "set.inter", "good")),
        "has 'good' in column `rating:float`",
    ),
    "item twice": (
        lambda f: write(f / "set.item", (f / "set.item").read_text() + "x\tThe X again\n"),
        "1 rows repeat an item",
    ),
    "strange items": (
        lambda f: write(f / "set.item", "item_id:token\tmovie_title:token_seq\nq\tQ\n"),
        "none of its items is in the interactions",
    ),
    "split of another size": (
        lambda f: write(f / "manifest.json", manifest_with(f, '"train": 4', '"train": 7')),
        "manifest.json: says splits {'train': 7",
    ),
    "modality of another size": (
        lambda f: write(f / "manifest.json", manifest_with(f, '"dims": 2', '"dims": 9')),
        "says visual is [3, 9], the file has [3, 2]",
    ),
    "modality unknown": (
        lambda f: write(f / "manifest.json", manifest_with(f, '"visual": {', '"sound": {')),
        "modality sound is in only one of",
    ),
    "no table": (lambda f: (f / "set.inter").unlink(), "set.inter: missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(folder: Path, name: str) -> None:
    damage, named = DAMAGES[name]
    damage(folder)
    result = prepare("check", folder)
    assert result.code == 2
    lines = [line for line in result.out.splitlines() if line.startswith("broken: ")]
    assert any(named in line for line in lines), lines


@pytest.mark.parametrize("name", ["NaN", "leak", "stranger", "missing id", "cut"])
def test_damage_is_found_without_checksums(folder: Path, name: str) -> None:
    damage, named = DAMAGES[name]
    damage(folder)
    unsign(folder)
    result = prepare("check", folder)
    assert result.code == 2
    assert named in result.out


def test_a_manifest_is_not_needed(folder: Path) -> None:
    unsign(folder)
    result = prepare("check", folder)
    assert result.code == 0
    assert "cannot be verified" in result.out


def test_splits_of_runs_are_known(folder: Path) -> None:
    ours = folder / "splits" / "iid_ood-0123456789abcdef.npz"
    write(ours, b"made by a run")
    write(folder / "splits" / "mine.npz", b"made by a person")
    result = prepare("check", folder)
    assert result.code == 0
    assert f"warning: {folder / 'splits' / 'mine.npz'}: not in the manifest" in result.out
    assert ours.name not in result.out


@pytest.mark.parametrize("command", ["check", "describe"])
def test_ml_100k_is_no_folder(tmp_path: Path, command: str) -> None:
    refusal = prepare(command, tmp_path / "ml-100k").refusal
    assert "ml-100k comes inside RecBole" in refusal


def test_planted_folders_are_sound(tmp_path: Path) -> None:
    done("planted", "--users", "60", "--items", "50", "--output", tmp_path / "p")
    result = prepare("check", tmp_path / "p")
    assert result.code == 0, result.out
    assert "truth: 2 modalities" in result.out


def test_describe(folder: Path) -> None:
    result = done("describe", folder, "--items", "1")
    assert "6 interactions, 2 users, 4 items" in result.out
    assert "sparsity 25.0000%" in result.out
    assert "covers 3 of 4 items (75.0%)" in result.out
    assert "  The X: The Y (" in result.out
    assert "  The Z: " in done("describe", folder, "--item", "z").out
    assert "no item 'q'" in prepare("describe", folder, "--item", "q").refusal


@pytest.mark.parametrize("command", ["check", "describe"])
def test_the_folder_one_stands_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(folder)
    assert "6 interactions" in done(command, ".").out
    monkeypatch.chdir(folder / "features")
    assert "6 interactions" in done(command, "..").out
    assert "no such folder" in prepare(command, folder / "nothing").refusal


def test_neighbours_do_not_follow_one_large_column(folder: Path) -> None:
    """Column 0 is large noise; in all others x equals z."""
    rows = np.array([[900.0, 1, 2, 3], [901.0, 3, 1, 2], [-900.0, 1, 2, 3.01]], dtype=np.float32)
    np.save(folder / "features" / "visual.npy", rows)
    assert "  The X: The Z (" in done("describe", folder, "--item", "x").out


def test_a_negative_number_of_items_is_refused(folder: Path) -> None:
    assert "must be 0 or more" in prepare("describe", folder, "--items", "-1").refusal


def test_degrees_of_a_plot() -> None:
    places, shares = at_least(np.array([1, 1, 2, 5]))
    assert places.tolist() == [1, 2, 5]
    assert shares.tolist() == [4 / 4, 2 / 4, 1 / 4]
    part, held = concentration(np.array([1, 1, 2, 4]))
    assert part.tolist() == [0, 1 / 4, 2 / 4, 3 / 4, 1]
    assert held.tolist() == [0, 4 / 8, 6 / 8, 7 / 8, 1]


def test_describe_plot(folder: Path, tmp_path: Path) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        refusal = prepare("describe", folder, "--plot", tmp_path / "d.png").refusal
        assert "pip install matplotlib" in refusal
    else:
        done("describe", folder, "--plot", tmp_path / "d.png")
        assert (tmp_path / "d.png").stat().st_size > 0
        for place, word in (("d.xyz", "no picture format"), ("none/d.png", "no such folder")):
            assert word in prepare("describe", folder, "--plot", tmp_path / place).refusal


def test_the_manifest_tells_what_was_done(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    inputs = manifest["provenance"]["inputs"]
    assert [entry["name"] for entry in inputs] == ["train.csv", "test.csv", "f.csv", "items.csv"]
    assert all(len(entry["sha256"]) == 64 for entry in inputs)
    assert manifest["counts"] == {
        "read": 6, "without missing ids": 6, "without duplicates": 6, "train": 4, "test": 2,
    }  # fmt: skip
    assert manifest["modalities"]["visual"]["coverage"] == {"items": 3, "of": 4, "share": 0.75}
