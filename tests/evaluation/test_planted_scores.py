"""Scores against planted truth, each with its control."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.folder import Truth
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation import planted
from recbole_painvrl.evaluation.planted import (
    environment_scores,
    mask_scores,
    oracle_mask,
    true_environments,
)

SLICES = {"text": slice(0, 3), "visual": slice(3, 7), "acoustic": slice(7, 9)}
NO_ENVIRONMENTS = pd.DataFrame(columns=["user_id", "item_id", "environment"])
TRUTH = Truth(
    {"visual": np.array([True, True, False, False]), "acoustic": np.array([False, True])},
    NO_ENVIRONMENTS,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_auc_by_hand() -> None:
    """visual: pairs (invariant, spurious) in order 3 of 4; acoustic: 1 of 1; text is unknown."""
    mask = torch.tensor([0.0, 0.0, 0.0, 0.9, 0.4, 0.5, 0.1, 0.2, 0.6])
    scores = mask_scores(mask, TRUTH, SLICES, rng())
    assert set(scores) == {"visual", "acoustic", "overall"}
    assert scores["visual"]["auc"] == pytest.approx(3 / 4)
    assert scores["acoustic"]["auc"] == 1.0
    # Invariant .9 .4 .6 against spurious .5 .1 .2: 9 pairs, only .4 < .5 is wrong.
    assert scores["overall"]["auc"] == pytest.approx(8 / 9)
    assert scores["overall"]["mean_invariant"] == pytest.approx((0.9 + 0.4 + 0.6) / 3)
    assert scores["overall"]["mean_spurious"] == pytest.approx((0.5 + 0.1 + 0.2) / 3)


@pytest.mark.filterwarnings("error")
def test_columns_of_one_kind_have_no_auc() -> None:
    mask = torch.linspace(0, 1, 9)
    alike = {"visual": np.ones(4, dtype=bool), "acoustic": np.array([False, True])}
    assert set(mask_scores(mask, Truth(alike, NO_ENVIRONMENTS), SLICES, rng())) == {
        "acoustic", "overall",
    }  # fmt: skip
    kinds = {"visual": np.ones(4, dtype=bool), "acoustic": np.zeros(2, dtype=bool)}
    assert set(mask_scores(mask, Truth(kinds, NO_ENVIRONMENTS), SLICES, rng())) == {"overall"}
    one = {"visual": np.ones(4, dtype=bool)}
    for columns in (one, {}):
        assert mask_scores(mask, Truth(columns, NO_ENVIRONMENTS), SLICES, rng()) == {}


def test_shuffled_truth_is_chance() -> None:
    truth = Truth({"visual": np.arange(200) % 2 == 0}, NO_ENVIRONMENTS)
    mask = torch.from_numpy(truth.columns["visual"]).float()
    scores = mask_scores(mask, truth, {"visual": slice(0, 200)}, rng())
    assert scores["visual"]["auc"] == 1.0
    assert scores["visual"]["auc_shuffled"] == pytest.approx(0.5, abs=0.02)


def test_oracle_mask_drops_spurious_columns_alone() -> None:
    assert oracle_mask(TRUTH, SLICES, 9).tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 1]


def test_environment_scores() -> None:
    truth = torch.tensor([0, 1] * 100)
    # Item 1 is liked in environment 0, item 2 in environment 1; item 0 is padding.
    items, features = truth + 1, torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    scores = environment_scores(1 - truth, truth, items, features, rng())
    assert scores["ari"] == 1.0, "names do not matter"
    assert scores["ari_supervised"] == 1.0
    assert abs(scores["ari_shuffled"]) < 0.1
    random = torch.randint(0, 2, (200,), generator=torch.Generator().manual_seed(0))
    assert abs(environment_scores(random, truth, items, features, rng())["ari"]) < 0.1


def test_the_supervised_score_is_that_of_all_interactions() -> None:
    """Rows of one item and environment are counted, not repeated: the same classifier."""
    source = np.random.default_rng(0)
    features = torch.from_numpy(source.normal(size=(12, 3)))
    items = torch.from_numpy(source.integers(1, 12, 400))
    truth = torch.from_numpy((source.random(400) < features[items, 0].sigmoid().numpy()) * 1)
    classifier = LogisticRegression(max_iter=500).fit(features[items].numpy(), truth.numpy())
    expected = adjusted_rand_score(truth, classifier.predict(features[items].numpy()))
    scores = environment_scores(truth, truth, items, features, rng())
    assert scores["ari_supervised"] == pytest.approx(expected)


def test_truth_of_another_split_is_refused(tiny_config: MakeConfig) -> None:
    parts = ModalityDataset(tiny_config("UltraGCN")).build_parts()
    train, ood = parts[TRAIN], parts["ood"].inter_feat
    with pytest.raises(UserError, match="no planted environment; use `--protocol=files`"):
        true_environments(train, ood[train.uid_field], ood[train.iid_field])


def test_of_a_repeated_pair_the_last_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "x", 0), ("b", "x", 1), ("a", "x", 2), ("c", "y", 0)]
    truth = Truth({}, pd.DataFrame(rows, columns=["user_id", "item_id", "environment"]))
    monkeypatch.setattr(planted, "planted_truth", lambda dataset: truth)
    # User c is not in the data set.
    dataset: Any = SimpleNamespace(
        uid_field="user", iid_field="item",
        field2token_id={"user": {"a": 1, "b": 2}, "item": {"x": 1, "y": 2}},
    )  # fmt: skip
    found = true_environments(dataset, torch.tensor([2, 1]), torch.tensor([1, 1]))
    assert found is not None and found.tolist() == [1, 2]
