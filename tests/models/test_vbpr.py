"""VBPR: scores and loss pair by pair, both forms, both regularisers, several negatives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from recbole.data.interaction import Interaction
from support import MakeConfig, run_main
from torch import Tensor
from zoo_support import TRIPLES, assert_same_gradients, batch_of, build, shaken

from recbole_painvrl.models.vbpr import VBPR

SMALL = ("--embedding_size=5", "--content_embedding_size=3", "--feature_scale=1.5")
FORMS = pytest.mark.parametrize("form", ["original", "mmrec"])
CONTENT = pytest.mark.parametrize("extra", [(), ("--modalities=[]",)], ids=["content", "ids"])


def literal_score(model: VBPR, u: int, i: int) -> Tensor:
    """``<p, t> + <theta, E f (+ b)> (+ b_i + <beta', f>)`` of one pair."""
    k = model.settings.embedding_size
    f = model.settings.feature_scale * model.features[i]
    user = model.user_embedding.weight[u]
    score = user[:k] @ model.item_embedding.weight[i]
    if model.has_content:
        projected = model.projection.weight @ f
        if model.settings.form == "mmrec":
            projected = projected + model.projection.bias
        score = score + user[k:] @ projected
    if model.settings.form == "original":
        score = score + model.item_bias[i] + model.content_bias @ f
    return score


def literal_loss(model: VBPR, triples: list[tuple[int, int, int]]) -> Tensor:
    """The docstring's loss, triple by triple."""
    s, k = model.settings, model.settings.embedding_size
    losses = []
    squares = torch.zeros(3, dtype=torch.float64)
    own = torch.zeros((), dtype=torch.float64)
    for u, i, j in triples:
        gap = literal_score(model, u, i) - literal_score(model, u, j)
        losses.append(-torch.log(torch.sigmoid(gap)))
        user = model.user_embedding.weight[u]
        parts = []
        for item in (i, j):
            f = s.feature_scale * model.features[item]
            square = model.item_embedding.weight[item].square().sum()
            own = own + square
            if model.has_content:
                square = square + model.projection(f).square().sum()
            if s.form == "original":
                square = square + (model.item_bias[item] + model.content_bias @ f).square()
                own = own + model.item_bias[item].square()
            parts.append(square)
        squares = squares + torch.stack([user.square().sum(), *parts])
        own = own + user.square().sum()
    assert user[:k].numel() == k
    loss = torch.stack(losses).mean()
    penalty = squares.sqrt().sum() if s.regularizer == "norm" else own / 2
    loss = loss + s.reg_weight * penalty / len(triples)
    if model.has_content:
        squared = model.projection.weight.square().sum()
        if s.form == "original":
            squared = squared + model.content_bias.square().sum()
        loss = loss + s.projection_reg_weight / 2 * squared
    return loss


@FORMS
@CONTENT
def test_scores_pair_by_pair(form: str, extra: tuple[str, ...], tiny_config: MakeConfig) -> None:
    model = shaken(tiny_config("VBPR", *SMALL, f"--form={form}", *extra)).eval()
    users = torch.arange(12)
    scores = model.full_sort_predict(Interaction({model.USER_ID: users})).view(12, -1)
    for u in range(12):
        for i in range(model.n_items):
            assert scores[u, i].item() == pytest.approx(literal_score(model, u, i).item())
    pairs = Interaction({model.USER_ID: users, model.ITEM_ID: 3 * users})
    torch.testing.assert_close(model.predict(pairs), scores[users, 3 * users])


@FORMS
@CONTENT
@pytest.mark.parametrize("regularizer", ["squared", "norm"])
@pytest.mark.parametrize("batch", ["smaller than the catalogue", "larger"])
def test_loss_and_gradients_triple_by_triple(
    form: str, extra: tuple[str, ...], regularizer: str, batch: str, tiny_config: MakeConfig
) -> None:
    model = shaken(
        tiny_config(
            "VBPR", *SMALL, *extra, f"--form={form}", f"--regularizer={regularizer}",
            "--reg_weight=0.7", "--projection_reg_weight=0.2",
        )
    )  # fmt: skip
    triples = TRIPLES if batch != "larger" else TRIPLES * 20
    loss = model.calculate_loss(batch_of(model, triples))
    assert_same_gradients(model, loss, literal_loss(model, triples))


def test_ids_alone_are_bpr_matrix_factorisation(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("VBPR", "--modalities=[]", "--form=mmrec"))
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {
        "user_embedding.weight": (model.n_users, 64),
        "item_embedding.weight": (model.n_items, 64),
    }
    original = build(tiny_config("VBPR", "--modalities=[]", "--form=original"))
    assert original.content_bias.numel() == 0
    assert original.item_bias.shape == (model.n_items,)


def test_initial_values_come_from_the_seed(tiny_config: MakeConfig) -> None:
    first, again, other = (
        build(tiny_config("VBPR", f"--seed={n}")).state_dict() for n in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["projection.weight"], other["projection.weight"])
    assert not first["item_bias"].any() and not first["content_bias"].any()
    rows, width = first["user_embedding.weight"].shape
    bound = math.sqrt(6 / (rows + width))
    assert 0.95 * bound < first["user_embedding.weight"].abs().max() <= bound
    assert "features" not in first, "features are no part of a checkpoint"


@pytest.mark.parametrize(
    "negatives",
    [
        "{distribution: uniform, sample_num: 3}",
        "{distribution: uniform, sample_num: 1, dynamic: True, candidate_num: 2}",
        "{distribution: popularity, sample_num: 1, alpha: 0.5}",
    ],
)
def test_other_negatives(negatives: str, tiny_data: Path, tmp_path: Path) -> None:
    argv = f"--train_neg_sample_args={negatives}"
    run = run_main(tiny_data, tmp_path, "VBPR", argv, name="x")
    assert run.code == 0, run.err
