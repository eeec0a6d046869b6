"""MMSSL against a literal forward pass, its loss by hand, its graphs and what is stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from support import MakeConfig
from torch import Tensor
from zoo_support import batch_of, build

from recbole_painvrl.models.mmssl.adversary import Discriminator
from recbole_painvrl.models.mmssl.memory import hidden_widths

SMALL = ("--embedding_size=4", "--n_heads=2")
RELEASED = ("--attention=identity", "--last_layer_softmax=True")
FOUR = [(1, 2, 7), (4, 8, 3), (9, 1, 60), (30, 40, 5)]


def mmssl(make: MakeConfig, *argv: str) -> Any:
    return build(make("MMSSL", *SMALL, *argv))


def scores(model: Any) -> Tensor:
    model.eval()
    with torch.no_grad():
        users = Interaction({model.USER_ID: torch.arange(model.n_users)})
        return model.full_sort_predict(users).view(model.n_users, model.n_items)


def scaled(matrix: Tensor, norm: str) -> Tensor:
    """``D^-1/2 R``, ``D_1^-1/2 R D_2^-1/2`` or ``D^-1 R``; rows without entries stay zero."""
    rows, columns = (matrix.sum(dim=n).clamp(min=1) for n in (1, 0))
    if norm == "mean":
        return matrix / rows[:, None]
    matrix = matrix / rows.sqrt()[:, None]
    return matrix / columns.sqrt() if norm == "symmetric" else matrix


def unit(rows: Tensor) -> Tensor:
    return torch.stack([row / row.norm() if row.norm() > 0 else row for row in rows])


def literal_views(model: Any, graphs: list[Tensor]) -> dict[str, Any]:
    """Every formula of the class docstring with dense matrices, in eval mode."""
    s = model.settings
    r = torch.from_numpy(model.interactions.toarray())
    a, b = scaled(r, s.graph_norm), scaled(r.T, s.graph_norm)
    p, q = model.user_id_embedding.weight, model.item_id_embedding.weight
    found: dict[str, Any] = {"U": [], "I": [], "ids": []}
    item_ids = []
    for number, part in enumerate(model.modality_slices.values()):
        layer = model.projections[number]
        found["U"].append(a @ (model.features[:, part] @ layer.weight.T + layer.bias))
        found["I"].append(b @ found["U"][-1])
        found["ids"].append(scaled(graphs[number], s.graph_norm) @ q)
        item_ids.append(scaled(graphs[number].T, s.graph_norm) @ p)
    u = p + s.id_residual_weight * unit(literal_fusion(model, found["ids"]))
    i = q + s.id_residual_weight * unit(literal_fusion(model, item_ids))
    layers = [(u, i)]
    for number in range(s.n_layers):
        squash = s.last_layer_softmax and number == s.n_layers - 1
        u = a @ i
        u = u.softmax(dim=1) if squash else u
        i = b @ u
        i = i.softmax(dim=1) if squash else i
        layers.append((u, i))
    u, i = (torch.stack(side).mean(dim=0) for side in zip(*layers, strict=True))
    weight = s.modality_residual_weight
    found["users"] = u + weight * sum(unit(part) for part in found["U"])
    found["items"] = i + weight * sum(unit(part) for part in found["I"])
    return found


def literal_fusion(model: Any, views: list[Tensor]) -> Tensor:
    n_heads, k = model.settings.n_heads, model.settings.embedding_size
    width = k // n_heads
    rows = []
    for node in range(len(views[0])):
        outputs = []
        for own in views:
            heads = []
            for head in range(n_heads):
                part = slice(head * width, (head + 1) * width)
                if model.settings.attention == "identity" or len(views) == 1:
                    heads.append(own[node])
                    continue
                asked = (own[node] @ model.query)[part]
                products = [asked @ (v[node] @ model.key)[part] / width**0.5 for v in views]
                beta = torch.stack(products).softmax(dim=0)
                heads.append(sum(w * v[node] for w, v in zip(beta, views, strict=True)))
            outputs.append(torch.cat(heads) @ model.merge)
        rows.append(torch.stack(outputs).mean(dim=0))
    return torch.stack(rows)


def interactions(model: Any) -> list[Tensor]:
    return [torch.from_numpy(model.interactions.toarray())] * len(model.modality_slices)


def learn(model: Any, users: Tensor, seed: int = 0) -> list[Tensor]:
    """Collect random items for users and refresh; the graphs as dense matrices."""
    source = torch.Generator().manual_seed(seed)
    graphs = [graph.clone() for graph in interactions(model)]
    nearest = []
    for graph in graphs:
        items = torch.stack(
            [
                1 + torch.randperm(model.n_items - 1, generator=source)[: model.graphs.k]
                for _ in users
            ]
        )
        graph[users] = 0
        graph[users[:, None], items] = 1
        nearest.append(items)
    model.graphs.collect(users, nearest)
    model.graphs.refresh()
    model.forget_tables()
    return graphs


@pytest.mark.parametrize(
    "extra",
    [(), RELEASED, ("--graph_norm=row_sqrt",), ("--modalities=[visual]",),
     ("--n_layers=3", "--graph_norm=symmetric"), ("--graph_norm=mean", "--id_residual_weight=0.5",
     "--modality_residual_weight=0.1")],
)  # fmt: skip
@pytest.mark.parametrize("refreshed", [False, True])
def test_scores_are_those_of_the_literal_forward_pass(
    extra: tuple[str, ...], refreshed: bool, tiny_config: MakeConfig
) -> None:
    model = mmssl(tiny_config, "--graph_share=0.03", *extra)
    graphs = learn(model, torch.arange(3, 50)) if refreshed else interactions(model)
    with torch.no_grad():
        for layer in model.projections:
            torch.nn.init.normal_(layer.bias)
        views = literal_views(model, graphs)
    got = scores(model)
    torch.testing.assert_close(got, views["users"] @ views["items"].T, rtol=1e-4, atol=1e-5)
    for u, i in ((1, 1), (5, 40), (0, 3)):
        pair = {model.USER_ID: torch.tensor([u]), model.ITEM_ID: torch.tensor([i])}
        assert model.predict(Interaction(pair)).item() == pytest.approx(
            got[u, i].item(), rel=1e-5, abs=1e-5
        )


def test_loss_by_hand(tiny_config: MakeConfig) -> None:
    # Large, so that the term is seen beside the others.
    weights = ("--embedding_reg_weight=0.3", "--feature_reg_weight=90", "--contrastive_weight=0.7")
    model = mmssl(
        tiny_config, *weights, "--contrastive_temperature=0.4", "--graph_norm=symmetric"
    ).eval()
    views = literal_views(model, interactions(model))
    expected = torch.zeros(())
    b = len(FOUR)
    for u, i, j in FOUR:
        user, liked, other = views["users"][u], views["items"][i], views["items"][j]
        expected = expected - F.logsigmoid(user @ liked - user @ other) / b
        squares = user @ user + liked @ liked + other @ other
        expected = expected + 0.3 * squares / 2 / b
    for table in (*views["U"], *views["I"]):
        expected = expected + 90 * table.square().sum() / 2 / (model.n_items - 1)
    users = [u for u, *_ in FOUR]
    for ids in views["ids"]:
        for u in users:
            e = {c: math.e ** (F.cosine_similarity(ids[u], views["users"][c], 0) / 0.4)
                 for c in users}  # fmt: skip
            within = sum(
                math.e ** (F.cosine_similarity(ids[u], ids[c], 0) / 0.4) for c in users if c != u
            )
            expected = expected - 0.7 / b * torch.log(e[u] / (sum(e.values()) + within))
    loss = model.calculate_loss(batch_of(model, FOUR))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_dropout_in_training_only_and_from_its_own_generator(tiny_config: MakeConfig) -> None:
    model = mmssl(tiny_config)
    model.train()
    state, everything = model.dropout_source.get_state(), torch.get_rng_state()
    first, second = (model.calculate_loss(batch_of(model)).item() for _ in range(2))
    assert first != second
    model.dropout_source.set_state(state)
    assert model.calculate_loss(batch_of(model)).item() == first
    assert torch.equal(torch.get_rng_state(), everything)
    model.eval()
    assert model.calculate_loss(batch_of(model)) == model.calculate_loss(batch_of(model))
    dry = mmssl(tiny_config, "--modality_dropout=0.0").train()
    assert dry.calculate_loss(batch_of(dry)) == dry.calculate_loss(batch_of(dry))


def test_saved_and_loaded_graphs_give_identical_scores(tiny_config: MakeConfig) -> None:
    model, other = mmssl(tiny_config), mmssl(tiny_config)
    learn(model, torch.arange(5, 40))
    assert not torch.equal(scores(model), scores(other))
    other.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
    assert torch.equal(scores(other), scores(model))
    model.graphs.clear()
    model.forget_tables()
    other.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
    assert torch.equal(scores(other), scores(model))
    assert other.graphs.edges() == [0, 0]


def test_graphs_collect_refresh_and_clear(tiny_config: MakeConfig) -> None:
    model = mmssl(tiny_config, "--graph_share=0.03")
    graphs = model.graphs
    assert graphs.k == 2
    everything = model.interactions.nnz
    assert graphs.edges() == [everything] * 2
    degree = np.diff(model.interactions.indptr)
    users, first, second = torch.tensor([3, 5]), torch.tensor([[1, 2], [3, 4]]), [[6, 7], [8, 9]]
    graphs.collect(users, [first, first])
    assert graphs.edges() == [everything] * 2, "nothing is used before the refresh"
    graphs.collect(users, [torch.tensor(second), torch.tensor(second)])
    graphs.refresh()
    assert graphs.edges() == [everything - degree[3] - degree[5] + 4] * 2
    matrix = graphs.to_users[0].matrix.to_dense()
    assert matrix[3].nonzero().squeeze(1).tolist() == [6, 7], "the newest note counts"
    assert matrix[3, 6].item() == pytest.approx(2**-0.5)
    back = graphs.to_items[0].matrix.to_dense()
    assert torch.equal(back != 0, (matrix != 0).T)
    graphs.refresh()
    assert graphs.to_users[0].matrix.to_dense()[3, 6] > 0, "rows stay until the next note"
    graphs.clear()
    assert graphs.edges() == [0, 0]
    assert mmssl(tiny_config, "--graph_share=1e-9").graphs.k == 1, "at least one neighbour"


def test_without_carry_over_only_users_drawn_have_a_row(tiny_config: MakeConfig) -> None:
    graphs = mmssl(tiny_config, "--graph_carry_over=False").graphs
    for user in (3, 4):
        graphs.collect(torch.tensor([user]), [torch.tensor([[1]])] * 2)
        graphs.refresh()
        assert graphs.to_users[1].matrix.to_dense().nonzero().tolist() == [[user, 1]]


def test_discriminator_by_hand() -> None:
    rows = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    outputs = {}
    for slope in (1.0, 0.01):
        sources = [torch.Generator().manual_seed(n) for n in (1, 2)]
        critic = Discriminator(16, slope, (0.0, 0.0), *sources)
        x = rows
        for layer in critic.hidden:
            x = x @ layer.weight.T + layer.bias
            x = torch.where(x > 0, x, slope * x)
            x = (x - x.mean(dim=0)) / (x.var(dim=0, unbiased=False) + 1e-5).sqrt()
        expected = 100 * torch.sigmoid(x @ critic.last.weight[0] + critic.last.bias)
        outputs[slope] = critic(rows)
        torch.testing.assert_close(outputs[slope], expected, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(outputs[1.0], outputs[0.01], atol=1e-2)
    assert [layer.out_features for layer in critic.hidden] == [4, 2]
    assert hidden_widths(3) == (1, 1)
