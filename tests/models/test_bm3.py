"""BM3: the loss term by term, stopped gradients, content in the score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_same_gradients,
    batch_of,
    build,
    literal_layers,
    shaken,
)

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.contrastive import bootstrap_loss
from recbole_painvrl.seeds import generator

SMALL = ("--embedding_size=6",)
CONTENT = (*SMALL, "--score_content=0.5")


def literal_tables(model: Any) -> tuple[Tensor, Tensor]:
    """u and i = g + Q on dense matrices."""
    n = model.n_users
    mean = literal_layers(model, adjacency(model), model.settings.n_layers)
    return mean[:n], mean[n:] + model.item_embedding.weight


def cosine(x: Tensor, y: Tensor) -> Tensor:
    # A mask may leave nothing of a row.
    return x @ y / (x.norm() * y.norm()).clamp(min=1e-12)


def literal_loss(model: Any, users: Tensor, items: Tensor) -> Tensor:
    """The docstring's loss, pair by pair; masks from the same sequence of random numbers."""
    s, c = model.settings, model.predictor
    source = generator(model.seed, "dropout of epoch 2")

    def target(rows: list[Tensor], side: int) -> list[Tensor]:
        """One mask for every pair, or for every user or item in the order of their numbers."""
        of = [b if s.target_dropout_per == "pair" else t[side] for b, t in enumerate(TRIPLES)]
        kept = torch.rand(len(set(of)), 6, generator=source) >= s.target_dropout
        masks = dict(zip(sorted(set(of)), kept.double() / (1 - s.target_dropout), strict=True))
        return [row.detach() * masks[key] for row, key in zip(rows, of, strict=True)]

    u, i = [users[t[0]] for t in TRIPLES], [items[t[1]] for t in TRIPLES]
    u_target, i_target = target(u, 0), target(i, 1)
    loss = torch.zeros((), dtype=torch.float64)
    for b in range(len(TRIPLES)):
        loss = loss + (2 - cosine(c(u[b]), i_target[b]) - cosine(c(i[b]), u_target[b])) / len(
            TRIPLES
        )
    for m, columns in enumerate(model.modality_slices.values()):
        e = [model.content[m](s.feature_scale * model.features[t[1], columns]) for t in TRIPLES]
        e_target = target(e, 1)
        known = [b for b, t in enumerate(TRIPLES) if model.has_row[t[1], m]]
        for b in known:
            both = cosine(c(e[b]), i_target[b]) + cosine(c(e[b]), e_target[b])
            loss = loss + s.content_weight * (2 - both) / len(known)
    norms = users[1:].square().sum().sqrt() + items[1:].square().sum().sqrt()
    return loss + s.reg_weight * norms / (model.n_items - 1)


@pytest.mark.parametrize(
    "argv",
    [
        ("--n_layers=1", "--target_dropout=0.5", "--reg_weight=0.5"),
        ("--n_layers=1", "--target_dropout=0.5", "--target_dropout_per=row"),
        ("--n_layers=2", "--target_dropout=0.0", "--feature_scale=3.0", "--content_weight=0.7"),
    ],
)
def test_loss_and_scores_by_hand(argv: tuple[str, ...], tiny_config: MakeConfig) -> None:
    model = shaken(tiny_config("BM3", *CONTENT, *argv))
    # An item that is in two pairs and one that is in one lack a modality.
    model.has_row[3, 0] = model.has_row[44, 1] = False
    model.start_epoch(2)
    users, items = literal_tables(model)
    assert_same_gradients(
        model, model.calculate_loss(batch_of(model)), literal_loss(model, users, items)
    )
    c = model.predictor
    expected = c(items)
    for item in range(1, model.n_items):
        for m, columns in enumerate(model.modality_slices.values()):
            if model.has_row[item, m]:
                content = model.settings.feature_scale * model.features[item, columns]
                expected[item] = expected[item] + 0.5 * c(model.content[m](content))
    for table, one in zip(model.tables(), (c(users), expected), strict=True):
        torch.testing.assert_close(table[1:], one[1:], rtol=1e-6, atol=1e-9)


def test_rows_without_a_target() -> None:
    online, target = torch.randn(4, 3), torch.randn(4, 3)
    present = torch.tensor([True, False, True, False])
    some = bootstrap_loss(online, target, present)
    torch.testing.assert_close(some, bootstrap_loss(online[::2], target[::2]))
    assert float(bootstrap_loss(online, target, torch.zeros(4).bool())) == 0
    assert float(bootstrap_loss(torch.zeros(4, 3), target)) == 1


def test_no_negatives(tiny_config: MakeConfig) -> None:
    config = tiny_config("BM3", *SMALL)
    train = ModalityDataset(config).build_parts()["train"]
    batch = next(iter(training_loader(config, train)))
    assert not [name for name in batch.columns if name.startswith("neg_")]
    with pytest.raises(UserError, match="learns from positives alone"):
        build(tiny_config("BM3", *SMALL, "--train_neg_sample_args={distribution: uniform}"))


def test_idle_projections(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("BM3", *SMALL, "--content_weight=0.0"))
    model.calculate_loss(batch_of(model)).backward()
    assert all(p.grad is None for p in model.content.parameters())


def test_items_do_not_collapse(tiny_config: MakeConfig) -> None:
    config = tiny_config("BM3", "--embedding_size=32", "--train_batch_size=256")
    model = build(config)
    loader = training_loader(config, ModalityDataset(config).build_parts()["train"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    for epoch in range(20):
        model.start_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            model.calculate_loss(batch).backward()
            optimizer.step()
    unit = torch.nn.functional.normalize(model.tables()[1].detach()[1:])
    assert (unit @ unit.T).mean().item() < 0.9


def test_content_stands_in_for_ids(tiny_config: MakeConfig) -> None:
    """Items unseen in training have the vector of a known one whose ID vector is zero."""
    assert build(tiny_config("BM3", *SMALL)).content_vectors(torch.zeros(1, 24)) is None
    model = build(tiny_config("BM3", *CONTENT, "--feature_scale=2.0"))
    with torch.no_grad():
        model.user_embedding.weight.zero_()
        model.item_embedding.weight.zero_()
        model.features[5, :16] = 0
        model.has_row[5, 0] = False
    torch.testing.assert_close(model.tables()[1][1:], model.content_vectors(model.features[1:]))
