"""Plain attributes in which a model counts or collects while it trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recbole_painvrl.training.state import ModelAttributes


class Counting(torch.nn.Module):
    """Counts, collects in place and anew, and has what is constant or made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.rate, self.name = 0, 0.5, "x"
        self.losses, self.constant = torch.zeros(3), torch.ones(3)
        self.clusters: Any = None
        self.order, self.names = np.arange(5), np.array(["a"])
        self.restore_user_e, self._private = torch.zeros(2), 1
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def train_a_bit(self) -> None:
        self.steps += 3
        self.losses[1] = 7.0
        self.order[:] = self.order[::-1].copy()
        self.clusters = torch.arange(4)
        self.restore_user_e, self._private = torch.ones(2), 2


def test_what_has_changed_is_kept_and_put_back() -> None:
    model = Counting()
    attributes = ModelAttributes(model)
    assert attributes.state_dict() == {}
    model.train_a_bit()
    state = attributes.state_dict()
    assert set(state) == {"losses", "clusters", "steps", "order"}
    assert state["steps"] == 3
    fresh = Counting()
    ModelAttributes(fresh).load_state_dict(state)
    assert fresh.steps == 3
    assert torch.equal(fresh.losses, model.losses)
    assert torch.equal(fresh.clusters, model.clusters)
    assert fresh.order.tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "numbers", [{"forward": 1}, {"other": 1}, {"name": 2}, {"steps": "3"}, {"_private": 3}]
)
def test_a_checkpoint_cannot_put_anything_anywhere(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="keeps nothing in"):
        ModelAttributes(Counting()).load_state_dict(numbers)
