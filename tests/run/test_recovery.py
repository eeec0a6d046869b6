"""Planted columns are found: the mask ends on the right side of chance, by a wide margin."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import planted_data, run_main

from recbole_painvrl.data.planted import PlantedDesign

DESIGN = PlantedDesign(n_users=400, n_items=300)
# Written out, so that this test is about the code: the shipped defaults suit larger data.
SETTINGS = (
    "--backbone_epochs=15",
    "--backbone_embedding_reg_weight=1e-4",
    "--backbone_projection_reg_weight=1e-2",
    "--mask_epochs=2",
    "--mask_batch_size=256",
    "--mask_step_size=0.05",
    "--mask_decay=0.0",
    "--gradient_normalization=l2",
    "--loss_weighting=pareto",
    "--mask_form=soft",
)


def test_known_environments_separate_the_columns(tmp_path: Path) -> None:
    data = planted_data(DESIGN, tmp_path / "data")
    argv = ("--seed=1", "--known_environments=True", "--oracle=False", *SETTINGS)
    run = run_main(data, tmp_path, "PaInvRL", *argv, name="x")
    assert run.code == 0, run.err
    planted = run.result["planted"]
    assert all(auc > 0.9 for auc in planted["mask_auc"].values()), planted["mask_auc"]
    assert planted["mask_auc_shuffled"]["overall"] == pytest.approx(0.5, abs=0.05)
    scores = planted["mask"]["overall"]
    assert scores["mean_invariant"] - scores["mean_spurious"] > 0.1
