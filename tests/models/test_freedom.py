"""FREEDOM: the formulas on dense matrices, pruning, cold items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from support import MakeConfig, planted_data, run_main
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_same_gradients,
    batch_of,
    build,
    data_with_gaps,
    literal_bpr,
    literal_layers,
    shaken,
)

from recbole_painvrl.data.planted import PlantedDesign
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.edges import sample_edges
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.inference.vectors import score_tables
from recbole_painvrl.models import freedom

SMALL = ("--embedding_size=6", "--knn_k=4")


def literal_tables(model: Any, graph: Tensor) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices, the item graph modality by modality."""
    s, n = model.settings, model.n_users
    mean = literal_layers(model, graph, s.n_layers)
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
    weight = 0.3 if any(layers) else 0.0
    words = (*SMALL, *sizes, "--pruned_fraction=0.0", f"--content_weight={weight}")
    model = shaken(tiny_config("FREEDOM", *words))
    model.start_epoch(0)
    users, items = literal_tables(model, adjacency(model))
    loss = literal_bpr(users, items)
    for u, i, j in TRIPLES:
        for project, columns in zip(model.content, model.modality_slices.values(), strict=True):
            gap = project(model.features[j, columns]) - project(model.features[i, columns])
            loss = loss + weight * F.softplus(users[u] @ gap) / len(TRIPLES)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-6, atol=1e-9)


def test_items_without_a_modality_say_nothing_about_it(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = data_with_gaps(tmp_path / "gaps")
    words = (*SMALL, "--pruned_fraction=0.0", "--content_weight=0.3")
    model = shaken(tiny_config("FREEDOM", *words, data=data))
    triples = [(1 + t, 1 + t, 40 + t) for t in range(40)]
    users, items = model.tables()
    loss = literal_bpr(users, items, triples)
    for m, columns in enumerate(model.modality_slices.values()):
        known = [t for t in triples if model.has_row[t[1], m] and model.has_row[t[2], m]]
        assert 0 < len(known) < len(triples)
        for u, i, j in known:
            gap = model.content[m](model.features[j, columns] - model.features[i, columns])
            gap = gap - model.content[m].bias
            loss = loss + 0.3 * F.softplus(users[u] @ gap) / len(known)
    assert_same_gradients(model, model.calculate_loss(batch_of(model, triples)), loss)


def test_a_cold_clone_of_a_popular_item_ranks_above_another_cold_item(
    own_data: Path, tmp_path: Path
) -> None:
    folder = own_data / "tiny"
    path = folder / "tiny.train.inter"
    train = pd.read_csv(path, sep="\t", dtype=str)
    items = train["item_id:token"].value_counts().index
    popular, clone, other = items[0], items[-1], items[-2]
    train[~train["item_id:token"].isin([clone, other])].to_csv(path, sep="\t", index=False)
    for name in ("visual", "acoustic"):
        rows = pd.read_csv(folder / f"features/{name}.items.tsv", sep="\t", dtype=str)
        rows = rows.set_index("item_id")["row"].astype(int)
        matrix = np.load(folder / f"features/{name}.npy")
        matrix[rows[clone]] = matrix[rows[popular]]
        np.save(folder / f"features/{name}.npy", matrix)
    words = (*SMALL, "--epochs=30", "--learning_rate=0.02")
    done = run_main(own_data, tmp_path, "FREEDOM", *words, name="clone")
    assert done.code == 0, done.err
    run = load_run(done.folder)
    users, vectors = score_tables(run.model)
    number = run.dataset.field2token_id["item_id"]
    scores = users[1:] @ vectors[[number[clone], number[other]]].T
    assert (scores[:, 0] > scores[:, 1]).float().mean() > 0.7


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


def test_edges_are_drawn_by_the_root_of_their_degrees(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Tensor] = []

    def spy(weights: Tensor, *words: Any) -> Tensor:
        given.append(weights)
        return sample_edges(weights, *words)

    monkeypatch.setattr(freedom, "sample_edges", spy)
    model = build(tiny_config("FREEDOM", *SMALL, "--pruned_fraction=0.5"))
    model.start_epoch(0)
    expected = adjacency(model)[: model.n_users, model.n_users :]
    rows, columns = model.interactions.nonzero()
    torch.testing.assert_close(given[0], expected[rows, columns])


def test_an_item_with_one_interaction_is_not_cold(tiny_config: MakeConfig, tmp_path: Path) -> None:
    design = PlantedDesign(
        n_users=40, n_items=90, min_interactions=6, max_interactions=6, modalities={"visual": 6}
    )
    model = build(tiny_config("FREEDOM", *SMALL, data=planted_data(design, tmp_path)))
    degrees = torch.from_numpy(model.interactions.getnnz(axis=0))
    assert {0, 1} <= set(degrees[1:].tolist())
    assert torch.equal(model.warm > 0, degrees > 0)


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
        ("{visual: 1.0, acoustic: -1.0}", "found a negative weight"),
    ],
)
def test_weights_that_do_not_fit(weights: str, said: str, tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match=said):
        build(tiny_config("FREEDOM", *SMALL, f"--modality_weights={weights}"))


def test_weights_of_modalities(tiny_config: MakeConfig) -> None:
    one = build(tiny_config("FREEDOM", *SMALL, "--modalities=[visual]"))
    two = build(tiny_config("FREEDOM", *SMALL, "--modality_weights={visual: 2.0, acoustic: 0.0}"))
    torch.testing.assert_close(one.item_graph.matrix.to_dense(), two.item_graph.matrix.to_dense())
