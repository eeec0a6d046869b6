"""Small samples of every source that ``python -m dataset_prep`` reads, as they are published."""

from __future__ import annotations

import gzip
import json
import pickle
import wave
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from benchmarks.fuzzing.attack import Reader
from dataset_prep.__main__ import main
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.errors import UserError

_USERS, _ITEMS, _WIDTH = 6, 5, 4
_PAIRS = [(user, item) for user in range(_USERS) for item in range(_ITEMS) if (user + item) % 4]
_TIME = 1_260_000_000


def source_readers(root: Path) -> list[Reader]:
    """Write a sample of every source below ``root``; returns their readers."""
    return [_reader(root, name, make) for name, make in SAMPLES.items()]


def _reader(root: Path, name: str, make: Callable[[Path], list[str]]) -> Reader:
    folder = root / name.replace(" ", "-") / "in"
    folder.mkdir(parents=True)
    arguments = make(folder)
    if arguments[0] not in ("check", "describe"):
        # A dry run reads and checks everything and writes nothing.
        arguments += ["--output", str(folder.parent / "out"), "--dry-run"]

    def read() -> int:
        code = main(arguments)
        if code == 2:
            raise UserError(f"{folder}: refused")
        return code

    def check(code: Any) -> None:
        assert code == 0, f"exit code {code}"

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Reader(name, files, read, check, 0.25, by_name=False)


def _write(path: Path, header: str, *cells: str, separator: str = ",", rows: Any = _PAIRS) -> None:
    """A text table of cells formatted with user ``u``, item ``i``, time ``t``, rating ``r``."""
    line = separator.join(cells)
    lines = [line.format(u=u, i=i, t=_TIME + 7 * u + i, r=1 + (u + i) % 5) for u, i in rows]
    path.write_text(header + "\n".join(lines) + "\n")


def _each_item(path: Path, header: str, cell: str) -> None:
    _write(path, header, cell, rows=[(0, item) for item in range(_ITEMS)])


def _json_lines(values: Any) -> str:
    return "\n".join(map(json.dumps, values)) + "\n"


def _matrix(rows: int = _ITEMS, width: int = _WIDTH) -> Any:
    return np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)


def _vectors(width: int = _WIDTH) -> list[list[float]]:
    return [np.round(row, 3).tolist() for row in _matrix(_ITEMS, width).astype(float)]


def _save_matrices(folder: Path, *names: str) -> None:
    for name in names:
        np.save(folder / f"{name}.npy", _matrix())


def _table_csv(folder: Path) -> list[str]:
    _write(folder / "r.csv", "user,item,rating,timestamp\n", "u{u}", "i{i}", "{r}", "{t}")
    columns = [f"v{number}" for number in range(_WIDTH)]
    frame = pd.DataFrame(_matrix(), columns=columns, index=[f"i{i}" for i in range(_ITEMS)])
    frame.to_csv(folder / "f.csv", index_label="item")
    return _table(folder, "r.csv", "visual=f.csv")


def _table_npz(folder: Path) -> list[str]:
    users, items = np.array(_PAIRS).T
    np.savez(folder / "r.npz", user=users, item=items)
    np.savez(folder / "f.npz", ids=np.arange(_ITEMS), matrix=_matrix())
    np.save(folder / "g.npy", _matrix().astype(np.float16))
    np.save(folder / "g.ids.npy", np.arange(_ITEMS))
    return _table(folder, "r.npz", "visual=f.npz", "acoustic=g.npy")


def _table_parquet(folder: Path) -> list[str]:
    pd.DataFrame(_PAIRS, columns=["user", "item"]).to_parquet(folder / "r.parquet")
    frame = pd.DataFrame({"item": np.arange(_ITEMS), "vector": list(_matrix())})
    frame.to_parquet(folder / "f.parquet")
    return _table(folder, "r.parquet", "visual=f.parquet")


def _table_vectors(folder: Path) -> list[str]:
    _write(folder / "r.csv", "user,item\n", "u{u}", "i{i}")
    vectors = {f"i{i}": row for i, row in enumerate(_vectors())}
    (folder / "a.json").write_text(json.dumps(vectors))
    cells = "".join(f'{item},"{row}"\n' for item, row in vectors.items())
    (folder / "b.csv").write_text("item,vector\n" + cells)
    lines = "".join(f"{item} {' '.join(map(str, row))}\n" for item, row in vectors.items())
    (folder / "c.vec").write_text(f"{_ITEMS} {_WIDTH}\n" + lines)
    _save_matrices(folder, "d")
    (folder / "ids.json").write_text(json.dumps({f"i{i}": i for i in range(_ITEMS)}))
    words = _table(folder, "r.csv", "a=a.json", "b=b.csv", "c=c.vec", "d=d.npy")
    return [*words, "--feature-ids", str(folder / "ids.json")]


def _table(folder: Path, interactions: str, *features: str) -> list[str]:
    pairs = [one.split("=") for one in features]
    words = [word for name, file in pairs for word in ("--features", f"{name}={folder / file}")]
    return ["table", "--input", str(folder / interactions), *words]


def _movielens(folder: Path) -> list[str]:
    header = "userId,movieId,rating,timestamp\n"
    _write(folder / "ratings.csv", header, "{u}", "{i}", "3.5", "{t}")
    _each_item(
        folder / "movies.csv",
        "movieId,title,genres\n",
        '{i},"Film, the {i}th (1990)",Drama|Comedy',
    )
    return ["movielens", "--input", str(folder)]


def _mmgcn(folder: Path) -> list[str]:
    np.save(folder / "train.npy", np.array([[0, 3], [0, 4], [1, 5], [2, 6]]))
    for name, lists in (("val_full", [[0, 5], [1], [2, 3]]), ("test_full", [[1, 3, 4]])):
        array = np.empty(len(lists), dtype=object)
        array[:] = lists
        # The release's own format, lists as a pickle, which has to be read without unpickling.
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    np.save(folder / "FeatureVideo_normal.npy", _matrix(4, 2))
    torch.save(torch.tensor([[1.0, 4], [2, 3], [3, 2], [5, 1]]), folder / "feat_a.pt")
    torch.save(torch.tensor([[0, 0, 1, 1, 2, 3, 3], [0, 1, 0, 2, 2, 1, 3]]), folder / "feat_t.pt")
    return ["mmgcn", "--input", str(folder)]


def _tiktok(folder: Path) -> list[str]:
    cells = ("{u}", "1", "{i}", "2", "3", "0", "1", "0", "4", "5", "5300000000{u}", "10")
    _write(folder / "final_track2_train.txt", "", *cells, separator="\t")
    for stem, key in (("video", "video_feature_dim_128"), ("audio", "audio_feature_128_dim")):
        lines = [{"item_id": i, key: row} for i, row in enumerate(_vectors(128))]
        (folder / f"track2_{stem}_features.txt").write_text(_json_lines(lines))
    bags = [{str(9 + i % 3): 1 + i, "7": 2} for i in range(_ITEMS)]
    titles = _json_lines({"item_id": i, "title_features": bag} for i, bag in enumerate(bags))
    (folder / "track2_title.txt.gz").write_bytes(gzip.compress(titles.encode()))
    return ["tiktok", "--input", str(folder), "--text-size", "2"]


def _kwai(folder: Path) -> list[str]:
    cells = ("{u}", "100{i}", "1", "0", "0", "76100{u}", "3", "20")
    _write(folder / "train_interaction.txt", "", *cells, separator="\t")
    with zipfile.ZipFile(folder / "final_visual_train.zip", "w") as archive:
        for item, vector in enumerate(_matrix()):
            with archive.open(f"final_visual_train/100{item}", "w") as stream:
                np.save(stream, vector[None])
    _each_item(folder / "train_text.txt", "", "100{i}\t{r},9{i}")
    return ["kwai", "--input", str(folder)]


def _mmrec(folder: Path) -> list[str]:
    path = folder / f"{folder.name}.inter"
    _write(path, "userID\titemID\tx_label\n", "{u}", "{i}", "0", separator="\t")
    # 0, 1 and 2 mean training, validation and test.
    lines = path.read_text().splitlines()
    labelled = [f"{line[:-1]}{number % 3}" for number, line in enumerate(lines[1:])]
    path.write_text("\n".join([lines[0], *labelled, ""]))
    _save_matrices(folder, "image_feat", "text_feat")
    return ["mmrec", "--input", str(folder)]


def _lattice(folder: Path) -> list[str]:
    (folder / "5-core").mkdir()
    for name, first, last in (("train", 0, 3), ("val", 3, 5)):
        lists = {
            str(user): [i for u, i in _PAIRS if u == user and first <= i < last]
            for user in range(_USERS)
        }
        (folder / "5-core" / f"{name}.json").write_text(json.dumps(lists))
    (folder / "5-core" / "test.json").write_text("{}")
    _save_matrices(folder, "image_feat", "text_feat")
    return ["lattice", "--input", str(folder)]


def _diffmm(folder: Path) -> list[str]:
    splits = {"trnMat": (0, 1, 2), "valMat": (3,), "tstMat": (4,)}
    for name, numbers in splits.items():
        dense = np.zeros((_USERS, _ITEMS), dtype=np.float32)
        for user, item in _PAIRS:
            dense[user, item] = (user + 2 * item) % 5 in numbers
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(sp.coo_matrix(dense), protocol=2))
    _save_matrices(folder, "image_feat", "text_feat")
    return ["diffmm", "--input", str(folder)]


def _amazon(folder: Path) -> list[str]:
    code = partial("{}{:09d}".format)
    reviews = _json_lines(
        {"reviewerID": code("A", u), "asin": code("B", i), "overall": 4.0,
         "unixReviewTime": _TIME + u, "summary": 'it\'s "fine"'}
        for u, i in _PAIRS
    )  # fmt: skip
    (folder / "r.json.gz").write_bytes(gzip.compress(reviews.encode()))
    entries = [repr({"asin": code("B", i), "title": f"It's {i}"}) for i in range(_ITEMS)]
    (folder / "meta.json").write_text("\n".join(entries) + "\n")
    rows = [code("B", i).encode() + row.tobytes() for i, row in enumerate(_matrix())]
    (folder / "v.b").write_bytes(b"".join(rows))
    files = ["--metadata", str(folder / "meta.json"), "--visual", str(folder / "v.b")]
    return ["amazon", "--input", str(folder / "r.json.gz"), *files, "--visual-size", str(_WIDTH)]


def _microlens(folder: Path) -> list[str]:
    _write(folder / "MicroLens-50k_pairs.csv", "user,item,timestamp\n", "{u}", "{i}", "{t}")
    _each_item(folder / "MicroLens-50k_titles.csv", "item,title\n", '{i},"Clip, no {i}"')
    return ["microlens", "--input", str(folder)]


def _ultragcn(folder: Path) -> list[str]:
    (folder / "train.txt").write_text("0 5 7\n1 7\n2 5 9\n")
    (folder / "test.txt").write_text("0 9\n1 5\n")
    return ["ultragcn", "--input", str(folder)]


def _extract(folder: Path) -> list[str]:
    _each_item(folder / "titles.csv", "item,title\n", 'i{i},"Film, the {i}th of {r}"')
    (folder / "wav").mkdir()
    for item, samples in enumerate(np.random.default_rng(0).integers(-999, 999, (_ITEMS, 800))):
        with wave.open(str(folder / "wav" / f"i{item}.wav"), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(8000)
            stream.writeframes(samples.astype("<i2").tobytes())
    words = ["--text", f"title={folder / 'titles.csv'}", "--text-size", "2"]
    return ["extract", *words, "--audio", f"sound={folder / 'wav'}"]


def _check(folder: Path) -> list[str]:
    design = PlantedDesign(
        n_users=12, n_items=20, min_interactions=6, max_interactions=8, modalities={"visual": 4}
    )
    write_dataset(generate_planted(design, "tiny"), folder / "tiny")
    return ["check", str(folder / "tiny")]


def _describe(folder: Path) -> list[str]:
    return ["describe", *_check(folder)[1:], "--items", "2"]


# Each writes its sample into a folder, and returns the words of the command that reads it.
SAMPLES: dict[str, Callable[[Path], list[str]]] = {
    make.__name__.strip("_").replace("_", " "): make
    for make in (
        *(_table_csv, _table_npz, _table_parquet, _table_vectors, _movielens, _mmgcn, _tiktok),
        *(_kwai, _mmrec, _lattice, _diffmm, _amazon, _microlens, _ultragcn),
        *(_extract, _check, _describe),
    )
}
