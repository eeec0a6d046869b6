"""ICME 2019: a log without header, features as JSON lines, some of them empty."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, inter, pairs, prepare, write

USERS, ITEMS = 12, 8
WIDTH = 128


def log_lines() -> list[list[int]]:
    """uid, city, item, author, city, channel, finish, like, music, device, made, duration."""
    rows = []
    for user in range(USERS):
        for item in range(ITEMS):
            finish, like = int((user + item) % 3 == 0), int(user == item)
            rows.append([user, 1, item, 2, 3, 0, finish, like, 4, 5, 53_000_000_000 + user, 10])
    return rows


def release(
    folder: Path, log: list[list[int]] | None = None, gz: bool = False, empty: bool = True
) -> Path:
    """A folder with the files of track 2."""
    rows = "".join("\t".join(map(str, row)) + "\n" for row in (log or log_lines()))
    write(folder / "final_track2_train.txt", rows)
    draw = np.random.default_rng(0)
    files: dict[str, list[dict[str, Any]]] = {"video": [], "audio": [], "title": []}
    for item in range(ITEMS + 2):  # two items that nobody watched
        row = draw.normal(size=WIDTH).round(4).tolist()
        files["video"].append({"item_id": item, "video_feature_dim_128": row})
        nothing = empty and item == 3
        files["audio"].append({"item_id": item, "audio_feature_128_dim": [] if nothing else row})
        words = {str(100 + item): 2, str(200 + item % 3): 1, "7": 1}
        files["title"].append({"item_id": item, "title_features": {} if item == 5 else words})
    for stem, lines in files.items():
        name = f"track2_{stem}{'' if stem == 'title' else '_features'}.txt"
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        if gz:
            write(folder / f"{name}.gz", gzip.compress(text, mtime=0))
        else:
            write(folder / name, text)
    write(folder / "track2_face_attrs.txt", '{"item_id": 1, "face_attrs": []}\n')
    return folder


def convert(folder: Path, *options: Any) -> Result:
    base = ("tiktok", "--input", folder, "--output", folder.parent / "tiktok")
    return prepare(*base, "--text-size", 4, *options)


@pytest.mark.parametrize("gz", [False, True])
def test_the_release_converts_with_ids_aligned(tmp_path: Path, gz: bool) -> None:
    folder = release(tmp_path / "track2", gz=gz)
    result = convert(folder)
    assert result.code == 0, result.err
    out = tmp_path / "tiktok"
    wanted = {(str(row[0]), str(row[2])) for row in log_lines() if row[6] == 1}
    assert set(pairs(out)) == wanted
    assert "timestamp" not in inter(out)  # creat_time is when the video was made
    visual, acoustic = features(out, "visual"), features(out, "acoustic")
    assert set(visual) == {str(item) for item in range(ITEMS)}
    assert set(visual) - set(acoustic) == {"3"}
    assert visual["4"] == acoustic["4"] and visual["4"] != visual["5"]
    assert set(visual) - set(features(out, "textual")) == {"5"}
    assert "726,065" in result.out and "difference" in result.out
    assert "32 of 96 rows count" in result.out


def test_actions_choose_the_rows(tmp_path: Path) -> None:
    folder = release(tmp_path / "track2")
    for actions, count in (("like", 8), ("finish,like", 37), ("any", 96)):
        result = convert(folder, "--actions", actions, "--force", "--fix", "drop-unrated")
        assert result.code == 0, result.err
        assert len(pairs(tmp_path / "tiktok")) == count
    assert "choose among finish, like" in convert(folder, "--actions", "share", "--force").refusal


@pytest.mark.parametrize(
    ("file", "damage", "word"),
    [
        ("track2_video_features.txt", lambda text: text[:-300], "cut in its last line"),
        ("track2_video_features.txt", lambda text: text.replace(b"[", b"{", 1), "no JSON object"),
        ("track2_audio_features.txt", lambda text: text.replace(b"]", b", 1]", 1), "no vector of"),
        ("track2_title.txt", lambda text: text.replace(b": 2", b': "x"', 1), "no count of words"),
        (
            "final_track2_train.txt",
            lambda text: text.replace(b"\t1\t0\t4", b"\t8\t0\t4", 1),
            "finish",
        ),
    ],
)
def test_damage_is_named_and_mended_with_a_count(
    tmp_path: Path, file: str, damage: Any, word: str
) -> None:
    folder = release(tmp_path / "track2", empty=False)
    path = folder / file
    path.write_bytes(damage(path.read_bytes()))
    refusal = convert(folder).refusal
    assert word in refusal and file in refusal and "drop-rows" in refusal
    mended = convert(folder, "--fix", "drop-rows")
    assert mended.code == 0, mended.err
    assert "mended by drop-rows" in mended.out


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("final_track2_train.txt", "1\t2\t3\n1\t2\t4\n", "has 3 columns where this release has 12"),
        ("track2_video_features.txt", "", "is empty"),
        ("track2_video_features.txt", '[{"item_id": 1}]', "one JSON array"),
        ("track2_video_features.txt", '{"item_id": 999, "x": [1]}\n', "no line has a vector"),
        (
            "track2_audio_features.txt.gz",
            gzip.compress(b"{}\n" * 9999, mtime=0)[:60],
            "cut or not readable",
        ),
    ],
)
def test_what_cannot_be_mended_is_refused(
    tmp_path: Path, name: str, content: Any, word: str
) -> None:
    folder = release(tmp_path / "track2")
    (folder / name.removesuffix(".gz")).unlink()
    write(folder / name, content)
    assert word in convert(folder).refusal
