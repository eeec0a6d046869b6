"""MGAT: the formulas on dense matrices, missing modalities, initial values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    assert_same_gradients,
    batch_of,
    build,
    edges_of,
    literal_bpr,
    lose_modalities,
    shaken,
)

from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.properties import properties_root

# Widths unlike those of the features, which are 16 and 8.
SMALL = ("--embedding_size=4", "--latent_size=3")


def literal_tables(model: Any) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices over users and items together."""
    n, all_edges = model.n_users, edges_of(model)
    degree = all_edges.sum(dim=1).clamp(min=1).double()
    ids = torch.cat([model.user_embedding.weight, model.item_embedding.weight])
    vectors = []
    for m, columns in enumerate(model.modality_slices.values()):
        network, present = model.networks[m], model.has_row[:, m]
        known = torch.cat([torch.ones(n, dtype=torch.bool), present])
        edges = all_edges & known & known[:, None]
        features = model.settings.feature_scale * model.features[:, columns]
        f = torch.where(present[:, None], torch.tanh(network.projection(features)), 0.0)
        x = F.normalize(torch.cat([network.preference, f]))
        outputs = []
        for layer in network.layers:
            mixed = x @ layer.mix.weight.T
            scores = mixed @ F.leaky_relu(mixed).T
            scores = scores * torch.sigmoid(scores / degree.sqrt())
            a = scores.masked_fill(~edges, -torch.inf).softmax(dim=1)
            h = F.normalize(torch.where(edges, a, 0.0) @ mixed + layer.mix.bias)
            kept = F.leaky_relu(layer.own(x)) + ids
            x = F.leaky_relu(layer.merge(F.leaky_relu(h)) + kept)
            outputs.append(x)
        vectors.append(torch.cat(outputs, dim=1))
    users, items = torch.stack(vectors).mean(dim=0).split([n, model.n_items])
    return users, items


@pytest.mark.parametrize(
    ("argv", "missing"),
    [
        ((), True),
        (("--n_layers=1", "--latent_size=10"), False),
        (("--modalities=[visual]", "--n_layers=3", "--feature_scale=2.0"), False),
    ],
)
def test_loss_and_scores_by_hand(
    argv: tuple[str, ...], missing: bool, tiny_config: MakeConfig
) -> None:
    model = shaken(tiny_config("MGAT", *SMALL, *argv))
    if missing:
        lose_modalities(model)
    users, items = literal_tables(model)
    # The factors of the gate are kept in float32.
    close = {"rtol": 1e-5, "atol": 1e-7}
    torch.testing.assert_close(model.tables(), (users, items), **close)
    loss = model.calculate_loss(batch_of(model))
    assert_same_gradients(model, loss, literal_bpr(users, items))


def test_widths(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("MGAT", "--latent_size=10"))
    widths = [network.preference.shape[1] for network in model.networks]
    assert dict(zip(model.modality_slices, widths, strict=True)) == {"visual": 10, "acoustic": 8}


def test_initial_values(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("MGAT", "--latent_size=16"))
    n_nodes = model.n_users + model.n_items
    layer, width = model.networks[0].layers[0], model.networks[0].preference.shape[1]
    for table, std in (
        (model.item_embedding.weight, (2 / (n_nodes + 64)) ** 0.5),
        (model.networks[0].preference, (2 / (model.n_users + width)) ** 0.5),
        (layer.merge.weight, (2 / (64 + width)) ** 0.5),
    ):
        assert table.std().item() == pytest.approx(std, rel=0.1)
    assert 0 < layer.own.bias.abs().max() <= width**-0.5


def test_released_decay_is_that_of_the_summed_loss() -> None:
    preset = read_yaml(properties_root() / "preset" / "MGAT" / "released.yaml")
    expected = 0.1 * math.log(2) / preset["train_batch_size"]
    assert preset["weight_decay"] == pytest.approx(expected, rel=1e-4)
