"""What is kept about a shift, and what a run with such a test or mask does not claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import run_main

from recbole_painvrl.config.settings import RunSettings
from recbole_painvrl.run import shift
from recbole_painvrl.run.answer import _mask
from recbole_painvrl.run.shift import kept_ultragcn


def test_a_metric_of_which_less_is_better_is_not_compared(tiny_data: Path, tmp_path: Path) -> None:
    metrics = ("--metrics=[NDCG, AveragePopularity]", "--valid_metric=AveragePopularity@10")
    run = run_main(tiny_data, tmp_path, "BPR", *metrics, "--shift_ultragcn=False", name="x")
    assert run.code == 0, run.err
    (said,) = [s for s in run.result["shift"]["sentences"] if s.startswith("popularity alone")]
    assert "averagepopularity@10" in said and "BPR" not in said


def test_a_model_as_good_as_popularity_is_not_above_it() -> None:
    found: dict[str, Any] = {
        "kind": "none found", "shifted": [], "modalities": {}, "cold": {},
        "pop": {"iid": {"ndcg@10": 0.1}, "ood": {"ndcg@10": 0.2}},
    }  # fmt: skip
    said = " ".join(shift._sentences(found, {"iid": {"ndcg@10": 0.1}}, "ndcg@10", "VBPR"))
    assert "VBPR is not above it in distribution (0.1000)" in said


def test_an_ultragcn_of_other_settings_is_not_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def computed(*given: Any) -> dict[str, float]:
        calls.append(given)
        return {"test": 0.5, "ood": 0.25}

    monkeypatch.setattr(shift, "fixed_ultragcn", computed)
    rng = np.random.default_rng(0)
    pairs = {name: (rng.integers(1, 9, 20), rng.integers(1, 9, 20)) for name in ("train", "ood")}
    settings = [RunSettings(), RunSettings(split_seed=1), RunSettings(split_epochs=3)]
    for _ in range(2):
        for one in settings:
            found = kept_ultragcn(tmp_path, pairs, 9, 9, one)
            assert found["ood"] == 0.25
    kept_ultragcn(tmp_path, pairs, 9, 10, settings[0])
    assert len(calls) == 4


@pytest.mark.parametrize(("used", "mask"), [("soft", "not known"), ("ones", "nothing found")])
def test_a_mask_that_is_not_used_has_found_nothing(used: str, mask: str) -> None:
    form = {"form": "soft", "used": used, "two_groups": {"visual": {"found": True}}}
    assert _mask({}, form) == mask
