"""Kuaishou 2018: a log without header, one NumPy file per photo."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, inter, pairs, prepare, write

USERS, PHOTOS, WIDTH = 10, 6, 16


def vector(photo: int) -> Any:
    return np.random.default_rng(photo).normal(size=(1, WIDTH)).astype(np.float32)


def as_npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def release(folder: Path, packed: bool = False) -> Path:
    """user, photo, click, like, follow, time, playing time, duration; a file for each photo."""
    rows = [
        [user, 1000 + photo, int((user + photo) % 2), 0, 0, 761_000 + user, 3, 20]
        for user in range(USERS)
        for photo in range(PHOTOS)
    ]
    write(
        folder / "train_interaction.txt",
        "".join("\t".join(map(str, row)) + "\n" for row in rows),
    )
    files = {str(1000 + photo): as_npy(vector(photo)) for photo in range(PHOTOS)}
    if packed:
        with zipfile.ZipFile(folder / "final_visual_train.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"final_visual_train/{name}", content)
    else:
        for name, content in files.items():
            write(folder / "final_visual_train" / name, content)
    texts = "".join(f"{1000 + p}\t{p % 3},{p % 2 + 7},{p + 9}\n" for p in range(1, PHOTOS))
    write(folder / "train_text.txt", texts + "1000\t0\n")
    return folder


def convert(folder: Path, *options: Any) -> Result:
    return prepare("kwai", "--input", folder, "--output", folder.parent / "kwai", *options)


@pytest.mark.parametrize("packed", [False, True])
def test_the_release_converts_with_ids_aligned(tmp_path: Path, packed: bool) -> None:
    result = convert(release(tmp_path / "train", packed))
    assert result.code == 0, result.err
    out = tmp_path / "kwai"
    assert len(pairs(out)) == USERS * PHOTOS // 2
    assert all((int(user) + int(photo)) % 2 for user, photo in pairs(out))
    assert inter(out)["timestamp"].astype(float).min() == 761_000
    rows = features(out, "visual")
    assert set(rows) == {str(1000 + photo) for photo in range(PHOTOS)}
    assert rows["1003"] == vector(3)[0].tolist()
    assert "298,492" in result.out and "add it with --text" in result.out


def test_words_become_a_modality_when_asked(tmp_path: Path) -> None:
    folder = release(tmp_path / "train")
    options = ("--text", folder / "train_text.txt", "--text-size", 3)
    assert convert(folder, *options).code == 0
    assert set(features(tmp_path / "kwai", "textual")) == {str(1000 + p) for p in range(1, PHOTOS)}


def test_the_rows_of_a_matrix_may_be_numbered(tmp_path: Path) -> None:
    folder = release(tmp_path / "train")
    np.save(tmp_path / "v.npy", np.concatenate([vector(photo) for photo in range(PHOTOS)]))
    lines = "".join(f"{1000 + photo},{photo}\n" for photo in (3, 0, 5, 1, 4, 2))
    ids = write(tmp_path / "ids.csv", "photo_id,row\n" + lines)
    assert convert(folder, "--visual", tmp_path / "v.npy", "--visual-ids", ids).code == 0
    found = features(tmp_path / "kwai", "visual")
    assert found == {str(1000 + photo): vector(photo)[0].tolist() for photo in range(PHOTOS)}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(as_npy(vector(1))[:-9], id="cut"),
        pytest.param(as_npy(vector(1)[:, :4]), id="narrower"),
        pytest.param(as_npy(np.zeros((2, WIDTH))), id="two rows"),
        pytest.param(as_npy(np.array(["a"])), id="text"),
        pytest.param(pickle.dumps([1]), id="pickle"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_damaged_photo_is_counted(tmp_path: Path, content: bytes) -> None:
    folder = release(tmp_path / "train")
    write(folder / "final_visual_train" / "1003", content)
    refusal = convert(folder).refusal
    assert "1 files are cut, pickled or no vector of 16 numbers, first 1003" in refusal
    mended = convert(folder, "--fix", "drop-rows")
    assert mended.code == 0, mended.err
    assert "1003" not in features(tmp_path / "kwai", "visual")


def test_ids_cannot_point_outside_the_folder(tmp_path: Path) -> None:
    folder = release(tmp_path / "train")
    write(tmp_path / "train" / "secret.npy", as_npy(vector(0)))
    log = folder / "train_interaction.txt"
    log.write_text(log.read_text().replace("\t1000\t", "\t../secret\t"))
    result = convert(folder)
    assert result.code == 0 and "../secret" not in features(tmp_path / "kwai", "visual")
