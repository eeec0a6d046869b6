"""DualGNN and DRAGON: the formulas on dense matrices, what they share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    as_stored,
    assert_same_gradients,
    batch_of,
    build,
    shaken,
)

SMALL = ("--embedding_size=5", "--user_neighbours=4")


def unit(table: Tensor) -> Tensor:
    return table / table.norm(dim=1, keepdim=True)


def literal_user_graph(model: Any) -> Tensor:
    """The weights of the users with most common items, user by user."""
    s = model.settings
    r = torch.from_numpy(model.interactions.toarray()).double()
    common = r @ r.T
    graph = torch.zeros_like(common)
    for u in range(1, len(common)):
        others = [v for v in range(1, len(common)) if v != u and common[u, v] > 0]
        others = sorted(others, key=lambda v: (-float(common[u, v]), v))[: s.user_neighbours]
        for v in others:
            graph[u, v] = {
                "softmax": common[u, v].exp(),
                "mean": 1.0,
                "cosine": common[u, v] / (common[u, u] * common[v, v]).sqrt(),
            }[s.user_weights]
    return as_stored(model.user_graph, graph / graph.sum(dim=1, keepdim=True).clamp(min=1e-300))


def literal_tables(model: Any) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices, modality by modality."""
    s, graph, users, items = model.settings, adjacency(model), [], []
    n = model.n_users
    graph[:n, n:] = as_stored(model.to_users, graph[:n, n:])
    graph[n:, :n] = graph[:n, n:].T
    for m, columns in enumerate(model.modality_slices.values()):
        first, _, second = model.networks[m]
        hidden = s.feature_scale * model.features[:, columns] @ first.weight.T + first.bias
        content = unit(F.leaky_relu(hidden, 0.01) @ second.weight.T + second.bias)
        content = torch.where(model.has_row[:, m, None], content, 0.0)
        layers = [torch.cat([unit(model.preferences[m]), content])]
        for _ in range(s.n_layers):
            layers.append(graph @ layers[-1])
        total = torch.stack(layers).sum(dim=0)
        users.append(total[:n])
        items.append(total[n:])
    if s.fusion == "sum_in_place":
        users[0] = torch.stack(users).sum(dim=0)
    users = [weight[:, None] * x for weight, x in zip(model.modality_weight.T, users, strict=True)]
    concat = s.fusion == "concat"
    user, item = (torch.cat(p, 1) if concat else torch.stack(p).sum(0) for p in (users, items))
    if not s.user_neighbours:
        return user, item
    smooth = torch.linalg.matrix_power(literal_user_graph(model), s.user_layers) @ user
    return user + smooth, item


def literal_loss(model: Any, users: Tensor, items: Tensor) -> Tensor:
    loss = model.settings.reg_weight * model.modality_weight[1:].square().mean()
    for u, i, j in TRIPLES:
        loss = loss + torch.log2(1 + (users[u] @ (items[j] - items[i])).exp()) / len(TRIPLES)
        for table in model.preferences:
            loss = loss + model.settings.reg_weight * table[u].square().mean() / len(TRIPLES)
    return loss


@pytest.mark.parametrize(
    "settings",
    [
        ("--user_weights=softmax", "--feature_scale=3.0"),
        ("--user_weights=mean", "--n_layers=3", "--user_layers=2"),
        ("--user_weights=cosine", "--n_layers=1", "--fusion=concat"),
        ("--user_neighbours=0", "--n_layers=0"),
        ("--fusion=sum_in_place", "--modalities=[acoustic,visual]"),
    ],
)
def test_loss_and_scores_by_hand(settings: tuple[str, ...], tiny_config: MakeConfig) -> None:
    model = shaken(tiny_config("DualGNN", *SMALL, *settings, "--reg_weight=0.3"))
    model.has_row[[3, 44], 0] = False
    model.has_row[60] = False
    users, items = literal_tables(model)
    loss = literal_loss(model, users, items)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-6, atol=1e-9)


def test_one_modality_of_weight_one_is_plain(tiny_config: MakeConfig) -> None:
    """Known value: equal scores lose one bit."""
    argv = ("--modalities=[visual]", "--user_neighbours=0", "--reg_weight=0", "--n_layers=0")
    model = build(tiny_config("DualGNN", "--embedding_size=5", *argv))
    assert torch.equal(model.modality_weight, torch.ones(model.n_users, 1))
    users, items = model.tables()
    torch.testing.assert_close(users[1:], F.normalize(model.preferences[0][1:]))
    torch.testing.assert_close(items[1:].norm(dim=1), torch.ones(model.n_items - 1))
    same = batch_of(model, [(1, 2, 2), (3, 4, 4)])
    assert model.calculate_loss(same).item() == pytest.approx(1.0)


def test_modality_weights_start_as_a_softmax(tiny_config: MakeConfig) -> None:
    weights = build(tiny_config("DualGNN", *SMALL)).modality_weight.detach()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    std = math.sqrt(2 / (len(weights) + 2))
    # The logarithms differ as two draws of the normal distribution do.
    gaps = weights.log().diff(dim=1)
    assert float(gaps.std()) == pytest.approx(std * math.sqrt(2), rel=0.25)


def test_vectors_of_new_items(tiny_config: MakeConfig) -> None:
    """A known item without its interactions, and one without features."""
    model = build(tiny_config("DualGNN", *SMALL, "--n_layers=0", "--feature_scale=2.0"))
    features = model.features[1:4].clone()
    torch.testing.assert_close(model.content_vectors(features), model.tables()[1][1:4])
    assert not model.content_vectors(torch.zeros_like(features)).any()


DRAGON = ("--embedding_size=5", "--user_neighbours=4", "--knn_k=4")


def literal_item_graph(model: Any) -> Tensor:
    """Weighted sum over the modalities of the nearest items of each, itself included."""
    s, n = model.settings, model.n_items
    graph = torch.zeros(n, n, dtype=torch.float64)
    weights = s.modality_weights or dict.fromkeys(model.modality_slices, 1.0)
    for name, columns in model.modality_slices.items():
        rows = model.features[:, columns]
        near = torch.zeros(n, n, dtype=torch.float64)
        for i in range(1, n):
            cosines = rows @ rows[i]
            near[i, sorted(range(1, n), key=lambda j: -float(cosines[j]))[: s.knn_k]] = 1
        in_out = s.item_graph_norm == "in_out"
        sums = (s.knn_k * near.sum(dim=0).clamp(min=1)) ** 0.5 if in_out else s.knn_k
        graph += weights[name] / sum(weights.values()) * near / sums
    return as_stored(model.item_graph, graph)


@pytest.mark.parametrize(
    "settings",
    [
        ("--item_layers=1",),
        (
            "--item_layers=2",
            "--item_graph_norm=in_out",
            "--modality_weights={visual: 1, acoustic: 3}",
        ),
    ],
)
def test_loss_and_scores_of_dragon_by_hand(
    settings: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    model = shaken(tiny_config("DRAGON", *DRAGON, *settings, "--reg_weight=0.3"))
    model.has_row[[3, 44], 0] = False
    users, items = literal_tables(model)
    smooth = torch.linalg.matrix_power(literal_item_graph(model), model.settings.item_layers)
    items = items + smooth @ items
    loss = literal_loss(model, users, items)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-6, atol=1e-9)


def test_without_item_graph_it_is_dualgnn(tiny_config: MakeConfig) -> None:
    first = build(tiny_config("DRAGON", *DRAGON, "--item_layers=0"))
    second = build(tiny_config("DualGNN", *DRAGON[:2], "--fusion=concat"))
    torch.testing.assert_close(first.tables(), second.tables(), rtol=0, atol=0)
    assert first.content_vectors(first.features[:3]) is not None
    assert build(tiny_config("DRAGON", *DRAGON)).content_vectors(first.features[:3]) is None
