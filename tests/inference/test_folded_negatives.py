"""What a new user's vector is pushed away from, against the loss written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from serving_support import MakeRun
from torch import Tensor

from recbole_painvrl.functional.fold_in import Prior
from recbole_painvrl.inference import new_users as new_users_module
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.inference.new_users import FoldedVectors
from recbole_painvrl.inference.scoring import Scorer, interactions
from recbole_painvrl.inference.vectors import score_tables

pytestmark = pytest.mark.filterwarnings("ignore:torch.sparse.SparseTensor")
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
