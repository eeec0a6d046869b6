"""Evaluations by a trainer: random draws, learning rate, and what its checkpoint puts back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import MakeConfig, trainer_of


def test_draws_of_scores_are_those_of_the_evaluation(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights have the same figures, and the training goes on as without them."""
    trainer, _, loader = trainer_of(tiny_config("BPR"))
    n_items = trainer.model.n_items

    def drawn(batch: Any) -> Any:
        return torch.rand(len(batch) * n_items)

    monkeypatch.setattr(trainer.model, "full_sort_predict", drawn)
    found, left = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(trainer.evaluate(loader, load_best_model=False))
        left.append(torch.rand(()))
        torch.manual_seed(seed)
        assert torch.rand(()) == left[-1]
    assert found[0] == found[1]


def test_a_schedule_is_a_factor_of_the_first_learning_rate(tiny_config: MakeConfig) -> None:
    """It does not pile up over the epochs."""
    trainer, *_ = trainer_of(tiny_config("BPR", "--learning_rate=0.01"))
    trainer.model.learning_rate_factor = lambda epoch: 0.5**epoch
    rates = []
    for epoch in (0, 1, 2, 3, 1):
        trainer._start_epoch(epoch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.005, 0.0025, 0.00125, 0.005])


def test_what_a_model_has_beside_weights_is_in_the_checkpoint(tiny_config: MakeConfig) -> None:
    """As the counts of RecBole's Pop."""
    trainer, *_ = trainer_of(tiny_config("BPR"))
    counts = torch.arange(5.0)
    trainer.model.other_parameter_name = ["counts", "largest"]
    trainer.model.counts, trainer.model.largest = counts.clone(), 4
    trainer._save_checkpoint(2)
    trainer.model.counts, trainer.model.largest = torch.zeros(5), 0
    assert trainer.load_best() == 2
    assert torch.equal(trainer.model.counts, counts) and trainer.model.largest == 4
