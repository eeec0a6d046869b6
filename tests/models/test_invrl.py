"""InvRL's final model: scores on the masked features, and how its tables decay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.data.interaction import Interaction
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.invrl import InvRL

SMALL = ("--embedding_size=6", "--content_embedding_size=4", "--init_std=0.3")


def build(make: MakeConfig, *argv: str) -> InvRL:
    config = make("InvRL", *SMALL, *argv)
    return InvRL(config, ModalityDataset(config).build_parts()[TRAIN])


def test_scores_are_those_of_the_masked_features(tiny_config: MakeConfig) -> None:
    model = build(tiny_config)
    mask = torch.rand(model.features.shape[1])
    model.set_mask(mask)
    torch.nn.init.normal_(model.projection.bias)
    model.eval()
    users = torch.tensor([0, 1, model.n_users - 1])
    scores = model.full_sort_predict(Interaction({model.USER_ID: users})).view(3, -1)
    assert scores.shape == (3, model.n_items)
    for row, user in enumerate(users.tolist()):
        for item in range(model.n_items):
            content = model.projection.weight @ (mask * model.features[item])
            content = content + model.projection.bias
            by_hand = model.user_id_embedding.weight[user] @ model.item_id_embedding.weight[item]
            by_hand = by_hand + model.user_content_embedding.weight[user] @ content
            assert scores[row, item].item() == pytest.approx(by_hand.item(), abs=1e-5)


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


def test_a_modality_is_needed(tiny_config: MakeConfig) -> None:
    train = ModalityDataset(tiny_config("UltraGCN", "--modalities=[]")).build_parts()[TRAIN]
    with pytest.raises(UserError, match="InvRL needs at least one modality"):
        InvRL(tiny_config("InvRL"), train)
    with pytest.raises(UserError, match=r"^`modalities`: found \[\] .* at least one"):
        tiny_config("InvRL", "--modalities=[]")


@pytest.mark.parametrize(
    "setting", ["attention", "loss_weighting", "gradient_normalization", "projection_objective"]
)
def test_what_is_painvrls_is_not_a_setting_of_invrl(setting: str, tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match=f"unknown setting `{setting}`"):
        tiny_config("InvRL", f"--{setting}=False")
