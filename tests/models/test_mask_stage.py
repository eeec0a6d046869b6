"""What the mask stage reports: statistics of the mask, and figures of its epochs."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recbole_painvrl.models.painvrl.mask_learner import Trajectory
from recbole_painvrl.models.painvrl.mask_stage import _figures, _report, mask_statistics

SLICES = {"text": slice(0, 2), "visual": slice(2, 5)}


def test_statistics_by_hand() -> None:
    """Population standard deviations, of every modality's columns and of all."""
    found = mask_statistics(torch.tensor([0.1, 0.3, 0.0, 0.6, 0.9]), SLICES)
    expected = {
        "text": (0.2, 0.1, 0.1, 0.3),
        "visual": (0.5, (0.42 / 3) ** 0.5, 0.0, 0.9),
        "all": (0.38, (1.27 / 5 - 0.38**2) ** 0.5, 0.0, 0.9),
    }
    assert found.keys() == expected.keys()
    for name, (mean, deviation, low, high) in expected.items():
        assert found[name] == pytest.approx(
            {"mask_mean": mean, "mask_std": deviation, "mask_min": low, "mask_max": high}, abs=1e-6
        )


@pytest.mark.parametrize("weighting", ["fixed", "pareto"])
def test_figures_are_those_of_the_last_epoch(weighting: str) -> None:
    settings = SimpleNamespace(
        mask_epochs=2, loss_weighting=weighting, irm_weight=1.5, mask_decay=0.25
    )
    epochs: list[dict[str, Any]] = [
        {"l_erm": value, "mask": {"all": {"mask_mean": value / 10}, "text": {"mask_mean": 0.0}}}
        for value in (3.0, 2.0)
    ]
    learner: Any = SimpleNamespace(settings=settings, trajectory=Trajectory(epochs=epochs))
    found = _figures(learner)
    grown = {"irm_weight": 1.5, "mask_decay": 0.25} if weighting == "fixed" else {}
    history = [{"epoch": number, **epoch} for number, epoch in enumerate(epochs, 1)]
    assert found == {"epochs": 2, **grown, "l_erm": 2.0, "mask_mean": 0.2, "history": history}


@pytest.mark.parametrize(
    ("means", "highest", "weighting", "found"),
    [
        ({"norm_irm": 0.0, "w_erm": 1.0}, 0.5, "pareto", "L_IRM has no gradient"),
        ({"norm_irm": 1.0, "w_erm": 1.0}, 0.5, "pareto", "w_ERM was 1 in every step"),
        ({"norm_irm": 1.0, "w_erm": 0.0}, 0.5, "pareto", "w_ERM was 0 in every step"),
        ({"norm_irm": 1.0, "w_erm": 1.0}, 0.5, "erm", None),
        ({"norm_irm": 1.0, "w_erm": 0.9}, 0.5, "pareto", None),
        ({"norm_irm": 1.0, "w_erm": 0.9}, 0.04, "pareto", "the content is switched off"),
    ],
)
def test_a_loss_or_content_that_is_switched_off_is_a_warning(
    means: dict[str, float],
    highest: float,
    weighting: str,
    found: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scalars: dict[str, float] = {}
    trainer: Any = SimpleNamespace(
        log=logging.getLogger("test"),
        settings=SimpleNamespace(loss_weighting=weighting),
        tensorboard=SimpleNamespace(
            add_scalar=lambda name, value, _: scalars.update({name: value})
        ),
    )
    statistics = mask_statistics(torch.tensor([0.0, highest, 0.01, 0.01, 0.01]), SLICES)
    _report(trainer, "mask 1", 0, means, statistics)
    assert (found in caplog.text) if found else not caplog.text
    assert scalars["mask 1/w_erm"] == means["w_erm"]
    assert scalars["mask 1/text/mask_max"] == pytest.approx(highest)
