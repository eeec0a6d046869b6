"""Caveats claim no more than was tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_support import toy_run

from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.read import Result, RunData
from recbole_painvrl.report.sections.runs import limits


def test_a_shift_that_is_not_detected_is_not_denied() -> None:
    split = {"shift": "not detected", "agreement_with_start": 0.9, "ultragcn_ndcg@10": "damaged"}
    result = Result(
        model="UltraGCN", dataset="toy", protocol="iid_ood", seed=0, metrics={}, split=split
    )
    said = " ".join(caveats(RunData(Path("run"), {}, result, {}, {}, None, "")))
    assert "90% of the interactions kept their environment" in said
    assert "no test of the distributions" in said
    assert "has the distribution of training" not in said


@pytest.mark.parametrize(("epochs", "best", "said"), [(5, 3, True), (5, 5, True), (4, 4, False)])
def test_a_stage_without_early_stopping_is_named_with_its_seed(
    epochs: int, best: int, said: bool
) -> None:
    runs = [
        toy_run(
            "A", seed, {"ood": 0.5, "valid": 0.5}, {"epochs": 5},
            stages=[{"name": "train", "epochs": n, "best_epoch": k}],
        )
        for seed, n, k in ((0, 2, 1), (1, epochs, best))
    ]  # fmt: skip
    lists = limits(blocks(runs)[0])["lists"]
    reached = [text for _, texts in lists for text in texts if "reached its maximum" in text]
    assert [text.partition(":")[0] for text in reached] == ["Seed 1"] * said
