"""GRCN: the formulas on dense matrices, routing, edge weights, missing modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    assert_same_gradients,
    batch_of,
    build,
    edges_of,
    literal_bpr,
    lose_modalities,
    shaken,
)

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.run.build import build_model

SMALL = ("--embedding_size=6", "--content_size=5")
ROUTED = (*SMALL, "--routing=True")


def attention(nodes: Tensor, edges: Tensor) -> Tensor:
    """Softmax of the products over the neighbours of every node, ``[N, N]``; 0 elsewhere."""
    products = (nodes @ nodes.T).masked_fill(~edges, -torch.inf)
    return torch.where(edges, products.softmax(dim=1), 0.0)


def literal_tables(model: Any) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices over users and items together."""
    s, n = model.settings, model.n_users
    all_edges = edges_of(model)
    confidence = torch.cat([model.user_confidence, model.item_confidence])
    weights = torch.full(all_edges.shape, -torch.inf, dtype=torch.float64)
    content = []
    for m, columns in enumerate(model.modality_slices.values()):
        present = model.has_row[:, m]
        known = torch.cat([torch.ones(n, dtype=torch.bool), present])
        edges = all_edges & known & known[:, None]
        features = s.feature_scale * model.features[:, columns]
        f = F.normalize(F.leaky_relu(model.content[m](features)))
        f = torch.where(present[:, None], f, 0.0)
        p = F.normalize(model.prototypes[m])
        for _ in range(s.n_routings if s.routing else 0):
            p = F.normalize(p + (attention(torch.cat([p, f]), edges) @ torch.cat([p, f]))[:n])
        x = torch.cat([p, f])
        a = attention(x, edges)
        content.append(x + a @ x)
        of_m = (a * confidence[:, m]).masked_fill(~edges, -torch.inf)
        weights = torch.maximum(weights, of_m)
    if s.pruning == "hard":
        weights = torch.where(weights.isfinite(), weights.relu(), weights)
    equal = all_edges / all_edges.sum(dim=1, keepdim=True).clamp(min=1).double()
    weights = torch.where((s.pruning != "none") & weights.isfinite(), weights, equal)
    ids = F.normalize(torch.cat([model.user_embedding.weight, model.item_embedding.weight]))
    total = ids
    for _ in range(s.n_layers):
        ids = weights @ ids
        total = total + ids
    users, items = torch.cat([total, *content], dim=1).split([n, model.n_items])
    return users, items


@pytest.mark.parametrize(
    ("argv", "missing"),
    [
        ((), False),
        ((), True),
        (("--routing=False", "--pruning=soft"), True),
        (("--pruning=none", "--n_layers=1", "--n_routings=1"), True),
        (("--modalities=[visual]", "--feature_scale=3.0"), False),
        (("--reg_prototypes=first_table", "--modalities=[acoustic,visual]"), False),
    ],
)
def test_loss_and_scores_by_hand(
    argv: tuple[str, ...], missing: bool, tiny_config: MakeConfig
) -> None:
    model = shaken(tiny_config("GRCN", *ROUTED, "--reg_weight=0.3", *argv))
    if missing:
        lose_modalities(model)
    users, items = literal_tables(model)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-6, atol=1e-9)
    loss = literal_bpr(users, items)
    if "--reg_prototypes=first_table" in argv:
        squares = sum(p.square().mean() for p in model.prototypes[0][1:])
        loss = loss + 0.3 * squares / (model.n_users - 1)
    for u, i, j in TRIPLES:
        ids = (model.user_embedding.weight[u], model.item_embedding.weight)
        squares = ids[0].square().mean() + ids[1][[i, j]].square().mean()
        squares = squares + sum(p[u].square().mean() for p in model.prototypes)
        loss = loss + 0.3 * squares / len(TRIPLES)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)


def edge_weights(model: Any) -> Tensor:
    """Weights of the edges towards users, as the IDs are propagated with them."""
    seen = []
    original = model._propagated_ids
    model._propagated_ids = lambda *weights: seen.append(weights[0]) or original(*weights)
    with torch.no_grad():
        model.tables()
    del model._propagated_ids
    return seen[0]


def test_released_routing_has_no_effect(tiny_config: MakeConfig) -> None:
    argv = ("--preset=released", *SMALL)
    one, five = (build(tiny_config("GRCN", *argv, f"--n_routings={t}")) for t in (1, 5))
    assert torch.equal(one.tables()[0], five.tables()[0])
    routed = build(tiny_config("GRCN", *argv, "--routing=True"))
    assert not torch.equal(one.tables()[0], routed.tables()[0])


def false_edges(folder: Path) -> None:
    """Twenty users with five items of their group and, every user, one of the other group."""
    rng = np.random.default_rng(0)
    train, test = [], []
    for user in range(20):
        own, other = 10 * (user % 2), 10 - 10 * (user % 2)
        chosen = rng.permutation(10)
        train += [(f"u{user}", f"i{item}") for item in [*(own + chosen[:5]), other + chosen[0]]]
        test.append((f"u{user}", f"i{own + chosen[5]}"))
    frames = [pd.DataFrame(pairs, columns=["user_id", "item_id"]) for pairs in (train, test)]
    group = np.repeat(np.eye(2), 10, axis=0) + 0.1 * rng.normal(size=(20, 2))
    items = [f"i{number}" for number in range(20)]
    content = DatasetContent(
        *("tiny", "planted", "false edges", "none", pd.concat(frames)),
        splits={"train": frames[0], "test": frames[1]},
        features={"visual": (group.astype(np.float32), items)},
        default_protocol="files",
    )
    write_dataset(content, folder / "tiny")


def test_a_false_edge_weighs_least(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """After training, of all edges to a user the one from the other group's item.

    The confidences, which are the same for all receivers, stay 1.
    """
    false_edges(tmp_path)
    model = build(tiny_config("GRCN", *ROUTED, "--validation_share=0", data=tmp_path))
    model.item_confidence.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    source = torch.Generator().manual_seed(0)
    users, items = (torch.from_numpy(axis).long() for axis in model.interactions.nonzero())
    for _ in range(60):
        optimizer.zero_grad()
        negatives = torch.randint(1, model.n_items, users.shape, generator=source)
        triples = list(zip(users.tolist(), items.tolist(), negatives.tolist(), strict=True))
        model.calculate_loss(batch_of(model, triples)).backward()
        optimizer.step()
    dense = torch.full(model.interactions.shape, torch.inf)
    dense[model.by_user.rows.long(), model.by_user.columns.long()] = edge_weights(model)
    group = model.features[:, 0] > model.features[:, 1]
    least = dense[1:].argmin(dim=1)
    majority = torch.from_numpy(model.interactions.toarray()[1:]).float() @ group.float() > 3
    assert (group[least] != majority).float().mean() > 0.9


def test_items_without_a_modality(tiny_config: MakeConfig) -> None:
    """What the dataset says is missing reaches the edges, and nothing else of a missing row."""
    config = tiny_config("GRCN", *ROUTED)
    train = ModalityDataset(config).build_parts()[TRAIN]
    train.features.has_row[5:9, 0] = False
    model = build_model(config, train, fast=False)
    column = model.by_user.columns
    assert torch.equal(model.lacking_by_user[:, 0], (column >= 5) & (column < 9))
    assert not model.lacking_by_user[:, 1].any()
    assert torch.equal(model.lacking_by_item, model.lacking_by_user[model.by_user.by_column])
    before = model.tables()
    model.features[5:9, next(iter(model.modality_slices.values()))] = 7.0
    torch.testing.assert_close(before, model.tables(), rtol=0, atol=0)


def test_unseen_items_have_the_content_of_cold_ones(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("GRCN", *ROUTED, "--feature_scale=3.0"))
    vectors = model.content_vectors(torch.cat([model.features[3:5], torch.zeros(1, 24)]))
    assert not vectors[:, :6].any() and not vectors[2].any()
    empty = torch.zeros(0, dtype=torch.long)
    model.by_user = type(model.by_user)(empty, empty, model.interactions.shape)
    model.by_item = model.by_user.transpose()
    torch.testing.assert_close(model.tables()[1][3:5, 6:], vectors[:2, 6:])


def test_initial_values(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("GRCN"))
    assert (model.user_confidence == 1).all() and (model.item_confidence == 1).all()
    n_nodes = model.n_users + model.n_items
    for table, n in ((model.item_embedding.weight, n_nodes), (model.prototypes[1], model.n_users)):
        assert table.std().item() == pytest.approx((2 / (n + 64)) ** 0.5, rel=0.05)
    for layer in model.content:
        assert layer.weight.abs().max().item() == pytest.approx(layer.in_features**-0.5, rel=0.02)
    xavier = build(tiny_config("GRCN", "--confidence_init=xavier", "--projection_init=xavier"))
    assert xavier.user_confidence.std().item() == pytest.approx((2 / (n_nodes + 2)) ** 0.5, rel=0.2)
    std = (2 / (n_nodes + 64)) ** 0.5
    assert xavier.user_embedding.weight.std().item() == pytest.approx(std, rel=0.05)
    for layer in xavier.content:
        std = (2 / (layer.in_features + 64)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert layer.bias.abs().max() <= layer.in_features**-0.5
