"""Users whom training has not seen, from their items, and the loss that gives their vectors."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from serving_support import MakeRun, everybody, frame, items_of
from torch import Tensor

from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.fold_in import Prior
from recbole_painvrl.inference import new_users as new_users_module
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.inference.new_users import FoldedVectors, item_weights
from recbole_painvrl.inference.recommending import Recommender
from recbole_painvrl.inference.request import Request, recommend
from recbole_painvrl.inference.scoring import Scorer, interactions
from recbole_painvrl.inference.vectors import score_tables


def agreement(run: Any, k: int = 10) -> tuple[float, float]:
    """Share of known users' lists that new users get with the same items, and with others'."""
    users = everybody(run)[::4]
    recommender = Recommender(Scorer(run), k, "none")
    known = frame(recommender.known(users)).groupby("user_id")["item_id"].agg(set)
    new = frame(recommender.new({f"new {user}": items_of(run, user) for user in users}))
    lists = new.groupby("user_id")["item_id"].agg(set)
    same = [len(known[user] & lists[f"new {user}"]) / k for user in users]
    pairs = itertools.pairwise(users)
    other = [len(known[user] & lists[f"new {another}"]) / k for user, another in pairs]
    return float(np.mean(same)), float(np.mean(other))


@pytest.mark.parametrize("model", ["UltraGCN", "VBPR", "BPR"])
def test_the_same_history_gives_nearly_the_same_list(model: str, finished: MakeRun) -> None:
    same, other = agreement(load_run(finished(model, "--epochs=60", "--learning_rate=0.01")))
    assert same > 0.7
    assert same > other + 0.2


@pytest.mark.parametrize(
    "words",
    [
        *(("ItemKNN",), ("EASE",), ("Pop",), ("RP3beta", "--content_weight=0.1")),
        *(("ContentEASE",), ("ContentEASE", "--form=joint")),
    ],
    ids=" ".join,
)
def test_models_without_user_vectors_score_them_alike(
    words: tuple[str, ...], finished: MakeRun
) -> None:
    run = load_run(finished(*words))
    scorer, users = Scorer(run), everybody(run)[::7]
    numbers = run.dataset.field2token_id["user_id"]
    known = scorer.known(torch.tensor([numbers[user] for user in users]))
    columns = [torch.tensor([scorer.column[i] for i in items_of(run, user)]) for user in users]
    assert torch.allclose(scorer.new(columns), known, atol=1e-5)


def test_an_item_item_matrix_counts_only_if_its_sums_are_the_scores(
    finished: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = load_run(finished("ItemKNN")).model
    assert item_weights(model) is not None
    scores = model.full_sort_predict
    monkeypatch.setattr(model, "full_sort_predict", lambda interaction: 2 * scores(interaction))
    assert item_weights(model) is None


@pytest.mark.parametrize("model", ["UltraGCN", "ItemKNN"])
def test_a_list_depends_on_its_user_alone(model: str, finished: MakeRun) -> None:
    run = load_run(finished(model))
    histories = {f"new {user}": items_of(run, user) for user in everybody(run)[:9]}
    scorer = Scorer(run)
    whole = frame(Recommender(scorer, 5).new(histories))
    backwards = {user: histories[user][::-1] for user in reversed(histories)}
    other = frame(Recommender(scorer, 5, block=2).new(backwards))
    for user, own in whole.groupby("user_id"):
        again = other[other["user_id"] == user]
        assert again["item_id"].tolist() == own["item_id"].tolist()
        assert np.allclose(again["score"], own["score"], rtol=1e-5)
        assert not set(own["item_id"]) & set(histories[str(user)])


@pytest.mark.parametrize("model", ["UltraGCN", "BPR"])
def test_a_user_of_the_whole_catalogue(model: str, finished: MakeRun) -> None:
    scorer = Scorer(load_run(finished(model)))
    scores = scorer.new([torch.arange(1, len(scorer.tokens))])
    assert bool(torch.isfinite(scores).all())


def test_by_files(finished: MakeRun, tmp_path: Path) -> None:
    folder = finished("UltraGCN")
    run = load_run(folder)
    users = everybody(run)[:3]
    rows = [(f"n{user}", item) for user in users for item in items_of(run, user)]
    path = tmp_path / "new.csv"
    pd.DataFrame([*rows, *rows[:4]], columns=["user_id", "item_id"]).to_csv(path, index=False)
    out = tmp_path / "x.parquet"
    (tmp_path / "known.txt").write_text(users[2])
    recommend(Request(str(folder), str(out), str(tmp_path / "known.txt"), new_users=str(path), k=4))
    found = pd.read_parquet(out)
    assert found["user_id"].unique().tolist() == [users[2], *(f"n{user}" for user in users)]
    assert not set(zip(found["user_id"], found["item_id"], strict=True)) & set(rows)


def test_refusals(finished: MakeRun, tmp_path: Path) -> None:
    folder = finished("UltraGCN")
    run, path, out = load_run(folder), tmp_path / "new.csv", str(tmp_path / "x.csv")
    item, user = items_of(run, everybody(run)[0])[0], everybody(run)[0]

    def refused(text: str, match: str, model: Path = folder) -> None:
        path.write_text(text)
        with pytest.raises(UserError, match=match):
            recommend(Request(str(model), out, new_users=str(path)))
        assert not Path(out).exists()

    refused("user_id,item_id\n", "holds no row")
    refused("user_id;item_id\na;b\n", "no column `user_id`")
    refused("user_id,item_id\nx\n", "row 2 lacks user_id or item_id")
    refused("user_id,item_id\nx,nothing\n", "1 of 1 items are not in the run, first 'nothing'")
    refused(f"user_id,item_id\n{user},{item}\n", f"in the run already, first '{user}'")
    # BM3 has vectors, so that their lack is not the reason.
    vectors = "a run of a model with vectors of users and items"
    for model, why in (
        ("MultiVAE", vectors),
        ("BM3", "since its loss does not give the vector of a single user; .* of another model"),
        ("EliMRec", vectors),
    ):
        said = f"{model} has no score for a user .*{why}"
        refused(f"user_id,item_id\nx,{item}\n", said, finished(model))


@pytest.mark.parametrize("model", ["ItemKNN", "UltraGCN"])
def test_what_a_new_user_has_is_left_out_unless_nothing_is(model: str, finished: MakeRun) -> None:
    scorer = Scorer(load_run(finished(model)))
    history = {"x": scorer.tokens[1:6].tolist()}
    for exclude, expected in (("all", set()), ("train", set()), ("none", set(history["x"]))):
        found = frame(Recommender(scorer, len(scorer.tokens), exclude).new(history))
        assert set(found["item_id"]) & set(history["x"]) == expected


OWN = ("--negative_sampling=per_positive", "--exclude_positives=True", "--n_negatives=4",
       "--w1=0.5", "--w2=3.0", "--w4=2.0")  # fmt: skip
HISTORY = torch.tensor([3, 17, 40])


def folded(run: Any) -> FoldedVectors:
    return FoldedVectors(run, *score_tables(run.model), interactions(run, ("train",)))


def slope(users: FoldedVectors, negatives: list[int], vector: Tensor) -> float:
    """Largest entry of the gradient of the literal loss plus the prior, at a vector."""
    prior, p = users.prior, vector.clone().requires_grad_()
    scores = users.items @ p
    loss = torch.zeros((), dtype=torch.float64)
    for item in HISTORY.tolist():
        if users.model.input_type.name == "PAIRWISE":
            loss = loss + F.softplus(scores[negatives] - scores[item]).mean()
            continue
        weights, graph = users.model.weights, users.model.graph
        # Eq. 6 of a user with three items.
        beta = 4**0.5 / 3 * graph.item_factor.double()
        loss = loss + (weights.w1 + weights.w2 * beta[item]) * F.softplus(-scores[item])
        costs = (weights.w3 + weights.w4 * beta) * F.softplus(scores)
        loss = loss + weights.negative_weight * costs[negatives].mean()
        near = zip(graph.neighbours[item].tolist(), graph.neighbour_weight[item], strict=True)
        for other, weight in near:
            loss = loss + weights.item_item * weight.double() * F.softplus(-scores[other])
    moved = prior.scale > 0
    loss = loss + ((p - prior.mean)[moved] / prior.scale[moved]).square().sum() / 2
    (gradient,) = torch.autograd.grad(loss, p)
    return float((gradient * prior.scale).abs().max())


@pytest.mark.parametrize(
    ("words", "own_too"),
    [
        (("BPR",), False),
        (("UltraGCN", *OWN), False),
        # A pool that all users share holds a user's own items as well.
        (("UltraGCN",), True),
    ],
    ids=["BPR", "UltraGCN", "UltraGCN, shared pool"],
)
def test_neither_padding_nor_own_items_are_negatives(
    words: tuple[str, ...], own_too: bool, finished: MakeRun
) -> None:
    """The vector is where the loss over all other items is flat, and no other loss is."""
    users = folded(load_run(finished(*words)))
    vector = users.vector(HISTORY, users.prior)
    every = list(range(1, len(users.items)))
    others = [item for item in every if item not in HISTORY.tolist()]
    right, wrong = (every, others) if own_too else (others, every)
    assert slope(users, right, vector) < 1e-4 * slope(users, wrong, vector)
    assert slope(users, right, vector) < 1e-4 * slope(users, [0, *right], vector)


@pytest.mark.parametrize("words", [("BPR",), ("VBPR", "--preset=original")], ids=" ".join)
def test_the_prior_is_the_one_that_gives_known_users_their_own_vectors_back(
    words: tuple[str, ...], finished: MakeRun
) -> None:
    """Of 8 sizes relative to trained vectors; a constant column (VBPR's ones) has no say."""
    run = load_run(finished(*words))
    users, table = folded(run), score_tables(run.model)[0].double()
    histories = interactions(run, ("train",))
    constant = (table == table[1]).all(dim=0)
    assert int(constant.sum()) == (words[0] == "VBPR")
    size = table[1:, ~constant].square().mean().sqrt()
    likeness = {}
    for strength in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        prior = Prior(table[1] * constant, strength * size * ~constant)
        cosines = []
        for user in np.linspace(1, len(table) - 1, 16).astype(int):
            vector = users.vector(torch.from_numpy(histories[user].indices).long(), prior)
            cosines.append(F.cosine_similarity(vector[~constant], table[user, ~constant], dim=0))
        likeness[strength] = float(torch.stack(cosines).mean())
    best = max(likeness, key=likeness.__getitem__)
    torch.testing.assert_close(users.prior.scale, best * size * ~constant)
    torch.testing.assert_close(users.prior.mean, table[1] * constant)


class Sealed:
    """A split that nobody may read."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"`{name}` was read")


def test_folding_in_reads_the_training_split_alone(finished: MakeRun) -> None:
    run = load_run(finished("BPR"))
    for part in set(run.parts) - {"train"}:
        run.parts[part] = Sealed()
    expected = folded(run).scores([HISTORY])
    torch.testing.assert_close(Scorer(run).new([HISTORY]), expected)


def test_a_sample_of_a_large_catalogue_has_no_padding_and_follows_the_seed(
    finished: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_users_module, "_MAX_NEGATIVES", 20)
    users = folded(load_run(finished("BPR")))
    n_items = len(users.items)
    drawn = [users._negatives(n_items, seed) for seed in (*range(30), 0)]
    assert all(int(sample.sum()) == 20 for sample in drawn)
    together = torch.stack(drawn).any(dim=0)
    assert not together[0]
    assert bool(together[1:].all()), "every item may be drawn, the last one, too"
    assert torch.equal(drawn[0], drawn[-1])
    assert not torch.equal(drawn[0], drawn[1])
