"""DRAGON: laws, the formulas on dense matrices, and what it shares with DualGNN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import MakeConfig
from test_dualgnn import FIT, literal_loss, literal_tables
from torch import Tensor
from zoo_support import (
    as_stored,
    assert_same_gradients,
    batch_of,
    build,
    shaken,
)

from recbole_painvrl.testing import ModelLaws, Subject

SMALL = ("--embedding_size=5", "--user_neighbours=4", "--knn_k=4")


class TestLaws(ModelLaws):
    # All co-users: which of two users with as many common items counts depends on their numbers.
    subject = Subject("DRAGON", (*SMALL, "--user_neighbours=200"), uses_features=True, fit=FIT)


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
def test_loss_and_scores_by_hand(settings: tuple[str, ...], tiny_config: MakeConfig) -> None:
    model = shaken(tiny_config("DRAGON", *SMALL, *settings, "--reg_weight=0.3"))
    model.has_row[[3, 44], 0] = False
    users, items = literal_tables(model)
    smooth = torch.linalg.matrix_power(literal_item_graph(model), model.settings.item_layers)
    items = items + smooth @ items
    loss = literal_loss(model, users, items)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    for table, expected in zip(model.tables(), (users, items), strict=True):
        torch.testing.assert_close(table, expected, rtol=1e-6, atol=1e-9)


def test_without_item_graph_it_is_dualgnn(tiny_config: MakeConfig) -> None:
    first = build(tiny_config("DRAGON", *SMALL, "--item_layers=0"))
    second = build(tiny_config("DualGNN", *SMALL[:2], "--fusion=concat"))
    for one, other in zip(first.tables(), second.tables(), strict=True):
        assert torch.equal(one, other)
    assert first.content_vectors(first.features[:3]) is not None
    assert build(tiny_config("DRAGON", *SMALL)).content_vectors(first.features[:3]) is None
