"""MICRO: the formulas on dense matrices, attention and contrast."""

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
    literal_bpr,
    literal_layers,
    shaken,
)

from recbole_painvrl.errors import UserError

SMALL = ("--embedding_size=6", "--knn_k=4")
RANDOM_WALK = "--item_graph_norm=random_walk"
IN_BATCH = sorted({item for _, *items in TRIPLES for item in items})


def literal_views(model: Any) -> tuple[list[Tensor], Tensor]:
    """h_m of every modality and h, from dense matrices, item by item."""
    s, present = model.settings, model.has_row
    views = []
    for m, columns in enumerate(model.modality_slices.values()):
        features = model.features[:, columns]
        projected = model.content[m](s.feature_scale * features)
        raw, learnt = (
            laplacian(dense_neighbours(rows, present[:, m], s.knn_k), s.item_graph_norm)
            for rows in (features, projected)
        )
        graph = s.raw_graph_weight * raw + (1 - s.raw_graph_weight) * learnt
        view = model.item_embedding.weight
        for _ in range(s.item_layers):
            view = graph @ view
        views.append(view)
    fused = [torch.zeros_like(views[0][0])]
    hidden, query = model.attention.hidden, model.attention.output.weight[0]
    for i in range(1, model.n_items):
        own = [view[i] for m, view in enumerate(views) if present[i, m]]
        if not own:
            fused.append(torch.zeros_like(fused[0]))
            continue
        scores = torch.stack([query @ torch.tanh(hidden.weight @ v + hidden.bias) for v in own])
        fused.append(sum(a * v for a, v in zip(scores.softmax(dim=0), own, strict=True)))
    return views, torch.stack(fused)


def literal_nce(a: Tensor, z: Tensor, temperature: float) -> Tensor:
    a, z = F.normalize(a), F.normalize(z)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(a)):
        across, within = (a[i] @ z.T / temperature).exp(), (a[i] @ a.T / temperature).exp()
        total = total - (across[i] / (across.sum() + within.sum() - within[i])).log()
    return total / len(a)


@pytest.mark.parametrize(
    ("argv", "gaps"),
    [
        ((), False),
        (("--raw_graph_weight=0.3", "--item_layers=2", "--temperature=0.2", RANDOM_WALK), True),
        (
            ("--contrast_items=all", "--n_layers=0", "--content_scale=0.3", "--feature_scale=3"),
            True,
        ),
        (("--item_layers=0",), False),
    ],
)
def test_loss_and_scores_by_hand(
    argv: tuple[str, ...], gaps: bool, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = data_with_gaps(tmp_path) if gaps else None
    weights = ("--reg_weight=0.2", "--contrastive_weight=0.5")
    model = shaken(tiny_config("MICRO", *SMALL, *weights, *argv, data=data))
    s, n = model.settings, model.n_users
    scale = (adjacency(model) > 0).double() + torch.eye(n + model.n_items)
    operator = scale / scale.sum(dim=1, keepdim=True)
    nodes = literal_layers(model, operator, s.n_layers)
    views, fused = literal_views(model)
    found = model.fuse(model.views(), torch.arange(1, model.n_items))
    torch.testing.assert_close(found, fused[1:], rtol=1e-5, atol=1e-6)
    users, items = nodes[:n], nodes[n:] + s.content_scale * F.normalize(fused)
    loss = literal_bpr(users, items)
    for u, i, j in TRIPLES:
        squares = sum(v.square().sum() for v in (users[u], items[i], items[j]))
        loss = loss + 0.2 * squares / 2 / len(TRIPLES)
    compared = torch.tensor(IN_BATCH if s.contrast_items == "batch" else range(1, model.n_items))
    for m, view in enumerate(views):
        own = compared[model.has_row[compared, m]]
        loss = loss + 0.5 * literal_nce(view[own], fused[own], s.temperature)
    model.train()
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss, of_largest=1e-5)
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-5, atol=1e-6)


def test_items_of_the_contrast(tiny_config: MakeConfig) -> None:
    """Drawn anew in every step, the same in the same step of the same epoch; never the padding."""
    model = build(tiny_config("MICRO", *SMALL, "--contrast_items=20"))
    drawn = []
    for epoch in (0, 1, 0):
        model.start_epoch(epoch)
        drawn.append([model._contrasted(None) for _ in range(2)])
    for items in drawn[0]:
        assert len(items.unique()) == 20
        assert 1 <= int(items.min()) <= int(items.max()) < model.n_items
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[2]))
    batch = build(tiny_config("MICRO", *SMALL))
    assert batch._contrasted(batch_of(batch)).tolist() == IN_BATCH
    whole = build(tiny_config("MICRO", *SMALL, "--contrast_items=1000"))
    assert whole._contrasted(None).sort().values.tolist() == list(range(1, whole.n_items))


@pytest.mark.parametrize("value", ["some", "1", "0.5"])
def test_a_wrong_choice_of_items(value: str, tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match=r"`contrast_items`.*batch") as caught:
        build(tiny_config("MICRO", *SMALL, f"--contrast_items={value}"))
    assert "\n" not in str(caught.value)


def test_one_modality_has_no_contrast(tiny_config: MakeConfig) -> None:
    losses = [
        build(
            tiny_config("MICRO", *SMALL, "--modalities=[visual]", f"--contrastive_weight={weight}")
        )
        for weight in (0.0, 1.0)
    ]
    one, other = (model.calculate_loss(batch_of(model)) for model in losses)
    assert torch.equal(one, other)
