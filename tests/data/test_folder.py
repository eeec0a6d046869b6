"""The dataset folder and its atomic files: whole or absent, read back as written, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.data import folder as folder_module
from recbole_painvrl.data.atomic_files import read_columns, read_header
from recbole_painvrl.data.folder import (
    DatasetContent,
    FolderExistsError,
    Truth,
    dataset_hash,
    read_manifest,
    read_truth,
    write_dataset,
)
from recbole_painvrl.data.writing import save_interactions
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


def test_whole_numbers_of_every_size_are_written_as_they_are(tmp_path: Path) -> None:
    times = np.array([2**63 + 1, 2**63 + 3, 5], dtype=np.uint64)
    for values, expected in (
        (times, times),
        (np.array([-(2**63), 2**62 + 1, 5]), [-(2**63), 2**62 + 1, 5]),
        (np.array([3.0, 4.0, 5.0]), [3, 4, 5]),
    ):
        frame = pd.DataFrame({"user_id": [*"abc"], "timestamp": values})
        with (tmp_path / "x.inter").open("wb") as stream:
            save_interactions(stream, frame, {"user_id": "token", "timestamp": "float"})
        written = (tmp_path / "x.inter").read_text().split()[2:]
        assert written[1::2] == [str(value) for value in expected]


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
        ("environments.tsv", "user_id\titem_id\tenvironment\nu\tx\tminor\n"),
        ("environments.tsv", "user_id\titem_id\tenvironment\nu\tx\t-1\n"),
        ("environments.tsv", "user_id\titem_id\tenvironment\nu\tx\t1.0\n"),
        ("environments.tsv", "user_id\titem_id\tenvironment\nu\tx\t1\nv\ty\n"),
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


HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def read(path: Path, separator: str = "\t", encoding: str = "utf-8") -> pd.DataFrame:
    types = read_header(path, ("user_id", "item_id"), separator, encoding)
    return read_columns(path, types, types, separator, encoding)


def write(path: Path, *rows: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path.write_bytes(end.join([HEADER, *rows, ""]).encode(encoding))
    return path


def test_ids_stay_what_they_are(tmp_path: Path) -> None:
    ids = ["NA", "null", "None", "nan", "007", "1e5", " x ", "a\x0cb", "a\u2028b", '"The', "True"]
    path = write(tmp_path / "d.inter", *(f"{one}\ti{n}\t{n}" for n, one in enumerate(ids)))
    assert read(path)["user_id"].tolist() == ids


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_an_empty_cell_is_missing(end: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "u\t\t1", "", "u\ti\t", "\ti\t3", end=end)
    frame = read(path)
    assert len(frame) == 3
    assert frame.isna().to_numpy().tolist() == [
        [False, True, False],
        [False, False, True],
        [True, False, False],
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_the_closest_to_their_text(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("numbers") / "d.inter"
    write(path, *(f"u\ti{n}\t{number!r}" for n, number in enumerate(numbers)))
    assert read(path)["timestamp"].tolist() == numbers


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "ü\té\t1", encoding=encoding)
    asked = "utf-8" if encoding == "utf-8-sig" else encoding
    frame = read(path, encoding=asked)
    assert frame.iloc[0].tolist() == ["ü", "é", 1.0]
    assert list(frame) == ["user_id", "item_id", "timestamp"]


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "ü\té\t1", encoding="latin-1")
    with pytest.raises(UserError, match=r"d\.inter: not readable as utf-8.*--encoding=latin-1"):
        read(path)
    with pytest.raises(UserError, match="`encoding`: found 'latin-33'"):
        read(path, encoding="latin-33")


@pytest.mark.parametrize("separator", [",", "|", ";", " ", "::", "\t"])
def test_separators(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "d.inter"
    path.write_text("\n".join([HEADER, "u.1\ti[2]\t3", "u\ti\t4"]).replace("\t", separator))
    frame = read(path, separator)
    assert frame["user_id"].tolist() == ["u.1", "u"]
    assert frame["timestamp"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u\ti", "3 columns in the first line, 2 in line 3"),
        ("u\ti\t13/09/2020", "'13/09/2020' in column `timestamp:float`"),
    ],
)
def test_a_malformed_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.inter", "u\ti\t1", row, "u\tj\t1")
    with pytest.raises(UserError, match=r"d\.inter") as caught:
        read(path)
    assert message in str(caught.value)


def test_a_quoted_file_is_read_without_its_marks(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id:token": ["a", "b"], "item_id:token": ['say "hi"', "tab\there"]})
    path = tmp_path / "d.inter"
    frame.to_csv(path, sep="\t", index=False)
    assert read(path)["item_id"].tolist() == ['say "hi"', "tab\there"]


def test_a_header_that_repeats_a_column(tmp_path: Path) -> None:
    path = tmp_path / "d.inter"
    path.write_text("user_id:token\tuser_id:token\nu\tv\n")
    with pytest.raises(UserError, match="column `user_id` occurs twice"):
        read_header(path, ("user_id",), "\t", "utf-8")
