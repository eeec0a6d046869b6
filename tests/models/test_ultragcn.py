"""UltraGCN and PaInvRL as RecBole models: scores, projection, padding, decay, storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from support import MakeConfig
from torch import Tensor

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional import ultragcn
from recbole_painvrl.models.painvrl import PaInvRL
from recbole_painvrl.models.ultragcn import UltraGCN

SMALL = ("--embedding_size=6", "--content_embedding_size=4", "--init_std=0.3")
MODELS = pytest.mark.parametrize(
    ("name", "extra"),
    [("UltraGCN", ()), ("UltraGCN", ("--modalities=[]",)), ("PaInvRL", ())],
    ids=["features", "ids only", "PaInvRL"],
)


def build(config: SafeConfig) -> Any:
    train = ModalityDataset(config).build_parts()[TRAIN]
    return {"UltraGCN": UltraGCN, "PaInvRL": PaInvRL}[config["model"]](config, train)


def every_pair(model: Any) -> Interaction:
    users = torch.arange(model.n_users).repeat_interleave(model.n_items)
    items = torch.arange(model.n_items).repeat(model.n_users)
    return Interaction({model.USER_ID: users, model.ITEM_ID: items})


def all_users(model: Any) -> Interaction:
    return Interaction({model.USER_ID: torch.arange(model.n_users)})


def matrix_of(model: Any) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model.full_sort_predict(all_users(model)).view(model.n_users, model.n_items)


@MODELS
def test_predict_is_full_sort_predict(
    name: str, extra: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    model = build(tiny_config(name, *SMALL, *extra))
    scores = matrix_of(model)
    with torch.no_grad():
        pairs = model.predict(every_pair(model)).view_as(scores)
        torch.testing.assert_close(pairs, scores)
        model.train()
        in_training = model.predict(every_pair(model)).view_as(scores)
    torch.testing.assert_close(in_training, scores)


def test_score_by_hand(tiny_config: MakeConfig) -> None:
    """Eq. 15: <p^t_u, t_i> + <p^f_u, W (m (.) f_i) + b>."""
    model = build(tiny_config("PaInvRL", *SMALL))
    mask = torch.rand(model.features.shape[1])
    model.set_mask(mask)
    torch.nn.init.normal_(model.projection.bias)
    scores = matrix_of(model)
    for u, i in ((1, 1), (5, 40), (0, 3), (model.n_users - 1, model.n_items - 1)):
        content = model.projection.weight @ (mask * model.features[i]) + model.projection.bias
        by_hand = model.user_id_embedding.weight[u] @ model.item_id_embedding.weight[i]
        by_hand = by_hand + model.user_content_embedding.weight[u] @ content
        assert scores[u, i].item() == pytest.approx(by_hand.item(), abs=1e-5)


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
    for one, other in zip(by_local, by_full, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


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
    for batch_size in (16, 64):
        own = ("--reg_per=interaction", f"--train_batch_size={batch_size}")
        model = build(tiny_config("UltraGCN", *SMALL, *weights, *own))
        n_steps = 100 / batch_size
        users, items, content = (
            group["weight_decay"] * n_steps for group in model.parameter_groups()
        )
        assert users == pytest.approx(2 * 0.3 * 100 / (model.n_users - 1))
        assert items == pytest.approx(2 * 0.3 * 100 / (model.n_items - 1))
        assert content == pytest.approx(2 * 0.7 * 100)


@MODELS
def test_saved_and_loaded_scores_are_identical(
    name: str, extra: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    config = tiny_config(name, *SMALL, *extra)
    model, other = build(config), build(config)
    if model.has_content:
        model.set_mask(torch.rand(model.features.shape[1]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    before = matrix_of(other)
    other.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    assert torch.equal(matrix_of(other), matrix_of(model))
    assert not torch.equal(matrix_of(other), before), "no table of the old weights is kept"


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


def test_zero_features_are_ids_up_to_a_constant_per_user(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("UltraGCN", *SMALL))
    model.features.zero_()
    torch.nn.init.normal_(model.projection.bias)
    model.forget_tables()
    by_id = model.user_id_embedding.weight @ model.item_id_embedding.weight.T
    gap = matrix_of(model) - by_id.detach()
    constant = model.user_content_embedding.weight @ model.projection.bias
    torch.testing.assert_close(gap, constant.detach()[:, None].expand_as(gap), rtol=0, atol=1e-5)
    model.set_mask(torch.zeros(model.features.shape[1]))
    torch.testing.assert_close(matrix_of(model) - by_id.detach(), gap, rtol=0, atol=1e-5)


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


@pytest.mark.parametrize("sampling", ["shared", "per_positive"])
def test_training_reads_the_padding_row_nowhere(sampling: str, tiny_config: MakeConfig) -> None:
    model = build(
        tiny_config("UltraGCN", *SMALL, f"--negative_sampling={sampling}", "--n_negatives=50")
    )
    users = torch.arange(1, model.n_users)
    items = 1 + users % (model.n_items - 1)
    loss = model.calculate_loss(Interaction({model.USER_ID: users, model.ITEM_ID: items}))
    loss.backward()
    assert not model.user_id_embedding.weight.grad[0].any()
    assert not model.user_content_embedding.weight.grad[0].any()
    assert not model.item_id_embedding.weight.grad[0].any()
    assert model.item_id_embedding.weight.grad[1:].any()


def test_exclude_positives_reads_the_training_matrix(tiny_config: MakeConfig) -> None:
    model = build(
        tiny_config(
            "UltraGCN", "--negative_sampling=per_positive", "--exclude_positives=True",
            "--n_negatives=200",
        )
    )  # fmt: skip
    train = ModalityDataset(tiny_config("UltraGCN")).build_parts()[TRAIN]
    users, items = (train.inter_feat[f].tolist() for f in (train.uid_field, train.iid_field))
    positives = set(zip(users, items, strict=True))
    asked = torch.arange(1, model.n_users)
    for user, row in zip(asked.tolist(), model.negatives.draw(asked).tolist(), strict=True):
        assert not positives & {(user, item) for item in row}


def test_loss_falls_in_training(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("PaInvRL", *SMALL))
    train = ModalityDataset(tiny_config("PaInvRL")).build_parts()[TRAIN]
    batch = train.inter_feat
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.calculate_loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_renaming_ids_renames_the_scores(tiny_config: MakeConfig) -> None:
    """Users and items in another order give the same graph and loss, in that order."""
    first = build(tiny_config("UltraGCN", *SMALL, "--n_negatives=5")).double()
    generator = torch.Generator().manual_seed(1)
    order = 1 + torch.randperm(first.n_items - 1, generator=generator)
    renamed = torch.cat([torch.zeros(1, dtype=torch.long), order])  # old number -> new number
    back = torch.argsort(renamed)
    users = torch.arange(1, 20)
    positives, negatives = users.clone(), torch.randint(1, first.n_items, (19, 5))
    table = first.item_vectors()
    graph = first.graph
    other = ultragcn.GraphWeights(
        graph.user_factor,
        graph.item_factor[back],
        renamed[graph.neighbours][back],
        graph.neighbour_weight[back],
    )
    loss = ultragcn.batch_loss(
        first.user_vectors(users), table, users, positives, negatives, graph, first.weights
    )
    same = ultragcn.batch_loss(
        first.user_vectors(users), table[back], users, renamed[positives], renamed[negatives],
        other, first.weights,
    )  # fmt: skip
    torch.testing.assert_close(loss, same)


def test_painvrl_needs_a_modality(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config("PaInvRL")
    train = ModalityDataset(tiny_config("UltraGCN", "--modalities=[]")).build_parts()[TRAIN]
    with pytest.raises(UserError, match="needs at least one modality"):
        PaInvRL(config, train)


def test_a_model_is_the_published_ultragcn_without_modalities(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("UltraGCN", "--modalities=[]", "--preset=yelp2018"))
    assert {name for name, _ in model.named_parameters()} == {
        "user_id_embedding.weight",
        "item_id_embedding.weight",
    }
    assert (model.weights.w1, model.weights.w2) == (1e-8, 1.0)
    assert model.settings.n_negatives == 800
    assert model.settings.embedding_size == 64
