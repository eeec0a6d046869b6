"""MMGCN: node by node, both merges, frozen and trained ids, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.data.interaction import Interaction
from support import MakeConfig
from torch import Tensor
from zoo_support import TRIPLES, assert_same_gradients, batch_of, build

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.propagation import Propagation
from recbole_painvrl.models.mmgcn import MMGCN

# visual has 16 columns and is projected to 10; acoustic has 8 and is not.
SMALL = ("--embedding_size=6", "--latent_size=10")
CONCAT = pytest.mark.parametrize("concat", [True, False])


def leaky(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, 0.01 * x)


def neighbour_lists(model: MMGCN, train: Any) -> list[list[int]]:
    """Neighbours of every node; items are numbered after the users."""
    lists: list[list[int]] = [[] for _ in range(model.n_users + model.n_items)]
    users, items = (train.inter_feat[f].tolist() for f in (train.uid_field, train.iid_field))
    for u, i in zip(users, items, strict=True):
        lists[u].append(model.n_users + i)
        lists[model.n_users + i].append(u)
    return lists


def literal_tables(model: MMGCN, neighbours: list[list[int]]) -> Tensor:
    """The docstring's equations, one node after the other, ``[n_users + n_items, k]``."""
    ids = torch.cat([model.user_id_embedding, model.item_id_embedding])
    outputs = []
    for network, part in zip(model.networks, model.modality_slices.values(), strict=True):
        start = []
        for node in range(len(neighbours)):
            if node < model.n_users:
                row = network.preference[node]
            else:
                row = model.features[node - model.n_users, part]
                if network.projection is not None:
                    row = network.projection.weight @ row + network.projection.bias
            norm = row.norm()
            start.append(row / norm if norm > 0 else row)
        x = start
        for near, own, merge in zip(network.neighbour, network.own, network.merge, strict=True):
            following, projected = [], [near.weight @ row for row in x]
            for node, found in enumerate(neighbours):
                h = torch.zeros(len(near.weight), dtype=torch.float64)
                if found:
                    # The matrix holds 1 / degree in float32.
                    share = (1 / torch.tensor(float(len(found)))).double()
                    h = share * torch.stack([projected[other] for other in found]).sum(dim=0)
                h = leaky(h)
                kept = leaky(own.weight @ x[node] + own.bias) + ids[node]
                if model.settings.concat:
                    merged = leaky(merge.weight @ torch.cat([h, kept]) + merge.bias)
                else:
                    merged = leaky(merge.weight @ h + merge.bias + kept)
                following.append(merged)
            x = following
        outputs.append(torch.stack(x))
    return torch.stack(outputs).mean(dim=0)


@CONCAT
@pytest.mark.parametrize("num_layers", [1, 3])
def test_scores_loss_and_gradients_node_by_node(
    concat: bool, num_layers: int, tiny_config: MakeConfig
) -> None:
    """Of batches shorter and longer than the users' and the items' tables."""
    config = tiny_config(
        "MMGCN", *SMALL, f"--concat={concat}", f"--num_layers={num_layers}", "--reg_weight=0.3"
    )
    train = ModalityDataset(config).build_parts()[TRAIN]
    model = MMGCN(config, train).double()
    assert [network.projection is None for network in model.networks] == [True, False]
    table = literal_tables(model, neighbour_lists(model, train))
    users, items = table.split([model.n_users, model.n_items])
    model.eval()
    torch.testing.assert_close(model.tables(), (users, items), rtol=1e-10, atol=1e-13)
    scores = model.full_sort_predict(Interaction({model.USER_ID: torch.arange(model.n_users)}))
    torch.testing.assert_close(scores.view(model.n_users, -1), (users @ items.T).detach())

    terms, user_squares, item_squares = [], [], []
    for u, i, j in TRIPLES:
        terms.append(-torch.log(torch.sigmoid(users[u] @ items[i] - users[u] @ items[j])))
        user_squares.append(model.user_id_embedding[u].square().mean())
        item_squares += [model.item_id_embedding[item].square().mean() for item in (i, j)]
    literal = torch.stack(terms).mean()
    squares = torch.stack(user_squares).mean() + torch.stack(item_squares).mean()
    for network in model.networks:
        squares = squares + network.preference[1:].square().mean()
    literal = literal + 0.3 * squares
    model.train()
    for repeats, longer in ((1, [False, False]), (12, [False, True]), (60, [True, True])):
        assert [6 * repeats >= model.n_users, 12 * repeats >= model.n_items] == longer
        loss = model.calculate_loss(batch_of(model, repeats * TRIPLES))
        assert_same_gradients(model, loss, literal)


def test_weight_multiplies_the_smaller_side(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other choice gives the same."""
    model = build(tiny_config("MMGCN", *SMALL)).double()
    widths = []
    original = Propagation.forward

    def spy(self: Propagation, table: Tensor) -> Tensor:
        widths.append((len(table), table.shape[1]))
        return original(self, table)

    monkeypatch.setattr(Propagation, "forward", spy)
    tables = [torch.randn(n, 7).double() for n in (model.n_users, model.n_items)]
    weight = torch.randn(4, 7).double()
    few_items = model.aggregate(tables, weight)
    assert widths == [(model.n_items, 4), (model.n_users, 7)]
    model.n_users, model.n_items = 1, 2
    few_users = model.aggregate(tables, weight)
    assert widths[2:] == [(len(tables[0]), 4), (len(tables[1]), 7)]
    torch.testing.assert_close(few_items, few_users, rtol=1e-12, atol=1e-14)


def test_frozen_ids_are_saved_and_never_trained(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("MMGCN", *SMALL, "--train_ids=False"))
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert set(frozen) == {
        "user_id_embedding",
        "item_id_embedding",
        "networks.0.preference",
        "networks.1.preference",
    }
    assert set(frozen) <= set(model.state_dict())
    trained = build(tiny_config("MMGCN", *SMALL))
    assert all(parameter.requires_grad for parameter in trained.parameters())
    for name, parameter in trained.named_parameters():
        assert torch.equal(parameter, model.state_dict()[name]), "the same start"
    optimizers = {}
    for one in (model, trained):
        optimizers[one] = torch.optim.Adam(one.parameters(), lr=0.01)
        for _ in range(3):
            optimizers[one].zero_grad()
            one.calculate_loss(batch_of(one)).backward()
            optimizers[one].step()
    state = model.state_dict()
    assert all(torch.equal(state[name], before) for name, before in frozen.items())
    for name, before in frozen.items():
        assert not torch.equal(trained.state_dict()[name], before)


def test_regulariser_has_no_effect_on_frozen_ids(tiny_config: MakeConfig) -> None:
    losses = {}
    for ids in (True, False):
        for weight in (0.0, 5.0):
            argv = (f"--train_ids={ids}", f"--reg_weight={weight}")
            model = build(tiny_config("MMGCN", *SMALL, *argv))
            losses[ids, weight] = model.calculate_loss(batch_of(model)).item()
    assert losses[False, 0.0] == losses[False, 5.0] == losses[True, 0.0]
    assert losses[True, 5.0] > losses[True, 0.0]


@pytest.mark.parametrize(
    ("argv", "projected", "width"),
    [
        (("--latent_size=10",), [False, True], 10),
        (("--latent_size=16",), [False, False], 16),
        (("--latent_size=5",), [True, True], 5),
        (("--latent_size=20", "--latent_modalities=[acoustic]"), [True, False], 20),
        (("--latent_size=5", "--latent_modalities=[]"), [False, False], 5),
    ],
)
def test_what_is_projected(
    argv: tuple[str, ...], projected: list[bool], width: int, tiny_config: MakeConfig
) -> None:
    model = build(tiny_config("MMGCN", *argv))
    assert list(model.modality_slices) == ["acoustic", "visual"]
    assert [network.projection is not None for network in model.networks] == projected
    for network, own, is_projected in zip(model.networks, (8, 16), projected, strict=True):
        assert network.preference.shape == (model.n_users, width if is_projected else own)
        assert network.own[0].in_features == network.preference.shape[1]
    assert model.calculate_loss(batch_of(model)).isfinite()


def test_one_modality_is_enough_and_an_unknown_one_is_named(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("MMGCN", "--modalities=[acoustic]"))
    assert len(model.networks) == 1
    with pytest.raises(UserError, match=r"`latent_modalities`: no modality `visuel`.*`visual`"):
        build(tiny_config("MMGCN", "--latent_modalities=[visuel]"))


def test_scores_are_those_of_the_current_parameters(tiny_config: MakeConfig) -> None:
    """Trap of the release: it ranks with the tables of the last training step."""
    model = build(tiny_config("MMGCN", *SMALL))
    everybody = Interaction({model.USER_ID: torch.arange(model.n_users)})
    model.calculate_loss(batch_of(model)).backward()
    torch.optim.Adam(model.parameters(), lr=0.05).step()
    model.eval()
    with torch.no_grad():
        users, items = model.representations()
    torch.testing.assert_close(model.full_sort_predict(everybody), (users @ items.T).view(-1))


def test_initial_values_come_from_the_seed(tiny_config: MakeConfig) -> None:
    first, again, other = (
        build(tiny_config("MMGCN", f"--seed={n}")).state_dict() for n in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    n_nodes = len(first["user_id_embedding"]) + len(first["item_id_embedding"])
    spread = first["user_id_embedding"].std().item()
    assert spread == pytest.approx((2 / (n_nodes + 64)) ** 0.5, rel=0.05)
    # The first merge is Xavier normal, the later ones are PyTorch's linear layers.
    merges = [first[f"networks.0.merge.{layer}.weight"] for layer in (0, 1)]
    rows, columns = merges[0].shape
    assert merges[0].std().item() == pytest.approx((2 / (rows + columns)) ** 0.5, rel=0.1)
    assert merges[1].abs().max().item() == pytest.approx(merges[1].shape[1] ** -0.5, rel=0.02)
