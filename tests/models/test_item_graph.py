"""``item_graph`` decides which neighbours the model has, and their weights."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.models.ultragcn import UltraGCN


@pytest.mark.parametrize("form", ["paper", "code"])
def test_item_graph_of_the_model_is_that_of_the_setting(form: str, tiny_config: MakeConfig) -> None:
    """Eq. 8, or the release's formula, entry by entry on the dense G of the training split."""
    config = tiny_config("UltraGCN", f"--item_graph={form}", "--n_neighbours=4")
    train = ModalityDataset(config).build_parts()[TRAIN]
    graph = UltraGCN(config, train).graph
    dense = np.zeros((train.user_num, train.item_num))
    columns = (train.inter_feat[name].numpy() for name in (train.uid_field, train.iid_field))
    dense[tuple(columns)] = 1
    g = dense.T @ dense
    totals = g.sum(axis=1)
    for item in (1, 7, train.item_num - 1):
        weights = {}
        for other in range(1, train.item_num):
            if form == "code":
                scale = sqrt(totals[item] + 1) / totals[item] / sqrt(totals[other] + 1)
                weights[other] = g[item, other] * scale
            elif other != item:
                rest = totals[item] - g[item, item]
                weights[other] = g[item, other] / rest * sqrt(totals[item] / totals[other])
        best = sorted(weights, key=lambda other: (-weights[other], other))[:4]
        assert graph.neighbours[item].tolist() == best
        assert graph.neighbour_weight[item].tolist() == pytest.approx(
            [weights[other] for other in best], rel=1e-5
        )
        # The release keeps the diagonal of G, which is the largest entry of its row.
        assert (best[0] == item) == (form == "code")


def test_without_an_item_item_term_there_are_no_neighbours(tiny_config: MakeConfig) -> None:
    config = tiny_config("UltraGCN", "--item_item_weight=0.0", "--n_neighbours=4")
    model = UltraGCN(config, ModalityDataset(config).build_parts()[TRAIN])
    assert model.graph.neighbours.shape == (model.n_items, 0)
