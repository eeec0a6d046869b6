"""Caveats claim no more than was tested."""

from __future__ import annotations

from pathlib import Path

from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.read import Result, RunData


def test_a_shift_that_is_not_detected_is_not_denied() -> None:
    split = {"shift": "not detected", "agreement_with_start": 0.9, "ultragcn_ndcg@10": "damaged"}
    result = Result(
        model="UltraGCN", dataset="toy", protocol="iid_ood", seed=0, metrics={}, split=split
    )
    said = " ".join(caveats(RunData(Path("run"), {}, result, {}, {}, None, "")))
    assert "90% of the interactions kept their environment" in said
    assert "no test of the distributions" in said
    assert "has the distribution of training" not in said
