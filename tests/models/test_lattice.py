"""LATTICE: the formulas on dense matrices, and when its graph is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_resumes,
    assert_same_gradients,
    batch_of,
    build,
    data_with_gaps,
    dense_neighbours,
    laplacian,
    literal_bpr,
    shaken,
)

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.run.build import build_trainer
from recbole_painvrl.seeds import generator

SMALL = ("--embedding_size=6", "--knn_k=4")
BOTH = ("LATTICE", "MICRO")
RANDOM_WALK = "--item_graph_norm=random_walk"


def mean_self(model: Any) -> Tensor:
    """``D^-1 (A + I)`` of the bipartite graph, dense, users first."""
    both = (adjacency(model) > 0).double() + torch.eye(model.n_users + model.n_items)
    return both / both.sum(dim=1, keepdim=True)


def literal_backbone(model: Any, source: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """With a generator the dropout of training, of users and items in turn."""
    s, n = model.settings, (model.n_users, model.n_items)
    operator = mean_self(model) if s.backbone_operator == "mean_self" else adjacency(model)
    layers = [torch.cat([model.user_embedding.weight, model.item_embedding.weight])]
    for _ in range(s.n_layers if s.backbone == "lightgcn" else 0):
        layers.append(operator @ layers[-1])
    e = layers[0]
    for own, product in zip(model.own_layers, model.product_layers, strict=True):
        near = operator @ e
        e = F.leaky_relu(own(near), 0.01) + F.leaky_relu(product(e * near), 0.01)
        if source is not None:
            e = torch.cat([dropout(side, s.backbone_dropout, source) for side in e.split(n)])
        layers.append(F.normalize(e))
    users, items = torch.stack(layers).mean(dim=0).split(n)
    return users, items


def literal_tables(model: Any, source: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """The docstring's vectors on dense matrices; with a generator those of training."""
    s, present = model.settings, model.has_row
    weights = model.modality_logits.softmax(dim=0) * present
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)
    raw = learnt = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    for m, columns in enumerate(model.modality_slices.values()):
        features = model.features[:, columns]
        share = weights[:, m : m + 1]
        near = dense_neighbours(features, present[:, m], s.knn_k)
        raw = raw + share * laplacian(near, s.item_graph_norm)
        projected = model.content[m](s.feature_scale * features)
        learnt = learnt + share * dense_neighbours(projected, present[:, m], s.knn_k)
    graph = s.raw_graph_weight * raw + (1 - s.raw_graph_weight) * laplacian(
        learnt, s.item_graph_norm
    )
    smoothed = model.item_embedding.weight
    for _ in range(s.item_layers):
        smoothed = graph @ smoothed
    users, items = literal_backbone(model, source)
    return users, items + s.content_scale * F.normalize(smoothed)


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--item_layers=2", "--content_scale=0.3", "--raw_graph_weight=0.2", "--feature_scale=3"),
        ("--backbone=mf", "--item_layers=0"),
        (
            "--backbone=ngcf",
            "--backbone_operator=symmetric",
            "--n_layers=1",
            "--knn_k=90",
            RANDOM_WALK,
        ),
        ("--backbone=ngcf", "--backbone_dropout=0.3", "--reg_divisor=train_batch_size"),
    ],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_loss_and_scores_by_hand(
    argv: tuple[str, ...], gaps: bool, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = data_with_gaps(tmp_path) if gaps else None
    words = (*SMALL, "--reg_weight=0.2", "--train_batch_size=50", *argv)
    model = shaken(tiny_config("LATTICE", *words, data=data))
    assert bool(model.has_row[1:].all()) != gaps
    model.start_epoch(3)
    users, items = literal_tables(model, generator(model.seed, "backbone of epoch 3"))
    per_batch = "--reg_divisor=train_batch_size" not in argv
    loss = literal_bpr(users, items)
    for u, i, j in TRIPLES:
        squares = sum(v.square().sum() for v in (users[u], items[i], items[j]))
        loss = loss + 0.2 * squares / 2 / (len(TRIPLES) if per_batch else 50)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss, of_largest=1e-5)
    users, items = literal_tables(model)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-5, atol=1e-6)


def parameters_that_move(model: Any, argv: tuple[str, ...], make: MakeConfig) -> Tensor:
    """Which of three steps of an epoch move the projections and which the ID embeddings."""
    config = make(model, *SMALL, "--train_batch_size=512", "--learning_rate=0.01", *argv)
    built = build(config)
    optimizer = torch.optim.Adam(built.parameters(), lr=0.01)
    batches = iter(training_loader(config, ModalityDataset(config).build_parts()[TRAIN]))
    built.start_epoch(0)
    built.train()
    moved = []
    for _ in range(3):
        before = [built.content[0].weight.clone(), built.item_embedding.weight.clone()]
        optimizer.zero_grad()
        built.calculate_loss(next(batches)).backward()
        optimizer.step()
        after = [built.content[0].weight, built.item_embedding.weight]
        moved.append([not torch.equal(a, b) for a, b in zip(before, after, strict=True)])
    return torch.tensor(moved)


@pytest.mark.parametrize("model", BOTH)
def test_steps_that_move_the_graph(model: str, tiny_config: MakeConfig) -> None:
    """The first of an epoch alone, all by momentum, or none where nothing of it is learnt."""
    moved = parameters_that_move(model, (), tiny_config)
    assert moved.tolist() == [[True, True], [False, True], [False, True]]
    assert parameters_that_move(model, ("--graph_gradient=momentum",), tiny_config).all()
    none = parameters_that_move(model, ("--raw_graph_weight=1.0",), tiny_config)
    assert none.tolist() == [[False, True]] * 3


@pytest.mark.parametrize("model", BOTH)
def test_momentum_moves_all_that_the_graphs_are_made_from(
    model: str, tiny_config: MakeConfig
) -> None:
    """Also the weights of the modalities and trained features, in a step with constant graphs."""
    words = ("--train_features=True", "--raw_graph_weight=0.5")
    missing = []
    for gradient in ("momentum", "epoch"):
        made = build(tiny_config(model, *SMALL, *words, f"--graph_gradient={gradient}"))
        made.start_epoch(0)
        made.train()
        for _ in range(2):
            made.zero_grad()
            made.calculate_loss(batch_of(made)).backward()
        missing.append({name for name, p in made.named_parameters() if p.grad is None})
    learnt = {f"content.{m}.{kind}" for m in (0, 1) for kind in ("weight", "bias")}
    learnt |= {"feature_table", *(["modality_logits"] if model == "LATTICE" else [])}
    assert missing == [set(), learnt]


@pytest.mark.parametrize("model", BOTH)
def test_the_graph_is_constant_within_its_epochs(model: str, tiny_config: MakeConfig) -> None:
    made = build(tiny_config(model, *SMALL, "--refresh_every=2", "--raw_graph_weight=0.5"))

    def epoch(number: int) -> list[Tensor]:
        """Constant graphs after two steps, every parameter of them changed before and between."""
        made.start_epoch(number)
        made.train()
        graphs = []
        for _ in range(2):
            with torch.no_grad():
                for parameter in made.content.parameters():
                    parameter.normal_()
            loss = made.calculate_loss(batch_of(made))
            assert loss.requires_grad
            graphs.append(torch.stack([graph.matrix.to_dense() for graph in made._constant]))
        assert torch.equal(*graphs)
        made.eval().tables()
        return graphs[0]

    first, second, third = epoch(0), epoch(1), epoch(2)
    assert torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("model", BOTH)
def test_scores_have_the_present_graph(model: str, tiny_config: MakeConfig) -> None:
    """Whatever graph the steps before had, and however often it was asked for."""
    made = shaken(tiny_config(model, *SMALL, "--raw_graph_weight=0.1"))
    made.calculate_loss(batch_of(made))
    before = made.eval().tables()[1]
    with torch.no_grad():
        made.content[0].weight.normal_(generator=torch.Generator().manual_seed(0))
    after = made.tables()[1]
    assert not torch.allclose(before, after)
    made._found = []
    assert torch.equal(after, made.tables()[1])


@pytest.mark.parametrize(
    ("model", "save", "argv"),
    [
        ("LATTICE", 2, ("--graph_gradient=momentum", "--sampling=users")),
        # Killed in the third epoch, with the graph of the first.
        ("LATTICE", 3, ("--refresh_every=3", "--backbone=ngcf")),
        ("MICRO", 2, ("--contrast_items=20", "--refresh_every=2")),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(
    model: str, save: int, argv: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    quick = (*SMALL, "--epochs=3", "--train_batch_size=512", "--learning_rate=0.05")
    assert_resumes(model, (*quick, "--raw_graph_weight=0.5", *argv), save, tiny_data, tmp_path)


@pytest.mark.parametrize("model", ["LATTICE", "MICRO"])
def test_kept_graphs_have_also_one_without_edges(
    model: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """The last modality is masked; a resumed run has the kept graphs alone."""
    np.savez(tmp_path / "mask.npz", visual=np.ones(16), acoustic=np.zeros(8))
    words = (*SMALL, "--raw_graph_weight=0.5", "--refresh_every=2")
    made = shaken(tiny_config(model, *words, f"--feature_mask={tmp_path / 'mask.npz'}"))
    made.train()
    made.calculate_loss(batch_of(made))
    before = made.calculate_loss(batch_of(made))
    made._constant = ()
    torch.testing.assert_close(made.calculate_loss(batch_of(made)), before)


def test_batches_of_users(tiny_config: MakeConfig, tiny_data: Path) -> None:
    """Distinct users in every batch, other ones in every epoch, the same with the seed."""
    seen: list[Tensor] = []
    for _ in range(2):
        config = tiny_config("LATTICE", *SMALL, "--sampling=users", "--train_batch_size=50")
        train = ModalityDataset(config).build_parts()[TRAIN]
        model = build(config)
        trainer = build_trainer(config, model)
        trainer.pipeline._enabled = False
        trainer.tensorboard.close()
        calculate_loss = model.calculate_loss

        def watched(batch: Any, compute: Any = calculate_loss, field: str = model.USER_ID) -> Any:
            seen.append(batch[field])
            return compute(batch)

        model.calculate_loss = watched
        for epoch in range(2):
            trainer._train_epoch(training_loader(config, train), epoch)
    assert len(seen) == 4 * (model.interactions.nnz // 50 + 1)
    assert all(len(users.unique()) == 50 for users in seen)
    epochs = torch.stack(seen).chunk(4)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(torch.cat(epochs[:2]), torch.cat(epochs[2:]))
