"""InvRL's final model: scores on the masked features, and how its tables decay."""

from __future__ import annotations

from typing import Any

import pytest
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.models.invrl import InvRL

SMALL = ("--embedding_size=6", "--content_embedding_size=4", "--init_std=0.3")


def build(make: MakeConfig, *argv: str) -> InvRL:
    config = make("InvRL", *SMALL, *argv)
    return InvRL(config, ModalityDataset(config).build_parts()[TRAIN])


def decays(model: InvRL, groups: list[dict[str, Any]]) -> dict[str, float]:
    """Name of every parameter -> its weight decay; each is in one group."""
    found = [(p, group["weight_decay"]) for group in groups for p in group["params"]]
    names = {id(p): name.partition(".")[0] for name, p in model.named_parameters()}
    assert len(found) == len(names)
    return {names[id(p)]: decay for p, decay in found}


def test_item_ids_decay_by_their_factor_in_the_final_model(tiny_config: MakeConfig) -> None:
    weights = ("--embedding_reg_weight=0.1", "--projection_reg_weight=0.5")
    model = build(tiny_config, *weights, "--item_id_reg_factor=3.0")
    expected = {
        "user_id_embedding": 0.2,
        "user_content_embedding": 0.2,
        "item_id_embedding": 0.6,
        "projection": 1.0,
    }
    assert decays(model, model.parameter_groups()) == pytest.approx(expected)
    backbone = {**dict.fromkeys(expected, 0.02), "projection": 0.04}
    assert decays(model, model.parameter_groups(0.01, 0.02)) == pytest.approx(backbone)
