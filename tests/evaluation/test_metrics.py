"""Every metric against its definition, user by user; our collector keeps what RecBole's keeps."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log, log2
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import Collector
from support import MakeConfig

from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.collector import FastCollector
from recbole_painvrl.evaluation.list_metrics import gini_index, shannon_entropy
from recbole_painvrl.evaluation.per_user import PerUserEvaluator, ndcg_hits


def collected(metrics: list[str]) -> dict[str, Any]:
    return {
        "metrics": metrics,
        "topk": [3, 5],
        "eval_args": {"mode": {"valid": "full", "test": "full"}},
        "device": torch.device("cpu"),
        "LABEL_FIELD": "label",
    }


@pytest.mark.parametrize(
    "metrics",
    [["recall", "itemcoverage"], ["itemcoverage"], ["mrr", "gauc"]],
)
def test_equal_to_recboles(metrics: list[str]) -> None:
    own, other = FastCollector(collected(metrics)), Collector(collected(metrics))
    for block in range(3):
        scores = torch.randn(6, 20)
        scores[:, 0] = -torch.inf
        rows, items = torch.nonzero(torch.rand(6, 20) < 0.3, as_tuple=True)
        keep = (items > 0) & (rows != block)  # a user without positives
        for collector in (own, other):
            collector.eval_batch_collect(scores.clone(), None, rows[keep], items[keep])
    got, expected = (collector.get_data_struct()._data_dict for collector in (own, other))
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name].dtype == values.dtype
        assert torch.equal(got[name], values)


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

    def precision_at_hits(row: list[bool], n: int) -> float:
        return sum(sum(row[: r + 1]) / (r + 1) for r, hit in enumerate(row) if hit) / min(n, k)

    rows = list(zip(hits, n_positives, strict=True))
    return {
        "recall": mean(sum(row) / n for row, n in rows),
        "ndcg": mean(standard_ndcg(row, n) for row, n in rows),
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


def standard_ndcg(hits: list[bool], n_positives: int) -> float:
    gained = sum(1 / log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    return gained / sum(1 / log2(rank + 2) for rank in range(min(n_positives, len(hits))))


def test_ndcg_hits_by_hand() -> None:
    """Hits at ranks 2 and 3 of 3: the ideal holds two hits, wherever the positives are."""
    hits = np.array([[False, True, True], [False, False, False], [True, False, False]])
    expected = [(1 / log2(3) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3)), 0.0, 1.0]
    assert ndcg_hits(hits).tolist() == pytest.approx(expected)


@given(
    hits=st.lists(st.booleans(), min_size=1, max_size=12),
    missed=st.integers(min_value=0, max_value=20),
)
def test_never_below_the_standard(hits: list[bool], missed: int) -> None:
    n_positives = sum(hits) + missed
    if n_positives == 0:
        return
    ours, standard = ndcg_hits(np.array([hits]))[0], standard_ndcg(hits, n_positives)
    assert ours >= standard - 1e-12
    assert 0 <= ours <= 1 + 1e-12
    if missed == 0 or all(hits):
        assert ours == pytest.approx(standard)


@pytest.mark.parametrize("extra", [False, True])
def test_means_are_recboles_and_per_user_means_are_the_means(
    tiny_config: MakeConfig, extra: bool
) -> None:
    config = tiny_config(
        "BPR", "--metrics=[Recall,NDCG,Precision,Hit,MRR,MAP]", "--topk=[3,10]",
        "--metric_decimal_place=8", f"--ndcg_hits={extra}",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    hits = rng.random((50, 10)) < 0.2
    n_positives = hits.sum(axis=1) + rng.integers(1, 5, 50)
    collected = {"rec.topk": torch.from_numpy(np.column_stack([hits, n_positives]).astype(int))}

    class Struct:
        def get(self, name: str) -> torch.Tensor:
            return collected[name]

    evaluator = PerUserEvaluator(config)
    found, recbole = evaluator.evaluate(Struct()), Evaluator(config).evaluate(Struct())
    for name, value in recbole.items():
        assert found[name] == pytest.approx(value)
        assert evaluator.per_user[name].shape == (50,)
        assert evaluator.per_user[name].mean() == pytest.approx(float(value), abs=1e-7)
    assert ("ndcg_hits@10" in found) == extra
    for user in range(50):
        expected = standard_ndcg(hits[user].tolist(), n_positives[user])
        assert evaluator.per_user["ndcg@10"][user] == pytest.approx(expected)
    if extra:
        for k in (3, 10):
            assert (
                evaluator.per_user[f"ndcg_hits@{k}"] >= evaluator.per_user[f"ndcg@{k}"] - 1e-12
            ).all()
            assert found[f"ndcg_hits@{k}"] == pytest.approx(ndcg_hits(hits[:, :k]).mean())
