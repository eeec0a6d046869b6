"""``item_graph`` decides which neighbours the model has, and their weights."""

from __future__ import annotations

import pytest
import torch
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.functional.graph import ItemGraphForm, item_neighbours
from recbole_painvrl.models.ultragcn import UltraGCN


@pytest.mark.parametrize("form", ["paper", "code"])
def test_item_graph_of_the_model_is_that_of_the_setting(
    form: ItemGraphForm, tiny_config: MakeConfig
) -> None:
    config = tiny_config("UltraGCN", f"--item_graph={form}", "--n_neighbours=4")
    train = ModalityDataset(config).build_parts()[TRAIN]
    graph = UltraGCN(config, train).graph
    expected = item_neighbours(train.inter_matrix("csr"), 4, form)
    for own, table in zip((graph.neighbours, graph.neighbour_weight), expected, strict=True):
        assert torch.equal(own, table)


def test_without_an_item_item_term_there_are_no_neighbours(tiny_config: MakeConfig) -> None:
    config = tiny_config("UltraGCN", "--item_item_weight=0.0", "--n_neighbours=4")
    model = UltraGCN(config, ModalityDataset(config).build_parts()[TRAIN])
    assert model.graph.neighbours.shape == (model.n_items, 0)
