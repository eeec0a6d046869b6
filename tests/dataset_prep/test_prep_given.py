"""Every source takes feature files, titles and an encoding beside what it reads itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import done, features, inter, manifest, prepare, write

from benchmarks.fuzzing.sources import SAMPLES
from dataset_prep.__main__ import COMMANDS

USERS, ITEMS = 5, 5
TAKING = [name for name in COMMANDS if name not in ("check", "describe", "planted")]


def grid(header: str, line: str) -> str:
    """Every user has every item but one; ``{u}`` and ``{i}``."""
    rows = [line.format(u=u, i=i) for u in range(USERS) for i in range(ITEMS) if u != i]
    return "\n".join([header, *rows, ""])


def matrix(seed: int, rows: int = ITEMS) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 3)).round(3)


def make_table(folder: Path) -> list[Any]:
    return ["table", "--input", write(folder / "e.csv", grid("user_id,item_id", "{u},{i}"))]


def make_extract(folder: Path) -> list[Any]:
    texts = "".join(f"{i},word{i} story{i % 3}\n" for i in range(ITEMS))
    path = write(folder / "t.csv", "item_id,plot\n" + texts)
    words = ["--text", f"textual={path}", "--text-size", 2]
    return ["extract", *make_table(folder)[1:], *words]


def make_amazon(folder: Path) -> list[Any]:
    """Ratings, since reviews in JSON refuse another encoding."""
    content = grid("user_id,parent_asin,rating,timestamp", "{u},{i},4.0,9")
    return ["amazon", "--input", write(folder / "r.csv", content)]


MAKE: dict[str, Callable[[Path], list[Any]]] = {
    **{name: SAMPLES[name] for name in TAKING if name in SAMPLES},
    **{"table": make_table, "extract": make_extract, "amazon": make_amazon},
}


def arguments(source: str, folder: Path) -> list[Any]:
    place = folder / "in"
    place.mkdir()
    # The sample of LATTICE has no test split.
    more = ["--resplit"] if source == "lattice" else []
    return [*MAKE[source](place), *more, "--output", folder / "out"]


def test_every_source_is_tried_here() -> None:
    assert set(MAKE) == set(TAKING)


@pytest.mark.parametrize("source", TAKING)
def test_features_and_titles_of_other_files(tmp_path: Path, source: str) -> None:
    """Ids in another order than the rows and the interactions, titles in another encoding."""
    base = arguments(source, tmp_path)
    done(*base)
    rated = sorted(set(inter(tmp_path / "out")["item_id"]))
    assert len(rated) == {"mmgcn": 4, "ultragcn": 3}.get(source, ITEMS)
    vectors = {seed: matrix(seed, len(rated)) for seed in (7, 8)}
    order = [*range(1, len(rated)), 0]
    np.save(tmp_path / "m.npy", vectors[7])
    ids = write(tmp_path / "ids.csv", "item_id,row\n" + "".join(f"{rated[k]},{k}\n" for k in order))
    rows = [f'{rated[k]},"{vectors[8][k].tolist()}"' for k in order]
    cells = write(tmp_path / "c.csv", "\n".join(["film,vector", *rows, ""]))
    titles = "".join(f"{rated[k]};Fil\xe9 {k}\n" for k in order)
    items = write(tmp_path / "t.csv", ("item_id;title\n" + titles).encode("latin-1"))
    options = ("--features", f"extra={tmp_path / 'm.npy'}", "--feature-ids", ids)
    options += ("--features", f"cells={cells}", "--items", items, "--encoding", "latin-1")
    result = done(*base, *options, "--force")
    for name, seed in (("extra", 7), ("cells", 8)):
        found = features(tmp_path / "out", name)
        expected = [pytest.approx(row.tolist(), abs=1e-5) for row in vectors[seed]]
        assert found == dict(zip(rated, expected, strict=True))
    text = (tmp_path / "out" / "out.item").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(text) == [f"{item}\tFil\xe9 {k}" for k, item in enumerate(rated)]
    inputs = {entry["name"] for entry in manifest(tmp_path / "out")["provenance"]["inputs"]}
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


FILES = {
    **{"table": "e.csv", "movielens": "ratings.csv", "amazon": "r.csv", "mmrec": "in.inter"},
    "microlens": "MicroLens-50k_pairs.csv",
}


@pytest.mark.parametrize("source", FILES)
def test_columns_of_other_names(tmp_path: Path, source: str) -> None:
    base = arguments(source, tmp_path)
    path = tmp_path / "in" / FILES[source]
    assert path.is_file()
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
    ids = ("--feature-ids", write(tmp_path / "ids.txt", "0\n1\n2\n3\n4\n"))
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
