"""MGCN: the formulas on dense matrices, its parts, missing modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_same_gradients,
    batch_of,
    build,
    data_with_gaps,
    dense_neighbours,
    laplacian,
    literal_layers,
    shaken,
)

SMALL = ("--embedding_size=6", "--knn_k=4")


def literal(model: Any) -> tuple[Tensor, Tensor]:
    """The docstring's c and side of all nodes, users first, a node at a time."""
    s, n = model.settings, model.n_users
    graph = adjacency(model)
    c = literal_layers(model, graph, s.n_layers)
    views = []
    for m, columns in enumerate(model.modality_slices.values()):
        near = dense_neighbours(model.features[:, columns], model.has_row[:, m], s.knn_k)
        features = s.feature_scale * model.features[:, columns]
        gate = torch.sigmoid(model.purifiers[m](model.content[m](features)))
        x = model.item_embedding.weight * gate * model.has_row[:, m : m + 1]
        for _ in range(s.item_layers):
            x = laplacian(near) @ x
        views.append(torch.cat([graph[:n, n:] @ x, x]))
    sides = []
    has = torch.cat([model.user_has_row, model.has_row])
    for node in range(len(c)):
        m_of = [m for m in range(len(views)) if has[node, m]]
        if not m_of:
            sides.append(torch.zeros_like(c[node]))
            continue
        e = torch.stack([views[m][node] for m in m_of])
        alpha = model.attention(e).softmax(dim=0)
        side = common = alpha @ e
        for m in m_of:
            side = side + torch.sigmoid(model.preferences[m](c[node])) * (views[m][node] - common)
        sides.append(side / (len(views) + 1))
    return c, torch.stack(sides)


def nce(a: Tensor, b: Tensor, tau: float) -> Tensor:
    cosines = F.normalize(a) @ F.normalize(b).T / tau
    return (cosines.exp().sum(dim=1).log() - cosines.diagonal()).mean()


@pytest.mark.parametrize("layers", [(2, 1), (1, 2), (0, 0)])
def test_loss_and_scores_by_hand(
    layers: tuple[int, int], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    words = (f"--n_layers={layers[0]}", f"--item_layers={layers[1]}", "--feature_scale=2.0")
    weights = ("--contrastive_weight=0.3", "--reg_weight=0.7", "--temperature=0.4")
    weights = (*weights, "--train_batch_size=8")
    data = data_with_gaps(tmp_path)
    model = shaken(tiny_config("MGCN", *SMALL, *words, *weights, data=data))
    assert model.has_row[1:].any(dim=1).min() == 0
    n = model.n_users
    seen = adjacency(model)[:n, n:] @ model.has_row.double() > 0
    assert torch.equal(model.user_has_row, seen)
    # As if no item of these users had the first modality.
    model.user_has_row[1:4, 0] = False
    c, side = literal(model)
    z = c + side
    u, i, j = (torch.tensor(part) for part in zip(*TRIPLES, strict=True))
    loss = F.softplus((z[u] * (z[n + j] - z[n + i])).sum(1)).mean()
    # Over the configured size of a batch, not over the six rows of this one.
    loss = loss + 0.7 * sum(z[rows].square().sum() for rows in (u, n + i, n + j)) / (2 * 8)
    contrast = nce(side[n + i], c[n + i], 0.4) + nce(side[u], c[u], 0.4)
    by_hand = loss + 0.3 * contrast
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), by_hand, atol=1e-7)
    torch.testing.assert_close(model.tables(), z.split([n, model.n_items]), rtol=1e-6, atol=1e-7)


def test_one_modality(tiny_config: MakeConfig) -> None:
    model = shaken(tiny_config("MGCN", *SMALL, "--modalities=[acoustic]"))
    users, items = model._views()
    for table, ids, views in zip(
        model.tables(), model.propagate_ids(), (users, items), strict=True
    ):
        torch.testing.assert_close(table, ids + views[0] / 2)


def test_learning_rate_decays(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("MGCN", *SMALL, "--lr_decay=0.9"))
    factors = [model.learning_rate_factor(epoch) for epoch in (0, 25, 50)]
    assert factors == pytest.approx([1, 0.9**0.5, 0.9])
