"""Every source takes feature files, titles and an encoding beside what it reads itself."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import done, features, inter, prepare, write

from dataset_prep.__main__ import COMMANDS

USERS, ITEMS = 5, 6
NAMES = [name for name in COMMANDS if name not in ("check", "describe")]
TAKING = [name for name in NAMES if name != "planted"]


def grid(separator: str, header: str, line: str) -> str:
    """Every user has every item but one; ``{u}``, ``{i}`` and a split ``{s}``."""
    rows = [
        line.format(u=u, i=i, s=(u + i) % 3) for u in range(USERS) for i in range(ITEMS) if u != i
    ]
    return "\n".join([*([header] if header else []), *rows, ""])


def matrix(seed: int, rows: int = ITEMS) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 3)).round(3)


def split_lists() -> dict[str, dict[str, list[int]]]:
    def liked(user: int, split: int) -> list[int]:
        return [item for item in range(ITEMS) if (user + item) % 3 == split]

    names = ("train", "val", "test")
    return {
        name: {str(user): liked(user, split) for user in range(USERS)}
        for split, name in enumerate(names)
    }


def make_table(folder: Path) -> list[Any]:
    return ["--input", write(folder / "e.csv", grid(",", "user_id,item_id", "{u},{i}"))]


def make_extract(folder: Path) -> list[Any]:
    texts = "".join(f"{i},word{i} story{i % 3}\n" for i in range(ITEMS))
    path = write(folder / "t.csv", "item_id,plot\n" + texts)
    return [*make_table(folder), "--text", f"textual={path}", "--text-size", 2]


def make_movielens(folder: Path) -> list[Any]:
    header = "userId,movieId,rating,timestamp"
    write(folder / "ratings.csv", grid(",", header, "{u},{i},4,9"))
    return ["--input", folder]


def make_mmgcn(folder: Path) -> list[Any]:
    pairs = [[u, USERS + i] for u in range(USERS) for i in range(ITEMS)]
    np.save(folder / "train.npy", np.array(pairs))
    np.save(folder / "feat_v.npy", matrix(1))
    return ["--input", folder, "--resplit"]


def make_diffmm(folder: Path) -> list[Any]:
    pairs = np.array([[u, i] for u in range(USERS) for i in range(ITEMS)])
    np.savez(folder / "interactions.npz", train=pairs[::2], test=pairs[1::2])
    np.save(folder / "image_feat.npy", matrix(1))
    return ["--input", folder]


def make_ultragcn(folder: Path) -> list[Any]:
    for name, lists in split_lists().items():
        text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in lists.items())
        write(folder / f"{name}.txt", text)
    return ["--input", folder]


def make_lattice(folder: Path) -> list[Any]:
    for name, lists in split_lists().items():
        write(folder / f"{name}.json", json.dumps(lists))
    np.save(folder / "image_feat.npy", matrix(1))
    return ["--input", folder]


def make_mmrec(folder: Path) -> list[Any]:
    write(folder / "x.inter", grid("\t", "userID\titemID\tx_label", "{u}\t{i}\t{s}"))
    np.save(folder / "image_feat.npy", matrix(1))
    return ["--input", folder]


def make_tiktok(folder: Path) -> list[Any]:
    log = "{u}\t1\t{i}\t2\t3\t0\t1\t0\t4\t5\t53000\t10"
    write(folder / "final_track2_train.txt", grid("\t", "", log))
    vectors = [{"item_id": i, "video_feature_dim_128": [i + 1, 1.0, i * i]} for i in range(ITEMS)]
    text = "".join(json.dumps(line) + "\n" for line in vectors)
    write(folder / "track2_video_features.txt", text)
    return ["--input", folder, "--fix", "drop-columns"]


def make_kwai(folder: Path) -> list[Any]:
    log = "{u}\t{i}\t1\t0\t0\t9\t3\t20"
    write(folder / "train_interaction.txt", grid("\t", "", log))
    for item in range(ITEMS):
        stream = io.BytesIO()
        np.save(stream, matrix(1)[item : item + 1])
        write(folder / "final_visual_train" / str(item), stream.getvalue())
    return ["--input", folder]


def make_amazon(folder: Path) -> list[Any]:
    header = "user_id,parent_asin,rating,timestamp"
    return ["--input", write(folder / "r.csv", grid(",", header, "{u},{i},4.0,9"))]


def make_microlens(folder: Path) -> list[Any]:
    write(folder / "x_pairs.csv", grid(",", "user,item,timestamp", "{u},{i},9"))
    return ["--input", folder]


MAKE: dict[str, Callable[[Path], list[Any]]] = {
    name.removeprefix("make_"): maker for name, maker in globals().items() if name[:5] == "make_"
}


def arguments(source: str, folder: Path) -> list[Any]:
    place = folder / "in"
    place.mkdir(exist_ok=True)
    return [source, *MAKE[source](place), "--output", folder / "out"]


def test_every_source_is_tried_here() -> None:
    assert set(MAKE) == set(TAKING)


@pytest.mark.parametrize("source", TAKING)
def test_features_and_titles_of_other_files(tmp_path: Path, source: str) -> None:
    """Ids in another order than the rows and the interactions, titles in another encoding."""
    base = arguments(source, tmp_path)
    order = [4, 1, 5, 0, 3, 2]
    np.save(tmp_path / "m.npy", matrix(7))
    ids = write(tmp_path / "ids.csv", "item_id,row\n" + "".join(f"{i},{i}\n" for i in order))
    rows = [f'{i},"[{", ".join(map(str, matrix(8)[i]))}]"' for i in order]
    cells = write(tmp_path / "c.csv", "\n".join(["film,vector", *rows, ""]))
    titles = "".join(f"{i};Fil\xe9 {i}\n" for i in order)
    items = write(tmp_path / "t.csv", ("item_id;title\n" + titles).encode("latin-1"))
    options = ("--features", f"extra={tmp_path / 'm.npy'}", "--feature-ids", ids)
    options += ("--features", f"cells={cells}", "--items", items, "--encoding", "latin-1")
    result = done(*base, *options)
    rated = sorted(set(inter(tmp_path / "out")["item_id"]))
    assert rated == [str(i) for i in range(ITEMS)]
    for name, seed in (("extra", 7), ("cells", 8)):
        found = features(tmp_path / "out", name)
        expected = {str(i): pytest.approx(matrix(seed)[i].tolist(), abs=1e-5) for i in order}
        assert found == expected
    text = (tmp_path / "out" / "out.item").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(text) == [f"{i}\tFil\xe9 {i}" for i in range(ITEMS)]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    inputs = {entry["name"] for entry in manifest["provenance"]["inputs"]}
    assert {"m.npy", "ids.csv", "c.csv", "t.csv"} <= inputs, result.out


@pytest.mark.parametrize("source", ["tiktok", "kwai"])
def test_a_column_of_a_log_becomes_the_rating(tmp_path: Path, source: str) -> None:
    column = {"tiktok": "video_duration", "kwai": "playing_time"}[source]
    value = {"tiktok": "10", "kwai": "3"}[source]
    base = arguments(source, tmp_path)
    done(*base, "--rating-column", column, "--min-rating", 2)
    assert set(inter(tmp_path / "out")["rating"]) == {value}
    assert (
        "no interaction is left"
        in prepare(*base, "--force", "--rating-column", column, "--min-rating", 11).refusal
    )


@pytest.mark.parametrize("source", ["table", "movielens", "amazon", "microlens", "mmrec"])
def test_columns_of_other_names(tmp_path: Path, source: str) -> None:
    base = arguments(source, tmp_path)
    path = next(p for p in (tmp_path / "in").iterdir() if p.suffix in (".csv", ".inter"))
    tab = "\t" if source == "mmrec" else ","
    rows = [
        tab.join([f"u{u}", str(i), str(i + u), "7"]) for u in range(USERS) for i in range(ITEMS)
    ]
    write(path, "\n".join([tab.join(["who", "what", "much", "when"]), *rows, ""]))
    roles = [("user", "who"), ("item", "what"), ("rating", "much"), ("time", "when")]
    options = [part for role, name in roles for part in (f"--{role}-column", name)]
    done(*base, *options, "--min-rating", 2)
    frame = inter(tmp_path / "out")
    found = set(zip(frame["user_id"], frame["item_id"], frame["rating"], strict=True))
    assert found == {
        (f"u{u}", str(i), str(i + u)) for u in range(USERS) for i in range(ITEMS) if i + u >= 2
    }


def test_contradictory_options_are_refused(tmp_path: Path) -> None:
    base = arguments("lattice", tmp_path)
    np.save(tmp_path / "m.npy", matrix(7))
    rows = "".join(f"{i},{i * i}.5,{i}\n" for i in range(ITEMS))
    with_ids = ("--features", f"t={write(tmp_path / 'f.csv', 'item_id,a,b' + chr(10) + rows)}")
    one = ("--features", f"extra={tmp_path / 'm.npy'}")
    ids = ("--feature-ids", write(tmp_path / "ids.txt", "0\n1\n2\n3\n4\n5\n"))
    for options, named in (
        ((*one, *one, *ids), "extra: is given twice"),
        ((*one, *ids, "--rows-from", 0), "--feature-ids, --rows-from"),
        (ids, "--feature-ids"),
        (("--rows-from", 0), "--rows-from"),
        ((*one, "--feature-ids", tmp_path / "no.txt"), "no.txt: no such file"),
        (("--features", f"extra={tmp_path / 'no.npy'}"), "no.npy: no such file"),
        (("--items", tmp_path / "no.csv"), "no.csv: no such file"),
        (("--features", f"visual={tmp_path / 'm.npy'}", *ids), "provides a modality visual"),
        ((*with_ids, *ids), "--feature-ids: has no effect"),
        ((*with_ids, "--rows-from", 0), "--rows-from: has no effect"),
        (("--min-rating", 1), "have no ratings"),
    ):
        assert named in prepare(*base, *options).refusal
    assert not (tmp_path / "out").exists()
    done(*base, *with_ids, *one, *ids)
    assert features(tmp_path / "out", "t")["3"] == [9.5, 3.0]
