"""Every ranking metric against its definition, written out user by user."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log, log2
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import MakeConfig

from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.collector import FastCollector
from recbole_painvrl.evaluation.list_metrics import gini_index, shannon_entropy
from recbole_painvrl.evaluation.per_user import PerUserEvaluator

ALL = (
    "[Recall,NDCG,Precision,Hit,MRR,MAP,GAUC,ItemCoverage,ShannonEntropy,GiniIndex,"
    "AveragePopularity,TailPercentage]"
)
N_USERS, N_ITEMS, K = 17, 25, 6


class World:
    """Scores, excluded items and positives of a small catalogue; item 0 is padding."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.scores = rng.normal(size=(N_USERS, N_ITEMS + 1))
        # Ties in the ranking, which only GAUC looks at as such.
        self.scores[4, 5:9] = self.scores[4, 5]
        seen = rng.random(self.scores.shape) < 0.4
        # A user with three candidates, fewer than K.
        seen[2, 4:] = True
        seen[2, 1:4] = False
        seen[:, 0] = True
        self.scores[seen] = -np.inf
        self.positives = [
            set(rng.choice(np.flatnonzero(~row), size=rng.integers(1, 3), replace=False).tolist())
            for row in seen
        ]
        self.popularity = np.concatenate([[0], rng.integers(0, 9, N_ITEMS)])

    def ranking(self, user: int) -> list[int]:
        """Candidates of a user, best first."""
        order = np.argsort(-self.scores[user], kind="stable")
        return [int(item) for item in order if np.isfinite(self.scores[user, item])]

    def lists(self, k: int) -> list[list[int]]:
        return [self.ranking(user)[:k] for user in range(N_USERS)]


def found(world: World, config: Any) -> dict[str, float]:
    collector, evaluator = FastCollector(config), PerUserEvaluator(config)
    items = torch.from_numpy(np.repeat(np.arange(N_ITEMS + 1), world.popularity))
    dataset = SimpleNamespace(
        inter_feat={"item_id": items}, iid_field="item_id", item_num=N_ITEMS + 1,
        num=lambda field: N_ITEMS + 1, item_counter=Counter(items.tolist()),
    )  # fmt: skip
    collector.data_collect(SimpleNamespace(_dataset=dataset, dataset=dataset))
    for first, last in pairwise([0, 5, 11, N_USERS]):
        rows = [(u - first, i) for u in range(first, last) for i in sorted(world.positives[u])]
        users, positives = (torch.tensor(column) for column in zip(*rows, strict=True))
        block = torch.from_numpy(world.scores[first:last])
        collector.eval_batch_collect(block, None, users, positives)
    return dict(evaluator.evaluate(collector.get_data_struct()))


def expected(world: World, k: int, tail: float) -> dict[str, float]:
    lists = world.lists(k)
    hits = [[item in world.positives[u] for item in one] for u, one in enumerate(lists)]
    n_positives = [len(one) for one in world.positives]
    every = [item for one in lists for item in one]
    counts = sorted(every.count(item) for item in range(1, N_ITEMS + 1))
    by_popularity = sorted(range(1, N_ITEMS + 1), key=lambda item: (world.popularity[item], item))
    least = set(by_popularity[: int(tail * N_ITEMS)])
    if tail > 1:
        least = {item for item in by_popularity if world.popularity[item] <= tail}

    def mean(values: Any) -> float:
        return float(np.mean(list(values)))

    def ndcg(row: list[bool], n: int) -> float:
        ideal = sum(1 / log2(rank + 2) for rank in range(min(n, k)))
        return sum(1 / log2(rank + 2) for rank, hit in enumerate(row) if hit) / ideal

    def precision_at_hits(row: list[bool], n: int) -> float:
        return sum(sum(row[: r + 1]) / (r + 1) for r, hit in enumerate(row) if hit) / min(n, k)

    rows = list(zip(hits, n_positives, strict=True))
    return {
        "recall": mean(sum(row) / n for row, n in rows),
        "ndcg": mean(ndcg(row, n) for row, n in rows),
        "precision": mean(sum(row) / k for row in hits),
        "hit": mean(any(row) for row in hits),
        "mrr": mean(1 / (row.index(True) + 1) if any(row) else 0 for row in hits),
        "map": mean(precision_at_hits(row, n) for row, n in rows),
        "itemcoverage": len(set(every)) / N_ITEMS,
        "shannonentropy": -sum(
            every.count(i) / len(every) * log(every.count(i) / len(every)) for i in set(every)
        ),
        "giniindex": sum((2 * i - N_ITEMS - 1) * c for i, c in enumerate(counts, start=1))
        / (N_ITEMS * len(every)),
        "averagepopularity": mean(mean(world.popularity[i] for i in one) for one in lists),
        "tailpercentage": mean(mean(i in least for i in one) for one in lists),
    }


def gauc(world: World) -> float:
    """AUC of every user, ties half, weighted by the user's positives."""
    total = weight = 0.0
    for user, positives in enumerate(world.positives):
        score, candidates = world.scores[user], world.ranking(user)
        others = [item for item in candidates if item not in positives]
        if not others:
            continue
        wins = sum(
            (score[p] > score[o]) + 0.5 * (score[p] == score[o]) for p in positives for o in others
        )
        total += wins / len(others)
        weight += len(positives)
    return total / weight


@pytest.mark.parametrize("tail", [0.2, 0.3, 3])
def test_all_of_them(tail: float, tiny_config: MakeConfig) -> None:
    config = tiny_config("BPR", f"--metrics={ALL}", f"--topk=[2,{K}]", "--valid_metric=NDCG@2",
                         f"--tail_ratio={tail}", "--metric_decimal_place=9")  # fmt: skip
    world = World()
    got = found(world, config)
    right = {f"{n}@{k}": v for k in (2, K) for n, v in expected(world, k, tail).items()}
    right["gauc"] = gauc(world)
    assert got == {name: pytest.approx(value, abs=1e-6) for name, value in right.items()}
    assert all(type(value) is float for value in got.values())


def test_bounds_of_diversity() -> None:
    """Everybody the same item: no entropy, most unequal; every item once: the other ends."""
    n = 12
    same, every = np.full((n, 1), 7), np.arange(1, n + 1)[:, None]
    assert shannon_entropy(same) == pytest.approx(0)
    assert shannon_entropy(every) == pytest.approx(log(n))
    assert gini_index(same, n) == pytest.approx((n - 1) / n)
    assert gini_index(every, n) == pytest.approx(0)


def test_scores_that_are_no_probabilities(tiny_config: MakeConfig) -> None:
    config = tiny_config("NeuMF", "--metrics=[LogLoss]", "--valid_metric=LogLoss",
                         "--eval_args={mode: uni5}")  # fmt: skip
    evaluator = PerUserEvaluator(config)
    data = {"rec.score": torch.tensor([0.2, 0.9]), "data.label": torch.tensor([0.0, 1.0])}
    value = evaluator.evaluate(data)["logloss"]
    assert value == pytest.approx(-(log(0.8) + log(0.9)) / 2, abs=1e-6)
    data["rec.score"] = torch.tensor([0.2, 1.9])
    with pytest.raises(UserError, match=r"LogLoss.*from 0.2 to 1.9, expected probabilities"):
        evaluator.evaluate(data)
