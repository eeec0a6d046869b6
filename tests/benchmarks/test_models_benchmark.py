"""Times of models: what is extrapolated, which models are measured, one of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.models import Figures, measure, models
from recbole_painvrl.specs import specs


def test_an_epoch_is_the_first_step_and_the_mean_of_the_others() -> None:
    whole = Figures(1.0, 5.0, 6.0, measured=4, steps=4, evaluation=0.5, peak_gb=0.25)
    assert whole.cells() == ["1.0", "2.000", "4", "11.0", "0.5", "0.25"]
    part = Figures(1.0, 5.0, 6.0, measured=4, steps=10, evaluation=0.5, peak_gb=0.25)
    assert part.cells()[2:4] == ["4 of 10", "~23.0"]
    one = Figures(1.0, 5.0, 0.0, measured=1, steps=3, evaluation=0.5, peak_gb=0.25)
    assert one.cells()[1:4] == ["5.000", "1 of 3", "~15.0"]


def test_all_models_but_the_staged_ones() -> None:
    assert set(specs()) - set(models()) == {"PaInvRL", "InvRL"}
    assert models()[-2:] == ["LightGCN", "BPR"]


@pytest.mark.parametrize(("steps", "measured"), [(2, 2), (0, 27)])
def test_steps_of_a_model(steps: int, measured: int, tiny_data: Path, tmp_path: Path) -> None:
    given = SimpleNamespace(data=tiny_data, dataset="tiny", steps=steps, batch=64, threads=1)
    figures = measure("FREEDOM", SimpleNamespace(**vars(given), output=tmp_path))
    assert figures.measured == measured
    assert figures.steps == 27
    assert figures.first_step > 0 and figures.evaluation > 0
