"""Small samples of every source that ``python -m dataset_prep`` reads, as strangers give them."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from benchmarks.fuzzing.campaign import Reader
from dataset_prep.__main__ import main
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.errors import UserError

_USERS, _ITEMS, _WIDTH = 6, 5, 4
_PAIRS = [(user, item) for user in range(_USERS) for item in range(_ITEMS) if (user + item) % 4]


def source_readers(root: Path) -> list[Reader]:
    """Make a sample of every source below ``root``; returns their readers."""
    makers: dict[str, Callable[[Path], list[str]]] = {
        "table csv": _table_csv,
        "table npz": _table_npz,
        "table parquet": _table_parquet,
        "table vectors": _table_vectors,
        "movielens": _movielens,
        "mmgcn": _mmgcn,
        "tiktok": _tiktok,
        "kwai": _kwai,
        "mmrec": _mmrec,
        "lattice": _lattice,
        "diffmm": _diffmm,
        "amazon": _amazon,
        "microlens": _microlens,
        "ultragcn": _ultragcn,
        "check": _check,
    }
    return [_reader(name, root, make) for name, make in makers.items()]


def _reader(name: str, root: Path, make: Callable[[Path], list[str]]) -> Reader:
    folder = root / name.replace(" ", "-") / "in"
    folder.mkdir(parents=True)
    arguments = make(folder)
    if not name.startswith("check"):
        # A dry run reads and checks everything and writes nothing.
        arguments = [*arguments, "--output", str(folder.parent / "out"), "--dry-run"]

    def read() -> int:
        code = main(arguments)
        if code == 2:
            raise UserError(f"{folder}: refused")
        return code

    def check(code: Any) -> None:
        assert code == 0, f"exit code {code}"

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Reader(name, files, read, check, 0.25, by_name=False)


def _rows(*columns: Callable[[int, int], Any], separator: str = "\t") -> str:
    lines = (separator.join(str(column(u, i)) for column in columns) for u, i in _PAIRS)
    return "".join(line + "\n" for line in lines)


def _matrix(rows: int = _ITEMS, width: int = _WIDTH) -> Any:
    return np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)


def _table_csv(folder: Path) -> list[str]:
    rows = _rows(_user, _item, lambda u, i: 1 + (u + i) % 5, _time, separator=",")
    (folder / "r.csv").write_text("user,item,rating,timestamp\n" + rows)
    body = "".join(f"i{i},{','.join(map(str, row))}\n" for i, row in enumerate(_matrix()))
    (folder / "f.csv").write_text("item," + ",".join(f"v{n}" for n in range(_WIDTH)) + "\n" + body)
    features = ["--features", f"visual={folder / 'f.csv'}"]
    return ["table", "--input", str(folder / "r.csv"), *features]


def _table_npz(folder: Path) -> list[str]:
    users, items = np.array(_PAIRS).T
    np.savez(folder / "r.npz", user=users, item=items)
    np.savez(folder / "f.npz", ids=np.arange(_ITEMS), matrix=_matrix())
    np.save(folder / "g.npy", _matrix().astype(np.float16))
    np.save(folder / "g.ids.npy", np.arange(_ITEMS))
    options = ["--features", f"visual={folder / 'f.npz'}", "--features"]
    return ["table", "--input", str(folder / "r.npz"), *options, f"acoustic={folder / 'g.npy'}"]


def _table_parquet(folder: Path) -> list[str]:
    users, items = np.array(_PAIRS).T
    pd.DataFrame({"user": users, "item": items}).to_parquet(folder / "r.parquet")
    frame = pd.DataFrame({"item": np.arange(_ITEMS), "vector": list(_matrix())})
    frame.to_parquet(folder / "f.parquet")
    features = ["--features", f"visual={folder / 'f.parquet'}"]
    return ["table", "--input", str(folder / "r.parquet"), *features]


def _table_vectors(folder: Path) -> list[str]:
    (folder / "r.csv").write_text("user,item\n" + _rows(_user, _item, separator=","))
    vectors = {f"i{i}": np.round(row, 3).tolist() for i, row in enumerate(_matrix().astype(float))}
    (folder / "a.json").write_text(json.dumps(vectors))
    cells = "".join(f'{item},"{row}"\n' for item, row in vectors.items())
    (folder / "b.csv").write_text("item,vector\n" + cells)
    lines = "".join(f"{item} {' '.join(map(str, row))}\n" for item, row in vectors.items())
    (folder / "c.vec").write_text(f"{_ITEMS} {_WIDTH}\n" + lines)
    np.save(folder / "d.npy", _matrix())
    (folder / "ids.json").write_text(json.dumps({f"i{i}": i for i in range(_ITEMS)}))
    files = ("a.json", "b.csv", "c.vec", "d.npy")
    features = [w for f in files for w in ("--features", f"{f[0]}={folder / f}")]
    ids = ["--feature-ids", str(folder / "ids.json")]
    return ["table", "--input", str(folder / "r.csv"), *features, *ids]


def _movielens(folder: Path) -> list[str]:
    rating = _rows(lambda u, i: u, lambda u, i: i, lambda u, i: 3.5, _time, separator=",")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rating)
    films = "".join(f'{i},"Film, the {i}th (1990)",Drama|Comedy\n' for i in range(_ITEMS))
    (folder / "movies.csv").write_text("movieId,title,genres\n" + films)
    return ["movielens", "--input", str(folder)]


def _mmgcn(folder: Path) -> list[str]:
    np.save(folder / "train.npy", np.array([[0, 3], [0, 4], [1, 5], [2, 6]]))
    for name, lists in (("val_full", [[0, 5], [1], [2, 3]]), ("test_full", [[1, 3, 4]])):
        array = np.empty(len(lists), dtype=object)
        array[:] = lists
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    np.save(folder / "FeatureVideo_normal.npy", _matrix(4, 2))
    torch.save(torch.tensor([[1.0, 4], [2, 3], [3, 2], [5, 1]]), folder / "feat_a.pt")
    torch.save(torch.tensor([[0, 0, 1, 1, 2, 3, 3], [0, 1, 0, 2, 2, 1, 3]]), folder / "feat_t.pt")
    return ["mmgcn", "--input", str(folder)]


def _tiktok(folder: Path) -> list[str]:
    rows = _rows(
        *(lambda u, i: u, lambda u, i: 1, lambda u, i: i, lambda u, i: 2, lambda u, i: 3),
        *(lambda u, i: 0, lambda u, i: 1, lambda u, i: 0, lambda u, i: 4, lambda u, i: 5),
        *(lambda u, i: 53_000_000_000 + u, lambda u, i: 10),
    )
    (folder / "final_track2_train.txt").write_text(rows)
    for stem, key in (("video", "video_feature_dim_128"), ("audio", "audio_feature_128_dim")):
        lines = [
            {"item_id": i, key: np.round(row, 3).tolist()}
            for i, row in enumerate(_matrix(_ITEMS, 128).astype(float))
        ]
        (folder / f"track2_{stem}_features.txt").write_text("\n".join(map(json.dumps, lines)))
    words = [{str(9 + i % 3): 1 + i, "7": 2} for i in range(_ITEMS)]
    titles = [{"item_id": i, "title_features": bag} for i, bag in enumerate(words)]
    text = "\n".join(map(json.dumps, titles)).encode()
    (folder / "track2_title.txt.gz").write_bytes(gzip.compress(text))
    return ["tiktok", "--input", str(folder), "--text-size", "2"]


def _kwai(folder: Path) -> list[str]:
    rows = _rows(
        *(lambda u, i: u, lambda u, i: 1000 + i, lambda u, i: 1, lambda u, i: 0),
        *(lambda u, i: 0, lambda u, i: 761_000 + u, lambda u, i: 3, lambda u, i: 20),
    )
    (folder / "train_interaction.txt").write_text(rows)
    with zipfile.ZipFile(folder / "final_visual_train.zip", "w") as archive:
        for item, row in enumerate(_matrix()):
            with archive.open(f"final_visual_train/{1000 + item}", "w") as stream:
                np.save(stream, row[None])
    text = "".join(f"{1000 + i}\t{i % 3},{i + 9}\n" for i in range(_ITEMS))
    (folder / "train_text.txt").write_text(text)
    return ["kwai", "--input", str(folder)]


def _mmrec(folder: Path) -> list[str]:
    rows = _rows(lambda u, i: u, lambda u, i: i, lambda u, i: (u + i) % 3)
    (folder / f"{folder.name}.inter").write_text("userID\titemID\tx_label\n" + rows)
    for name in ("image", "text"):
        np.save(folder / f"{name}_feat.npy", _matrix())
    return ["mmrec", "--input", str(folder)]


def _lattice(folder: Path) -> list[str]:
    (folder / "5-core").mkdir()
    for number, name in enumerate(("train", "val", "test")):
        lists = {
            str(u): [i for u2, i in _PAIRS if u2 == u and (number == 0) == (i < 3)][: 3 - number]
            for u in range(_USERS)
        }
        if number == 2:
            lists = {}
        (folder / "5-core" / f"{name}.json").write_text(json.dumps(lists))
    for name in ("image", "text"):
        np.save(folder / f"{name}_feat.npy", _matrix())
    return ["lattice", "--input", str(folder)]


def _diffmm(folder: Path) -> list[str]:
    dense = np.zeros((_USERS, _ITEMS), dtype=np.float32)
    for user, item in _PAIRS:
        dense[user, item] = 1
    part = np.add.outer(np.arange(_USERS), 2 * np.arange(_ITEMS)) % 5
    masks = {"trnMat": part < 3, "valMat": part == 3, "tstMat": part == 4}
    for name, mask in masks.items():
        matrix = sp.coo_matrix(dense * mask)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(matrix, protocol=2))
    for modality in ("image", "text"):
        np.save(folder / f"{modality}_feat.npy", _matrix())
    return ["diffmm", "--input", str(folder)]


def _amazon(folder: Path) -> list[str]:
    lines = [
        json.dumps({"reviewerID": f"A{u:09d}", "asin": f"B{i:09d}", "overall": 4.0,
                    "unixReviewTime": 1_390_000_000 + u, "summary": 'it\'s "fine"'})
        for u, i in _PAIRS
    ]  # fmt: skip
    (folder / "r.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    entries = [repr({"asin": f"B{i:09d}", "title": f"It's {i}"}) for i in range(_ITEMS)]
    (folder / "meta.json").write_text("\n".join(entries) + "\n")
    rows = [f"B{i:09d}".encode() + row.tobytes() for i, row in enumerate(_matrix().astype("<f4"))]
    (folder / "v.b").write_bytes(b"".join(rows))
    files = ["--metadata", str(folder / "meta.json"), "--visual", str(folder / "v.b")]
    return ["amazon", "--input", str(folder / "r.json.gz"), *files, "--visual-size", str(_WIDTH)]


def _microlens(folder: Path) -> list[str]:
    rows = _rows(lambda u, i: u, lambda u, i: i, _time, separator=",")
    (folder / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n" + rows)
    titles = "".join(f'{i},"Clip, no {i}"\n' for i in range(_ITEMS))
    (folder / "MicroLens-50k_titles.csv").write_text("item,title\n" + titles)
    return ["microlens", "--input", str(folder)]


def _ultragcn(folder: Path) -> list[str]:
    (folder / "train.txt").write_text("0 5 7\n1 7\n2 5 9\n")
    (folder / "test.txt").write_text("0 9\n1 5\n")
    return ["ultragcn", "--input", str(folder)]


def _check(folder: Path) -> list[str]:
    design = PlantedDesign(
        n_users=12, n_items=20, min_interactions=6, max_interactions=8, modalities={"visual": 4}
    )
    target = folder / "tiny"
    write_dataset(generate_planted(design, "tiny"), target)
    return ["check", str(target)]


def _user(user: int, item: int) -> str:
    return f"u{user}"


def _item(user: int, item: int) -> str:
    return f"i{item}"


def _time(user: int, item: int) -> int:
    return 1_260_000_000 + 7 * user + item
