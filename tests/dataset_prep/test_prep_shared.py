"""The real datasets, if they are available: published counts and metrics of popularity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from prep_support import SHARED, done, inter, manifest, passed, prepare

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED.parent.name}/data here")
FIXES = "drop-unrated,drop-columns,drop-rows"
Figures = tuple[float, float]


def popularity(folder: Path, k: int) -> Figures:
    """Recall@k and NDCG@k of the most popular training items, those of the user left out."""
    train, test = inter(folder, "train"), inter(folder, "test")
    order = train["item_id"].value_counts().index.to_numpy()
    known = train.groupby("user_id")["item_id"].agg(set).to_dict()
    discounts = 1 / np.log2(np.arange(2, k + 2))
    recalls, gains = [], []
    for user, wanted in test.groupby("user_id")["item_id"].agg(set).items():
        seen = known.get(user, set())
        top = [item for item in order[: k + len(seen)] if item not in seen][:k]
        hits: npt.NDArray[Any] = np.array([item in wanted for item in top])
        recalls.append(hits.sum() / len(wanted))
        gains.append(discounts[: len(hits)][hits].sum() / discounts[: len(wanted)].sum())
    return float(np.mean(recalls)), float(np.mean(gains))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every set, converted once."""
    folder = tmp_path_factory.mktemp("dataset")
    for name, arguments in {
        "ml-trailers": ["movielens", "--input", SHARED / "ml1m-trailers", "--fix", FIXES],
        "tiktok": ["diffmm", "--input", SHARED / "tiktok"],
        "electronics": ["ultragcn", "--input", SHARED / "electronics"],
        "ml-mmgcn": [
            "mmgcn",
            "--input",
            next((SHARED / "movielens-mmgcn").glob("*.npz")),
            "--resplit",
        ],
    }.items():
        done(*arguments, "--output", folder / name)
    return {path.name: path for path in folder.iterdir()}


def sizes(folder: Path) -> tuple[int, ...]:
    frame = inter(folder)
    parts = [
        len(inter(folder, part))
        for part in ("train", "valid", "test")
        if (folder / f"{folder.name}.{part}.inter").exists()
    ]
    return (frame["user_id"].nunique(), frame["item_id"].nunique(), *parts)


def test_ml1m_trailers(prepared: dict[str, Path]) -> None:
    folder = prepared["ml-trailers"]
    assert sizes(folder) == (5_948, 680, 353_071, 88_948)
    assert popularity(folder, 10) == pytest.approx((0.126, 0.210), abs=5e-4)
    shapes = {m: (d["rows"], d["dims"]) for m, d in manifest(folder)["modalities"].items()}
    assert shapes == {
        "visual": (680, 101), "acoustic": (680, 100), "textual": (680, 382), "poster": (675, 1280),
    }  # fmt: skip


def test_ml1m_trailers_faults_are_named(tmp_path: Path) -> None:
    arguments = ("movielens", "--input", SHARED / "ml1m-trailers", "--output", tmp_path / "m")
    result = prepare(*arguments)
    assert "3 columns explode beyond 1e+06, up to 3.0e+15: columns 104, 105, 106" in result.out
    assert "visual_avf_avg.npy: 3 columns are constant: columns 30, 31, 103" in result.out
    assert "1127 of 1807 rows are of items without interaction" in result.out
    assert "visual_avf_avg.npy: about 3 of 101 columns hold nearly all variance" in result.out
    assert "text_minilm_title_plot.npy: 665 of 1807 rows have no content" in result.out
    assert set(result.refusal.split("--fix ")[1].split("`")[0].split(",")) == set(FIXES.split(","))


def test_tiktok(prepared: dict[str, Path]) -> None:
    folder = prepared["tiktok"]
    assert sizes(folder) == (9_308, 6_710, 59_541, 3_051, 6_130)
    assert popularity(folder, 20) == pytest.approx((0.0597, 0.0255), abs=1.5e-4)


def test_movielens_mmgcn(prepared: dict[str, Path]) -> None:
    folder = prepared["ml-mmgcn"]
    assert manifest(folder)["counts"]["without duplicates"] == 1_245_860
    assert len(pd.unique(inter(folder)["user_id"])) == 55_485


def test_electronics(prepared: dict[str, Path]) -> None:
    assert sizes(prepared["electronics"]) == (1_435, 1_522, 31_887, 4_044)


@pytest.mark.parametrize("name", ["ml-trailers", "electronics"])
def test_they_are_sound(prepared: dict[str, Path], name: str) -> None:
    passed(prepare("check", prepared[name]))
