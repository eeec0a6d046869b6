"""UltraGCN and PaInvRL as RecBole models: scores, projection, graph, decay, storage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model
from support import MakeConfig
from torch import Tensor
from zoo_support import build

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.graph import ItemGraphForm, item_neighbours
from recbole_painvrl.models.ultragcn import UltraGCN

SMALL = ("--embedding_size=6", "--content_embedding_size=4", "--init_std=0.3")
MODELS = pytest.mark.parametrize(
    ("name", "extra"),
    [("UltraGCN", ()), ("UltraGCN", ("--modalities=[]",)), ("PaInvRL", ())],
    ids=["features", "ID-only", "PaInvRL"],
)


@pytest.mark.parametrize("name", ["PaInvRL", "InvRL"])
def test_score_by_hand(name: str, tiny_config: MakeConfig) -> None:
    """Eq. 15: <p^t_u, t_i> + <p^f_u, W (m (.) f_i) + b>."""
    model = build(tiny_config(name, *SMALL))
    mask = torch.rand(model.features.shape[1])
    model.set_mask(mask)
    torch.nn.init.normal_(model.projection.bias)
    model.eval()
    users = Interaction({model.USER_ID: torch.arange(model.n_users)})
    scores = model.full_sort_predict(users).view(model.n_users, model.n_items)
    for u, i in ((1, 1), (5, 40), (0, 3), (model.n_users - 1, model.n_items - 1)):
        content = model.projection.weight @ (mask * model.features[i]) + model.projection.bias
        by_hand = model.user_id_embedding.weight[u] @ model.item_id_embedding.weight[i]
        by_hand = by_hand + model.user_content_embedding.weight[u] @ content
        assert scores[u, i].item() == pytest.approx(by_hand.item(), abs=1e-5)


@pytest.mark.parametrize("model", ["PaInvRL", "InvRL", "MMGCN", "MMSSL"])
def test_a_modality_is_needed(model: str, tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match="at least one"):
        tiny_config(model, "--modalities=[]")
    train = ModalityDataset(tiny_config("UltraGCN", "--modalities=[]")).build_parts()[TRAIN]
    with pytest.raises(UserError, match=f"{model} needs at least one modality"):
        get_model(model)(tiny_config(model), train)


@MODELS
@pytest.mark.parametrize("sampling", ["shared", "per_positive"])
@pytest.mark.parametrize("item_item", [True, False])
def test_projecting_the_batch_alone_is_exact(
    name: str,
    extra: tuple[str, ...],
    sampling: str,
    item_item: bool,
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = "kappa" if name == "PaInvRL" else "item_item_weight"
    model = build(
        tiny_config(
            name, *SMALL, *extra, f"--negative_sampling={sampling}", "--n_negatives=7",
            "--n_neighbours=3", f"--{weight}={0.5 if item_item else 0.0}",
        )
    ).double()  # fmt: skip
    users, items = torch.tensor([1, 2, 2, 3]), torch.tensor([5, 5, 6, 7])
    batch = Interaction({model.USER_ID: users, model.ITEM_ID: items})
    state = model.negatives.generator.get_state()
    local = model.calculate_loss(batch)
    by_local = torch.autograd.grad(local, list(model.parameters()))
    model.negatives.generator.set_state(state)
    monkeypatch.setattr(
        model, "_local", lambda positives, negatives:
        (model.item_vectors(), model.graph, positives, negatives),
    )  # fmt: skip
    full = model.calculate_loss(batch)
    by_full = torch.autograd.grad(full, list(model.parameters()))
    torch.testing.assert_close(local, full, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(by_local, by_full, rtol=1e-10, atol=1e-12)


def test_the_local_projection_is_really_used(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(tiny_config("UltraGCN", *SMALL, "--n_negatives=3", "--n_neighbours=1"))
    seen = []
    original = UltraGCN.item_vectors

    def spy(self: Any, items: Tensor | None = None) -> Tensor:
        seen.append(items)
        return original(self, items)

    monkeypatch.setattr(UltraGCN, "item_vectors", spy)
    pair = {model.USER_ID: torch.tensor([1]), model.ITEM_ID: torch.tensor([2])}
    model.calculate_loss(Interaction(pair))
    assert seen[0] is not None
    assert len(seen[0]) < model.n_items


@MODELS
def test_coupled_weight_decay_is_the_dense_l2(
    name: str, extra: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    """One SGD step with the model's groups is one step on loss + w |tables|^2 + w' |W, b|^2."""
    config = tiny_config(
        name, *SMALL, *extra, "--embedding_reg_weight=0.3", "--projection_reg_weight=0.7"
    )
    stepped, dense = build(config), build(config)
    for model in (stepped, dense):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    batch = Interaction({stepped.USER_ID: torch.tensor([1]), stepped.ITEM_ID: torch.tensor([2])})
    optimizer = torch.optim.SGD(stepped.parameter_groups(), lr=0.01)
    stepped.calculate_loss(batch).backward()
    optimizer.step()

    loss = dense.calculate_loss(batch)
    for parameter_name, parameter in dense.named_parameters():
        weight = 0.7 if parameter_name.startswith("projection") else 0.3
        loss = loss + weight * parameter.square().sum()
    loss.backward()
    torch.optim.SGD(dense.parameters(), lr=0.01).step()
    own = dict(stepped.named_parameters())
    for parameter_name, parameter in dense.named_parameters():
        torch.testing.assert_close(own[parameter_name], parameter, rtol=1e-5, atol=1e-6)
    groups = [p for group in stepped.parameter_groups() for p in group["params"]]
    assert len(groups) == len(own), "every parameter is in exactly one group"


def test_l2_per_interaction_does_not_know_the_batch_size(tiny_config: MakeConfig) -> None:
    """A row decays by its weight as often as it is a positive of an epoch, on average."""
    weights = ("--embedding_reg_weight=0.3", "--projection_reg_weight=0.7")
    for batch_size in (16, 64, 10**6):
        own = ("--reg_per=interaction", f"--train_batch_size={batch_size}")
        config = tiny_config("UltraGCN", *SMALL, *weights, *own)
        train = ModalityDataset(config).build_parts()[TRAIN]
        model = UltraGCN(config, train)
        # A batch that is larger than the data has all interactions.
        n_steps = 100 / min(batch_size, len(train))
        users, items, content = (
            group["weight_decay"] * n_steps for group in model.parameter_groups()
        )
        assert users == pytest.approx(2 * 0.3 * 100 / (model.n_users - 1))
        assert items == pytest.approx(2 * 0.3 * 100 / (model.n_items - 1))
        assert content == pytest.approx(2 * 0.7 * 100)


def test_same_seed_same_initial_values(tiny_config: MakeConfig) -> None:
    first, again, other = (
        build(tiny_config("UltraGCN", f"--seed={seed}")).state_dict() for seed in (1, 1, 2)
    )
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
    assert not torch.equal(first["user_id_embedding.weight"], other["user_id_embedding.weight"])
    assert not first["projection.bias"].any()
    spread = first["user_id_embedding.weight"].std().item()
    assert spread == pytest.approx(0.01, rel=0.1)


def test_padding_has_no_features_no_degree_and_is_no_neighbour(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("UltraGCN", "--n_neighbours=10"))
    assert not model.features[0].any()
    assert model.features[1:].norm(dim=1).gt(0).all()
    # Two modalities of rows of length 1 each.
    assert model.features[1:].norm(dim=1).tolist() == pytest.approx([2**0.5] * (model.n_items - 1))
    assert model.graph.user_factor[0] == 0
    assert model.graph.item_factor[0] == 1, "degree 0"
    assert not model.graph.neighbour_weight[0].any()
    padded = model.graph.neighbours == 0
    assert not model.graph.neighbour_weight[padded].any()


def test_graph_counts_training_pairs_once(tiny_config: MakeConfig) -> None:
    config = tiny_config("UltraGCN")
    train = ModalityDataset(config).build_parts()[TRAIN]
    model = UltraGCN(config, train)
    users = train.inter_feat[train.uid_field].numpy()
    degree = np.bincount(users, minlength=model.n_users)[1:]
    expected = np.sqrt(degree + 1) / degree
    np.testing.assert_allclose(model.graph.user_factor[1:].numpy(), expected, rtol=1e-6)


def test_a_model_is_the_published_ultragcn_without_modalities(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("UltraGCN", "--modalities=[]", "--preset=yelp2018"))
    assert {name for name, _ in model.named_parameters()} == {
        "user_id_embedding.weight",
        "item_id_embedding.weight",
    }
    assert (model.weights.w1, model.weights.w2) == (1e-8, 1.0)
    assert model.settings.n_negatives == 800
    assert model.settings.embedding_size == 64


@pytest.mark.parametrize("form", ["paper", "code"])
def test_item_graph_of_the_model_is_that_of_the_setting(
    form: ItemGraphForm, tiny_config: MakeConfig
) -> None:
    config = tiny_config("UltraGCN", f"--item_graph={form}", "--n_neighbours=4")
    train = ModalityDataset(config).build_parts()[TRAIN]
    graph = UltraGCN(config, train).graph
    expected = item_neighbours(train.inter_matrix("csr"), 4, form)
    torch.testing.assert_close((graph.neighbours, graph.neighbour_weight), expected, rtol=0, atol=0)


def test_without_an_item_item_term_there_are_no_neighbours(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("UltraGCN", "--item_item_weight=0.0", "--n_neighbours=4"))
    assert model.graph.neighbours.shape == (model.n_items, 0)
