"""Raw short-video releases: ICME 2019 (``tiktok``) and Kuaishou 2018 (``kwai``)."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, inter, pairs, passed, prepare, refused, write

USERS, ITEMS, WIDTH = 12, 8, 16
PHOTOS = [str(1000 + item) for item in range(ITEMS)]


def vector(item: int) -> Any:
    return np.random.default_rng(item).normal(size=WIDTH).astype(np.float32).round(4)


def icme(folder: Path, gz: bool = False, empty: bool = True) -> Path:
    """Track 2; video 3 has no audio, video 5 no words, and nobody watched the last two."""
    rows = [
        # uid, city, item, author, city, channel, finish, like, music, device, made, duration
        [u, 1, i, 2, 3, 0, int((u + i) % 3 == 0), int(u == i), 4, 5, 53_000_000_000 + u, 10]
        for u in range(USERS)
        for i in range(ITEMS)
    ]
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    write(folder / "final_track2_train.txt", text)
    files: dict[str, list[dict[str, Any]]] = {
        "video_features": [],
        "audio_features": [],
        "title": [],
    }
    for i in range(ITEMS + 2):
        row = vector(i).tolist()
        nothing = empty and i == 3
        words = {str(100 + i): 2, str(200 + i % 3): 1, "7": 1}
        files["video_features"].append({"item_id": i, "video_feature_dim_128": row})
        files["audio_features"].append(
            {"item_id": i, "audio_feature_128_dim": row[: WIDTH * (not nothing)]}
        )
        files["title"].append({"item_id": i, "title_features": {} if i == 5 else words})
    for stem, lines in files.items():
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        path = folder / f"track2_{stem}.txt{'.gz' * gz}"
        write(path, gzip.compress(content, mtime=0) if gz else content)
    write(folder / "track2_face_attrs.txt", '{"item_id": 1, "face_attrs": []}\n')
    return folder


def tiktok(folder: Path, *options: Any) -> Result:
    base = ("tiktok", "--input", folder, "--output", folder.parent / "out", "--force")
    return prepare(*base, "--text-size", 4, *options)


@pytest.mark.parametrize("gz", [False, True])
def test_tiktok_keeps_ids_aligned(tmp_path: Path, gz: bool) -> None:
    result = passed(tiktok(icme(tmp_path / "track2", gz)))
    out = tmp_path / "out"
    wanted = {(str(u), str(i)) for u in range(USERS) for i in range(ITEMS) if (u + i) % 3 == 0}
    assert set(pairs(out)) == wanted
    # creat_time is when the video was made.
    assert "timestamp" not in inter(out)
    visual, acoustic = features(out, "visual"), features(out, "acoustic")
    assert visual == {str(i): pytest.approx(vector(i).tolist()) for i in range(ITEMS)}
    assert set(visual) - set(acoustic) == {"3"} and visual["4"] == acoustic["4"]
    assert set(visual) - set(features(out, "textual")) == {"5"}
    assert "726,065" in result.out and "32 of 96 rows count" in result.out


def test_actions_choose_the_rows(tmp_path: Path) -> None:
    folder = icme(tmp_path / "track2")
    for actions, count in (("like", 8), ("finish,like", 37), ("any", 96)):
        passed(tiktok(folder, "--actions", actions, "--fix", "drop-unrated"))
        assert len(pairs(tmp_path / "out")) == count
    refused(tiktok(folder, "--actions", "share"), "choose among finish, like")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("track2_video_features.txt", lambda text: text[:-100]),
        ("track2_video_features.txt", lambda text: text.replace(b"[", b"{", 1)),
        ("track2_audio_features.txt", lambda text: text.replace(b"]", b", 1]", 1)),
        ("track2_title.txt", lambda text: text.replace(b": 2", b': "x"', 1)),
        ("track2_title.txt", lambda text: text.replace(b": 2", b": NaN", 1)),
        ("track2_title.txt", lambda text: text.replace(b": 2", b": Infinity", 1)),
        ("track2_title.txt", lambda text: text.replace(b": 2", b": -2", 1)),
        ("final_track2_train.txt", lambda text: text.replace(b"\t1\t0\t4", b"\t8\t0\t4", 1)),
    ],
)
def test_damaged_lines_are_faults(tmp_path: Path, file: str, damage: Any) -> None:
    folder = icme(tmp_path / "track2", empty=False)
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    refused(tiktok(folder), file, "drop-rows")
    assert "repaired by drop-rows" in passed(tiktok(folder, "--fix", "drop-rows")).out


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("final_track2_train.txt", "1\t2\t3\n1\t2\t4\n", "has 3 columns where this release has 12"),
        ("track2_video_features.txt", "", "is empty"),
        ("track2_video_features.txt", '[{"item_id": 1}]', "one JSON array"),
        ("track2_video_features.txt", '{"item_id": 999, "x": [1]}\n', "no line has a vector"),
        ("track2_title.txt.gz", gzip.compress(b"{}\n" * 9999, mtime=0)[:60], "cut or not readable"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: Any, word: str) -> None:
    folder = icme(tmp_path / "track2")
    (folder / name.removesuffix(".gz")).unlink()
    write(folder / name, content)
    refused(tiktok(folder), word)


def as_npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def kuaishou(folder: Path, packed: bool = False) -> Path:
    """user, photo, click, like, follow, time, playing time, duration; one file per photo."""
    rows = [
        [u, photo, (u + i) % 2, 0, 0, 761_000 + u, 3, 20]
        for u in range(USERS)
        for i, photo in enumerate(PHOTOS)
    ]
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    write(folder / "train_interaction.txt", text)
    files = {photo: as_npy(vector(i)[None]) for i, photo in enumerate(PHOTOS)}
    if packed:
        with zipfile.ZipFile(folder / "final_visual_train.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"final_visual_train/{name}", content)
    else:
        for name, content in files.items():
            write(folder / "final_visual_train" / name, content)
    words = "".join(f"{photo}\t{i % 3},{i % 2 + 7}\n" for i, photo in enumerate(PHOTOS[1:]))
    write(folder / "train_text.txt", words + "1000\t0\n")
    return folder


def kwai(folder: Path, *options: Any) -> Result:
    return prepare(
        "kwai", "--input", folder, "--output", folder.parent / "out", "--force", *options
    )


@pytest.mark.parametrize("packed", [False, True])
def test_kwai_keeps_ids_aligned(tmp_path: Path, packed: bool) -> None:
    folder = kuaishou(tmp_path / "train", packed)
    text = ("--text", folder / "train_text.txt", "--text-size", 3)
    assert "298,492" in passed(kwai(folder, *text)).out
    out = tmp_path / "out"
    assert len(pairs(out)) == USERS * ITEMS // 2
    assert all((int(user) + int(photo)) % 2 for user, photo in pairs(out))
    assert inter(out)["timestamp"].astype(float).min() == 761_000
    expected = {photo: vector(i).tolist() for i, photo in enumerate(PHOTOS)}
    assert features(out, "visual") == expected
    assert set(features(out, "textual")) == set(PHOTOS[1:])
    order = (3, 0, 5, 1, 4, 2, 7, 6)
    np.save(tmp_path / "v.npy", np.stack([vector(i) for i in range(ITEMS)]))
    ids = write(
        tmp_path / "ids.csv", "photo_id,row\n" + "".join(f"{PHOTOS[i]},{i}\n" for i in order)
    )
    passed(kwai(folder, "--visual", tmp_path / "v.npy", "--visual-ids", ids))
    assert features(out, "visual") == expected


@pytest.mark.parametrize(
    "content",
    [
        *(as_npy(vector(1)[None])[:-9], as_npy(vector(1)[None, :4]), as_npy(np.zeros((2, WIDTH)))),
        *(as_npy(np.array(["a"])), pickle.dumps([1]), b""),
    ],
)
def test_a_damaged_photo_is_a_fault(tmp_path: Path, content: bytes) -> None:
    folder = kuaishou(tmp_path / "train")
    write(folder / "final_visual_train" / "1003", content)
    refused(kwai(folder), "1 files are cut, pickled or not a vector of 16 numbers, first 1003")
    passed(kwai(folder, "--fix", "drop-rows"))
    assert "1003" not in features(tmp_path / "out", "visual")


def test_ids_cannot_refer_to_files_outside_the_folder(tmp_path: Path) -> None:
    folder = kuaishou(tmp_path / "train")
    write(folder / "secret.npy", as_npy(vector(0)))
    log = folder / "train_interaction.txt"
    log.write_text(log.read_text().replace("\t1000\t", "\t../secret\t"))
    passed(kwai(folder))
    assert "../secret" not in features(tmp_path / "out", "visual")


def test_flags_and_times_of_a_log(tmp_path: Path) -> None:
    """Flags must be 0 or 1, and times keep every digit."""
    folder = kuaishou(tmp_path / "train")
    times = [2**60 + n for n in range(3)]
    for flags, word in ((("1", "yes", "1"), "'yes'"), (("2", "2", "2"), "no row could be read")):
        rows = [
            f"{n}\t1001\t{f}\t0\t0\t{t}\t3\t9\n"
            for n, (f, t) in enumerate(zip(flags, times, strict=True))
        ]
        write(folder / "train_interaction.txt", "".join(rows))
        refused(kwai(folder, "--fix", "drop-unrated"), word)
    text = "".join(f"{n}\t{PHOTOS[n]}\t1\t0\t0\t{t}\t3\t9\n" for n, t in enumerate(times))
    write(folder / "train_interaction.txt", text)
    passed(kwai(folder, "--fix", "drop-unrated"))
    assert inter(tmp_path / "out")["timestamp"].tolist() == list(map(str, times))
