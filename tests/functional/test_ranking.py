"""``mean_ndcg`` is RecBole's NDCG, and never ranks padding or history."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
import torch
from recbole.evaluator.metrics import NDCG

from recbole_painvrl.functional.ranking import mean_ndcg

N_USERS, N_ITEMS, TOP = 23, 31, 10


@pytest.mark.parametrize("block", [4, 1024])
@pytest.mark.parametrize("seed", range(2))
def test_is_recboles_ndcg(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # RecBole's Config sets this alias for the whole process; here none was made.
    monkeypatch.setattr(np, "float", float, raising=False)
    rng = np.random.default_rng(seed)
    users = torch.from_numpy(rng.standard_normal((N_USERS, 4)))
    items = torch.from_numpy(rng.standard_normal((N_ITEMS, 4)))
    items[0] = 100.0  # padding would win if it were ranked
    part = rng.choice(3, size=(N_USERS, N_ITEMS), p=[0.5, 0.3, 0.2])
    part[0], part[:, 0] = 0, 0
    part[5] = np.minimum(part[5], 1)  # a user without positives does not count
    history, positives = (
        tuple(torch.from_numpy(side) for side in np.nonzero(part == kind)) for kind in (1, 2)
    )
    found = mean_ndcg(users, items, history, positives, TOP, block)

    scores = (users @ items.T).numpy()
    scores[part == 1] = -np.inf
    scores[:, 0] = -np.inf
    with_positives = np.flatnonzero((part == 2).any(axis=1))
    top = np.argsort(-scores[with_positives], axis=1)[:, :TOP]
    hits = np.take_along_axis(part[with_positives] == 2, top, axis=1)
    n_positives = (part[with_positives] == 2).sum(axis=1)
    metric = NDCG({"topk": [TOP], "metric_decimal_place": 8})
    expected = metric.metric_info(hits, n_positives)[:, TOP - 1].mean()
    assert found == pytest.approx(float(expected), abs=1e-9)


def test_by_hand() -> None:
    """Order 3, 1, 2, 4; item 3 is known. Positives 1 and 4: ranks 1 and 3 of 1, 2, 4."""
    users = torch.tensor([[0.0], [1.0]])
    items = torch.tensor([[9.0], [3.0], [2.0], [4.0], [1.0]])
    pairs = torch.tensor([1, 1]), torch.tensor([1, 4])
    history = torch.tensor([1]), torch.tensor([3])
    assert mean_ndcg(users, items, history, pairs) == pytest.approx(
        (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3))
    )
    # At 1 the ideal has one hit, too.
    assert mean_ndcg(users, items, history, pairs, k=1) == pytest.approx(1.0)
    # What is to be found is ranked even where it is known: item 3 is at rank 1 again.
    both = torch.tensor([1, 1]), torch.tensor([3, 1])
    assert mean_ndcg(users, items, history, both) == pytest.approx(1.0)
