"""Metrics per user are RecBole's, and NDCG by hits is the papers'."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.evaluator import Evaluator
from support import MakeConfig

from recbole_painvrl.evaluation.per_user import PerUserEvaluator, ndcg_hits


def standard_ndcg(hits: list[bool], n_positives: int) -> float:
    gained = sum(1 / log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    return gained / sum(1 / log2(rank + 2) for rank in range(min(n_positives, len(hits))))


def test_by_hand() -> None:
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
