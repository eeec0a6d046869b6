"""FREEDOM: laws, the formulas on dense matrices, pruning, cold items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_modality_order_is_free,
    assert_nothing_is_square,
    assert_same_gradients,
    batch_of,
    build,
    shaken,
)

from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.item_graph import neighbour_graph
from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.testing import ModelLaws, Subject

SMALL = ("--embedding_size=6", "--knn_k=4")


class TestLaws(ModelLaws):
    subject = Subject(
        "FREEDOM", SMALL, fit=("--embedding_size=2", "--learning_rate=0.05", "--epochs=60")
    )


def literal_tables(model: Any, graph: Tensor) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices, the item graph modality by modality."""
    s, n = model.settings, model.n_users
    nodes = torch.cat([model.user_embedding.weight, model.item_embedding.weight])
    layers = [nodes]
    for _ in range(s.n_layers):
        layers.append(graph @ layers[-1])
    mean = torch.stack(layers).mean(dim=0)
    item_graph = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    for columns in model.modality_slices.values():
        unit = F.normalize(model.features[:, columns])
        cosines = unit @ unit.T
        for i in range(1, model.n_items):
            found = sorted(range(1, model.n_items), key=lambda j: -float(cosines[i, j]))[: s.knn_k]
            item_graph[i, found] += 1 / (s.knn_k * len(model.modality_slices))
    smoothed = model.item_embedding.weight
    for _ in range(s.item_layers):
        smoothed = item_graph @ smoothed
    return mean[:n], mean[n:] + smoothed


@pytest.mark.parametrize("layers", [(2, 1), (1, 2), (0, 0)])
def test_loss_and_scores_by_hand(layers: tuple[int, int], tiny_config: MakeConfig) -> None:
    sizes = (f"--n_layers={layers[0]}", f"--item_layers={layers[1]}")
    model = shaken(
        tiny_config("FREEDOM", *SMALL, *sizes, "--pruned_fraction=0.0", "--content_weight=0.3")
    )
    model.start_epoch(0)
    users, items = literal_tables(model, adjacency(model))
    loss = torch.zeros((), dtype=torch.float64)
    for u, i, j in TRIPLES:
        loss = loss + F.softplus(users[u] @ (items[j] - items[i])) / len(TRIPLES)
        for project, columns in zip(model.content, model.modality_slices.values(), strict=True):
            gap = project(model.features[j, columns]) - project(model.features[i, columns])
            loss = loss + 0.3 * F.softplus(users[u] @ gap) / len(TRIPLES)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    for table, expected in zip(model.tables(), (users, items), strict=True):
        torch.testing.assert_close(table, expected, rtol=1e-6, atol=1e-9)


def test_a_graph_by_hand() -> None:
    """Four items on a quarter circle, two neighbours each: every entry is a half."""
    angles = torch.tensor([0.0, 0.0, 0.3, 0.9, 1.5])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    graph = neighbour_graph(*nearest_rows(rows, torch.arange(5) > 0, 2), "binary", "out")
    expected = np.zeros((5, 5))
    for i, j in ((1, 2), (2, 1), (3, 2), (4, 3)):
        expected[i, [i, j]] = 0.5
    np.testing.assert_allclose(graph.toarray(), expected)


def test_pruned_graph_of_an_epoch(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("FREEDOM", *SMALL, "--pruned_fraction=0.8"))
    model.start_epoch(3)
    kept = model._pruned[0].matrix.to_dense()
    whole = model.interactions.toarray()
    n_kept = int((kept > 0).sum())
    assert n_kept == int(model.interactions.nnz * (1 - 0.8) + 1e-6)
    assert not kept[torch.from_numpy(whole == 0)].any()
    expected = adjacency(model, sp.csr_matrix((kept > 0).numpy()))[: model.n_users, model.n_users :]
    torch.testing.assert_close(kept.double(), expected, rtol=1e-5, atol=1e-7)
    model.start_epoch(4)
    assert not torch.equal(model._pruned[0].matrix.to_dense(), kept)
    model.start_epoch(3)
    assert torch.equal(model._pruned[0].matrix.to_dense(), kept)
    assert torch.equal(model.tables()[0], build(tiny_config("FREEDOM", *SMALL)).tables()[0])


def test_pruning_prefers_rare_nodes(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("FREEDOM", *SMALL, "--pruned_fraction=0.8"))
    degrees = model.interactions.getnnz(axis=0)
    counts = np.zeros(model.n_items)
    for epoch in range(200):
        model.start_epoch(epoch)
        counts += model._pruned[1].matrix.to_dense().count_nonzero(dim=1).numpy()
    rated = degrees > 0
    fractions = counts[rated] / (200 * degrees[rated])
    assert np.corrcoef(np.log(degrees[rated]), np.log(fractions))[0, 1] < -0.8


def test_cold_items_have_the_mean_of_their_neighbours(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("FREEDOM", *SMALL, "--zero_cold_ids=True", "--n_layers=0"))
    cold = 5
    model.warm[cold] = 0
    _, items = model.tables()
    # The padding row is cold, too.
    ids = model.item_embedding.weight * model.warm.unsqueeze(1)
    torch.testing.assert_close(items, ids + model.item_graph.matrix.to_dense() @ ids)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{visual: 1.0}", "no weight for acoustic"),
        ("{visual: 1.0, sound: 1.0}", "no modality `sound`"),
        ("{visual: 0.0, acoustic: 0.0}", "only weights of 0"),
    ],
)
def test_weights_that_do_not_fit(weights: str, said: str, tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match=said):
        build(tiny_config("FREEDOM", *SMALL, f"--modality_weights={weights}"))


def test_weights_of_modalities(tiny_config: MakeConfig) -> None:
    one = build(tiny_config("FREEDOM", *SMALL, "--modalities=[visual]"))
    two = build(tiny_config("FREEDOM", *SMALL, "--modality_weights={visual: 2.0, acoustic: 0.0}"))
    torch.testing.assert_close(one.item_graph.matrix.to_dense(), two.item_graph.matrix.to_dense())


def test_released_trains_the_features(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("FREEDOM", "--preset=released", *SMALL))
    model.calculate_loss(batch_of(model)).backward()
    assert model.feature_table.grad.any()


def test_modality_order(tiny_config: MakeConfig) -> None:
    assert_modality_order_is_free("FREEDOM", SMALL, tiny_config)


def test_nothing_is_square(tiny_config: MakeConfig, tmp_path: Path) -> None:
    assert_nothing_is_square("FREEDOM", SMALL, tiny_config, tmp_path)


def test_a_modality_of_zeros_is_left_out(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """Also by a mask: rows of zeros are nobody's neighbours."""
    np.savez(tmp_path / "mask.npz", visual=np.ones(16), acoustic=np.zeros(8))
    masked = build(tiny_config("FREEDOM", *SMALL, f"--feature_mask={tmp_path / 'mask.npz'}"))
    without = build(tiny_config("FREEDOM", *SMALL, "--modalities=[visual]"))
    graphs = [model.item_graph.matrix.to_dense() for model in (masked, without)]
    torch.testing.assert_close(*graphs)
    assert not masked.has_row[:, list(masked.modality_slices).index("acoustic")].any()
