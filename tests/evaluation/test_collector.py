"""Our collector keeps what RecBole's keeps, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.evaluator.collector import Collector

from recbole_painvrl.evaluation.collector import FastCollector, top_hits


def config(metrics: list[str]) -> dict[str, Any]:
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
    own, other = FastCollector(config(metrics)), Collector(config(metrics))
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


def test_hits_of_a_hand_example() -> None:
    top = torch.tensor([[4, 1], [2, 3]])
    hits = top_hits(top, torch.tensor([0, 1, 1]), torch.tensor([1, 2, 4]), 5)
    assert hits.tolist() == [[0, 1, 1], [1, 0, 2]]
