"""SLMRec: the formulas on dense matrices, the three tasks, false negatives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
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

from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.inference.vectors import find_tables

SMALL = ("--embedding_size=6",)
USERS, ITEMS = (torch.tensor([triple[side] for triple in TRIPLES]) for side in (0, 1))
Views = list[tuple[Tensor, Tensor]]


def literal_views(model: Any, source: torch.Generator | None = None) -> Views:
    """Users and items of every network on dense matrices; dropout with a generator."""
    n, graph = model.n_users, adjacency(model)
    graph[:n, n:] = as_stored(model.to_users, graph[:n, n:])
    graph[n:, :n] = graph[:n, n:].T
    starts = [model.item_embedding.weight]
    for m, columns in enumerate(model.modality_slices.values()):
        x = model.projection[m](model.settings.feature_scale * model.features[:, columns])
        starts.append(torch.where(model.has_row[:, m, None], x, 0.0))
    views = []
    for start in starts:
        layers = [torch.cat([model.user_embedding.weight, start])]
        for _ in range(model.settings.n_layers):
            sides = (graph @ layers[-1]).split([n, model.n_items])
            if source is not None:
                sides = tuple(dropout(side, model.settings.dropout, source) for side in sides)
            layers.append(torch.cat(sides))
        mean = torch.stack(layers).mean(dim=0)
        views.append((mean[:n], mean[n:]))
    return views


def literal_fused(model: Any, views: Views) -> tuple[Tensor, Tensor]:
    """One matrix on the views side by side."""
    sides = []
    for fusion, side in ((model.user_fusion, 0), (model.item_fusion, 1)):
        weight = torch.cat([fusion.ids.weight, *(layer.weight for layer in fusion.modalities)], 1)
        sides.append(torch.cat([view[side] for view in views], 1) @ weight.T + fusion.ids.bias)
    return sides[0], sides[1]


def literal_contrast(a: Tensor, z: Tensor, tau: float, allowed: Tensor | None = None) -> Tensor:
    """Cross-entropy row by row; ``allowed`` says which pairs are in the sum."""
    losses = []
    for b in range(len(a)):
        terms = [
            (a[b] @ z[c] / tau).exp()
            for c in range(len(z))
            if allowed is None or bool(allowed[b, c]) or b == c
        ]
        losses.append(torch.stack(terms).sum().log() - a[b] @ z[b] / tau)
    return torch.stack(losses).mean()


def literal_task(model: Any, views: Views, users: Tensor, items: Tensor) -> Tensor:
    s, source = model.settings, copy.deepcopy(model.noise_source)
    if s.ssl_task == "FAC":
        g, total = views[0][1][items], torch.zeros((), dtype=torch.float64)
        for m, (_, view) in enumerate(views[1:]):
            g, head = model.alignment.chain[m](g), model.alignment.modalities[m]
            total = total + literal_contrast(g, head(view[items]), s.ssl_temperature)
        return total
    passes = []
    for _ in range(2):
        if s.ssl_task == "FD":
            changed = literal_views(model, source)
        else:
            zeroed = int(torch.randint(len(views), (), generator=source))
            changed = list(views)
            changed[zeroed] = tuple(torch.zeros_like(side) for side in views[zeroed])
        passes.append([F.normalize(side) for side in literal_fused(model, changed)])
    (user, item), (other_user, other_item) = passes
    contrast = literal_contrast(user[users], other_user[users], s.ssl_temperature)
    return contrast + literal_contrast(item[items], other_item[items], s.ssl_temperature)


@pytest.mark.parametrize("task", ["FAC", "FD", "FM"])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_scores_by_hand(task: str, masked: bool, tiny_config: MakeConfig) -> None:
    tasks = (f"--ssl_task={task}", "--ssl_weight=0.7", "--ssl_temperature=0.6")
    words = (f"--mask_false_negatives={masked}", "--feature_scale=2.0", "--n_layers=2")
    words = (*words, "--temperature=0.5", "--dropout=0.1")
    model = shaken(tiny_config("SLMRec", *SMALL, *tasks, *words))
    model.has_row[[3, 44], 0] = False
    model.has_row[60] = False
    views = literal_views(model)
    user, item = literal_fused(model, views)
    known = torch.from_numpy(model.interactions.toarray() > 0)[USERS][:, ITEMS]
    assert known.fill_diagonal_(False).any(), "a false negative is part of this test"
    a, z = F.normalize(user[USERS]), F.normalize(item[ITEMS])
    loss = literal_contrast(a, z, model.settings.temperature, ~known if masked else None)
    users, items = (USERS.unique(), ITEMS.unique()) if masked else (USERS, ITEMS)
    assert len(users) < len(USERS) or not masked
    loss = loss + 0.7 * literal_task(model, views, users, items)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    torch.testing.assert_close(model.tables(), (user, item), rtol=1e-6, atol=1e-9)


def test_known_values(tiny_config: MakeConfig) -> None:
    """A batch of one has nothing to contrast; a batch has no order."""
    model = build(tiny_config("SLMRec", *SMALL))
    assert model.calculate_loss(batch_of(model, TRIPLES[:1])).item() == pytest.approx(0, abs=1e-5)
    one, other = (model.calculate_loss(batch_of(model, t)) for t in (TRIPLES, TRIPLES[::-1]))
    torch.testing.assert_close(one, other)


def test_a_fusion_starts_as_one_matrix(tiny_config: MakeConfig) -> None:
    """Xavier uniform of ``[e_0, ..., e_M]``, not of its blocks; the bias as PyTorch's."""
    model = build(tiny_config("SLMRec"))
    inputs = 64 * (1 + len(model.modality_slices))
    for fusion in (model.user_fusion, model.item_fusion):
        for layer in (fusion.ids, *fusion.modalities):
            bound = (6 / (inputs + 64)) ** 0.5
            assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
        assert fusion.ids.bias.abs().max().item() == pytest.approx(inputs**-0.5, rel=0.1)


def test_tables_of_the_cosine_have_rows_of_length_1(tiny_config: MakeConfig) -> None:
    plain, cosine = (
        build(tiny_config("SLMRec", *SMALL, f"--score={score}")).eval()
        for score in ("product", "cosine")
    )
    for one, other in zip(plain.tables(), cosine.tables(), strict=True):
        torch.testing.assert_close(F.normalize(one), other)


def test_the_sigmoid_of_the_score(tiny_config: MakeConfig) -> None:
    """It keeps the order but where float32 rounds it to 1, and is no product of vectors."""
    plain, sigmoid = (
        build(tiny_config("SLMRec", *SMALL, f"--score={score}")).eval()
        for score in ("product", "sigmoid")
    )
    users, items = torch.arange(1, 6), torch.arange(11, 16)
    batch = Interaction({plain.USER_ID: users, plain.ITEM_ID: items})
    for method in ("predict", "full_sort_predict"):
        one, other = (getattr(model, method)(batch) for model in (plain, sigmoid))
        torch.testing.assert_close(other, 1 / (1 + (-one).exp()))
    with torch.no_grad():
        sigmoid.user_fusion.ids.bias += 100
        sigmoid.item_fusion.ids.bias += 100
    sigmoid.forget_tables()
    assert (sigmoid.full_sort_predict(batch) == 1).all()
    assert find_tables(plain) is not None
    assert find_tables(sigmoid) is None


def test_heads_of_the_alignment(tiny_config: MakeConfig) -> None:
    two = build(tiny_config("SLMRec", *SMALL)).alignment
    assert [link.out_features for link in two.chain] == [6, 3]
    one = build(tiny_config("SLMRec", *SMALL, "--modalities=[visual]")).alignment
    assert [head.out_features for head in one.modalities] == [6]
    for setting in ("--ssl_weight=0", "--ssl_task=FM"):
        assert build(tiny_config("SLMRec", *SMALL, setting)).alignment is None


def test_order_of_the_chain(tiny_config: MakeConfig) -> None:
    """The first modality of ``modalities`` is the first of the chain."""
    for names, columns in (("[visual,acoustic]", 16), ("[acoustic,visual]", 8)):
        model = build(tiny_config("SLMRec", *SMALL, f"--modalities={names}"))
        assert model.projection[0].in_features == columns
        with torch.no_grad():
            model.alignment.chain[1].weight.zero_()
            model.alignment.chain[1].bias.zero_()
        model.calculate_loss(batch_of(model)).backward()
        # The chain behind the first modality is cut.
        assert model.alignment.modalities[0].weight.grad.any()
        assert not model.alignment.modalities[1].weight.grad.any()


def test_vectors_of_new_items(tiny_config: MakeConfig) -> None:
    """Those of an item without ID embedding and interactions."""
    for score in ("product", "cosine"):
        model = build(tiny_config("SLMRec", *SMALL, "--feature_scale=2.0", f"--score={score}"))
        with torch.no_grad():
            model.item_embedding.weight[1:4] = 0
        found = model.content_vectors(model.features[1:4])
        for part in (model.to_users.matrix, model.to_users.transposed):
            part.values().zero_()
        model.forget_tables()
        torch.testing.assert_close(found, model.tables()[1][1:4])


def test_trained_features_reach_the_scores(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("SLMRec", *SMALL, "--train_features=True"))
    model.calculate_loss(batch_of(model)).backward()
    assert model.feature_table.grad[1:].any()
    before = model.eval().tables()[1]
    with torch.no_grad():
        model.feature_table.mul_(-1)
    assert not torch.allclose(model.tables()[1], before)
