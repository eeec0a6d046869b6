"""Planted columns are found: the mask ends on the right side of chance, by a wide margin."""

from __future__ import annotations

from pathlib import Path

import pytest
from laws import run_main

from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted

DESIGN = PlantedDesign(n_users=400, n_items=300)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    write_dataset(generate_planted(DESIGN, "tiny"), root / "tiny")
    return root


def test_known_environments_separate_the_columns(data: Path, tmp_path: Path) -> None:
    run = run_main(
        data, tmp_path, "PaInvRL", "--seed=1", "--known_environments=True",
        "--backbone_epochs=15", "--mask_epochs=2", "--oracle=False", name="x",
    )  # fmt: skip
    assert run.code == 0, run.err
    planted = run.result["planted"]
    assert planted["mask_auc"]["overall"] > 0.9
    assert planted["mask_auc_shuffled"]["overall"] == pytest.approx(0.5, abs=0.05)
    scores = planted["mask"]["overall"]
    assert scores["mean_invariant"] - scores["mean_spurious"] > 0.05
