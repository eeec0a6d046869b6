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
    assert_settings_have_an_effect,
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
    """Row means over the nearest items of each modality, itself included."""
    s, n = model.settings, model.n_items
    graph = torch.zeros(n, n, dtype=torch.float64)
    for columns in model.modality_slices.values():
        rows = model.features[:, columns]
        for i in range(1, n):
            cosines = rows @ rows[i]
            near = sorted(range(1, n), key=lambda j: -float(cosines[j]))[: s.knn_k]
            graph[i, near] += 1 / (s.knn_k * len(model.modality_slices))
    return as_stored(model.item_graph, graph)


@pytest.mark.parametrize("item_layers", [1, 2])
def test_loss_and_scores_by_hand(item_layers: int, tiny_config: MakeConfig) -> None:
    layers = f"--item_layers={item_layers}"
    model = shaken(tiny_config("DRAGON", *SMALL, layers, "--reg_weight=0.3"))
    model.has_row[[3, 44], 0] = False
    users, items = literal_tables(model)
    items = items + torch.linalg.matrix_power(literal_item_graph(model), item_layers) @ items
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


def test_scores_are_sums_over_the_modalities(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("DRAGON", *SMALL))
    users, items = model.tables()
    assert users.shape[1] == items.shape[1] == 2 * 5
    blocks = (u @ i.T for u, i in zip(users.split(5, 1), items.split(5, 1), strict=True))
    torch.testing.assert_close(users @ items.T, sum(blocks))


def test_settings_have_an_effect(tiny_config: MakeConfig) -> None:
    changes = (
        *("--fusion=sum", "--item_layers=2", "--item_layers=0", "--knn_k=7"),
        *("--item_graph_norm=in_out", "--modality_weights={visual: 1.0, acoustic: 3.0}"),
    )
    assert_settings_have_an_effect("DRAGON", SMALL, changes, tiny_config)
