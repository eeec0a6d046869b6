"""The dataset folder: whole or absent, read back as written, refused when inconsistent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recbole_painvrl.data import folder as folder_module
from recbole_painvrl.data.folder import (
    DatasetContent,
    FolderExistsError,
    Truth,
    dataset_hash,
    read_manifest,
    read_truth,
    write_dataset,
)
from recbole_painvrl.errors import UserError, WriteError


def content(**changes: Any) -> DatasetContent:
    """Two users, three items, one modality that lacks item ``z``, a truth."""
    train = pd.DataFrame({"user_id": ["u", "v"], "item_id": ["x", "y"], "timestamp": [1.0, 2.0]})
    test = pd.DataFrame({"user_id": ["u"], "item_id": ["z"], "timestamp": [3.0]})
    made: dict[str, Any] = {
        "name": "toy",
        "edition": "test",
        "source": "made up",
        "licence": "none",
        "interactions": pd.concat([train, test], ignore_index=True),
        "splits": {"train": train, "test": test},
        "item_table": pd.DataFrame(
            {"item_id:token": ["x", "y", "z"], "movie_title:token_seq": ["A b", 'Say "c"', "Ü"]}
        ),
        "features": {"visual": (np.eye(2, 3, dtype=np.float32), ["y", "x"])},
        "truth": Truth(
            {"visual": np.array([True, False, True])},
            train[["user_id", "item_id"]].assign(environment=["0", "1"]),
        ),
        "default_protocol": "files",
        "counts": {"rows read": 4, "rows kept": 3},
        "encoders": {"visual": "made up"},
    }
    return DatasetContent(**(made | changes))


def test_layout_and_headers(tmp_path: Path) -> None:
    write_dataset(content(), tmp_path / "toy")
    found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {
        "toy/toy.inter",
        "toy/toy.train.inter",
        "toy/toy.test.inter",
        "toy/toy.item",
        "toy/features/visual.npy",
        "toy/features/visual.items.tsv",
        "toy/truth/columns.tsv",
        "toy/truth/environments.tsv",
        "toy/manifest.json",
    }
    lines = (tmp_path / "toy" / "toy.train.inter").read_text().splitlines()
    assert lines == ["user_id:token\titem_id:token\ttimestamp:float", "u\tx\t1", "v\ty\t2"]
    rows = (tmp_path / "toy" / "features" / "visual.items.tsv").read_text()
    assert rows == "row\titem_id\n0\ty\n1\tx\n"
    items = pd.read_csv(tmp_path / "toy" / "toy.item", sep="\t")
    assert items["movie_title:token_seq"].tolist() == ["A b", 'Say "c"', "Ü"]


def test_manifest_tells_what_is_there(tmp_path: Path) -> None:
    write_dataset(content(), tmp_path / "toy")
    manifest = read_manifest(tmp_path / "toy")
    assert manifest["edition"] == "test" and manifest["default_protocol"] == "files"
    assert manifest["planted"] is True
    assert manifest["splits"] == {"train": 2, "test": 1}
    assert manifest["counts"] == {"rows read": 4, "rows kept": 3}
    visual = manifest["modalities"]["visual"]
    assert (visual["rows"], visual["dims"], visual["encoder"]) == (2, 3, "made up")
    assert visual["coverage"] == {"items": 2, "of": 3, "share": 2 / 3}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((tmp_path / "toy" / name).read_bytes()).hexdigest() == digest
    assert len(manifest["sha256"]) == 8


def test_truth_comes_back(tmp_path: Path) -> None:
    write_dataset(content(truth=None), tmp_path / "without")
    assert read_truth(tmp_path / "without") is None
    assert read_manifest(tmp_path) == {}
    write_dataset(content(), tmp_path / "toy")
    truth = read_truth(tmp_path / "toy")
    assert truth is not None
    assert truth.columns["visual"].tolist() == [True, False, True]
    assert truth.environments.to_numpy().tolist() == [["u", "x", "0"], ["v", "y", "1"]]


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_broken_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: .*prepare the dataset again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("columns.tsv", None),
        ("columns.tsv", "modality\tcolumn\tinvariant\nvisual\t1\t1\n"),
        ("columns.tsv", "modality\tcolumn\tinvariant\nvisual\t0\tyes\n"),
        ("environments.tsv", ""),
    ],
)
def test_broken_truth(tmp_path: Path, file: str, text: str | None) -> None:
    write_dataset(content(), tmp_path / "toy")
    path = tmp_path / "toy" / "truth" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=file) as caught:
        read_truth(tmp_path / "toy")
    assert "\n" not in str(caught.value)


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    with pytest.raises(FolderExistsError, match="exists already"):
        write_dataset(content(), tmp_path / "toy")
    assert list(tmp_path.rglob("*")) == [tmp_path / "toy"]


def _fail_on(function: str, call: int, error: BaseException) -> Callable[..., Any]:
    original = getattr(folder_module, function)
    calls = iter(range(1000))

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise error
        return original(*arguments, **options)

    return failing


@pytest.mark.parametrize("function", ["_write_table", "save_matrix", "write_json"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    disk_full = OSError(28, "No space left on device")
    monkeypatch.setattr(folder_module, function, _fail_on(function, 0, disk_full))
    with pytest.raises(WriteError, match=r"toy: cannot be written .No space left"):
        write_dataset(content(), tmp_path / "data" / "toy")
    assert list((tmp_path / "data").iterdir()) == []


def test_the_faster_of_two_writers_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = folder_module._manifest

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(folder_module, "_manifest", original)
        write_dataset(content(edition="first"), tmp_path / "toy")
        return original(*arguments)

    monkeypatch.setattr(folder_module, "_manifest", meanwhile)
    with pytest.raises(FolderExistsError, match="another process"):
        write_dataset(content(edition="second"), tmp_path / "toy")
    assert read_manifest(tmp_path / "toy")["edition"] == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "toy"]


def _pairs(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["user_id", "item_id"])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"interactions": _pairs()}, "no interactions left"),
        ({"interactions": _pairs(("", "x"))}, "1 user_id values cannot be stored"),
        ({"interactions": _pairs(("u", "NA"), ("u", "x"))}, "1 item_id values .* first 'NA'"),
        (
            {"splits": {"train": _pairs(("u", "x")), "ood": _pairs(("u", "y"), ("u", "x"))}},
            r"1 \(user, item\) pairs are in two splits, first \('u', 'x'\)",
        ),
        ({"features": {"v": (np.ones((2, 2), np.float32), ["x"])}}, "features v have shape"),
        ({"features": {"v": (np.ones((2, 2), np.float32), ["x", "x"])}}, r"\(1 different\)"),
        ({"features": {"../v": (np.ones((1, 2), np.float32), ["x"])}}, "cannot become a file"),
    ],
)
def test_inconsistent_content(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        write_dataset(content(**changes), tmp_path / "toy")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_hash_follows_the_data_and_not_the_manifest(tmp_path: Path) -> None:
    write_dataset(content(), tmp_path / "one" / "toy")
    write_dataset(content(edition="other", truth=None), tmp_path / "two" / "toy")
    one, two = dataset_hash(tmp_path / "one" / "toy"), dataset_hash(tmp_path / "two" / "toy")
    assert one == two
    manifest = tmp_path / "two" / "toy" / "manifest.json"
    manifest.write_text(json.dumps({"sha256": {}}))
    assert dataset_hash(tmp_path / "two" / "toy") == one


@pytest.mark.parametrize("file", ["toy.test.inter", "features/visual.npy"])
def test_hash_sees_one_byte(tmp_path: Path, file: str) -> None:
    write_dataset(content(), tmp_path / "toy")
    before = dataset_hash(tmp_path / "toy")
    path = tmp_path / "toy" / file
    path.write_bytes(path.read_bytes()[:-1] + b"7")
    assert dataset_hash(tmp_path / "toy") != before
