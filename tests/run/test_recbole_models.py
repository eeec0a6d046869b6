"""RecBole's own models with settings that their code reads in its own way."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import run_main
from test_bad_input import assert_refused


class FirstRows:
    """A stand-in for ``faiss.Kmeans``: the first rows are the centroids."""

    def __init__(self, d: int, k: int, gpu: bool) -> None:
        self.k, self.index = k, self

    def train(self, rows: np.ndarray) -> None:
        assert len(rows) >= self.k, "as faiss"
        self.centroids = rows[: self.k]

    def search(self, rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        distances = ((rows[:, None] - self.centroids) ** 2).sum(axis=2)
        return distances.min(axis=1)[:, None], distances.argmin(axis=1)[:, None]


@pytest.fixture
def clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(Kmeans=FirstRows))


@pytest.mark.usefixtures("clustering")
def test_ncl_with_dynamic_negatives(tiny_data: Path, tmp_path: Path) -> None:
    """Its trainer does not hand the model to the loader, which scores candidates by it."""
    dynamic = "--train_neg_sample_args={sample_num: 1, dynamic: True, candidate_num: 3}"
    runs = [
        run_main(tiny_data, tmp_path, "NCL", "--num_clusters=5", *argv, name=name)
        for name, argv in {"uniform": (), "dynamic": (dynamic,)}.items()
    ]
    assert [run.code for run in runs] == [0, 0], runs[1].err
    losses = [run.result["stages"][0]["loss"] for run in runs]
    assert losses[1] > losses[0], "candidates with the highest scores are harder negatives"


@pytest.mark.usefixtures("clustering")
def test_more_clusters_than_items(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "NCL", "--num_clusters=92", name="x")
    assert_refused(run, "`num_clusters`: found 92", "set it to at most 91")


def test_more_users_per_step_than_items(tiny_data: Path, tmp_path: Path) -> None:
    few = ("--train_batch_size=4096", "--n_factors=2")
    run = run_main(tiny_data, tmp_path, "DGCF", *few, name="x")
    assert_refused(run, "`train_batch_size`: found 4096", "draws 121 users", "`cor_weight` to 0")
    assert run_main(tiny_data, tmp_path, "DGCF", *few, "--cor_weight=0", name="y").code == 0
