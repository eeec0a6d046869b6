"""One key per (user, item) pair, with more items than users and with more users than items."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import MakeConfig, id_pairs, planted_data

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.data.negatives import sorted_keys
from recbole_painvrl.data.planted import PlantedDesign
from recbole_painvrl.data.splits.base import TEST, TRAIN, check_splits, distinct_rows
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.planted import planted_truth, true_environments
from recbole_painvrl.models.ultragcn import UltraGCN

SHAPES = {"more items": (12, 70), "more users": (90, 20)}
WORDS = ("--negative_sampling=per_positive", "--exclude_positives=True")


@pytest.fixture(scope="module", params=SHAPES)
def oblong(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a planted dataset of one of the shapes, called ``tiny``."""
    n_users, n_items = SHAPES[request.param]
    design = PlantedDesign(
        n_users, n_items, min_interactions=12, max_interactions=14, n_ood=2,
        modalities={"visual": 4},
    )  # fmt: skip
    return planted_data(design, tmp_path_factory.mktemp("oblong"))


def training_pairs(config: Any) -> tuple[Any, set[tuple[int, int]]]:
    """The training dataset and its pairs by RecBole's ids."""
    train = ModalityDataset(config).build_parts()[TRAIN]
    return train, set(id_pairs(train))


def test_negatives_avoid_exactly_the_users_own_items(oblong: Path, tiny_config: MakeConfig) -> None:
    """Of the model's own draws and of the loader's, for every user."""
    config = tiny_config("UltraGCN", *WORDS, "--n_negatives=600", data=oblong)
    train, pairs = training_pairs(config)
    model = UltraGCN(config, train)
    users = torch.arange(1, model.n_users)
    expected = [
        {item for item in range(1, model.n_items) if (user, item) not in pairs}
        for user in users.tolist()
    ]
    drawn = [set(row) for row in model.negatives.draw(users).tolist()]
    assert drawn == expected
    loader = training_loader(tiny_config("BPR", data=oblong), train)
    own: dict[int, set[int]] = {user: set() for user in users.tolist()}
    for _ in range(60):
        for batch in loader:
            rows = zip(batch["user_id"].tolist(), batch["neg_item_id"].tolist(), strict=True)
            for user, item in rows:
                own[user].add(item)
    assert all(own[user + 1] <= free for user, free in enumerate(expected))
    assert np.mean([len(own[user + 1]) / len(free) for user, free in enumerate(expected)]) > 0.9


def test_planted_environments_are_those_of_the_pair(oblong: Path, tiny_config: MakeConfig) -> None:
    train, _ = training_pairs(tiny_config("UltraGCN", data=oblong))
    truth = planted_truth(train)
    by_pair = {(u, i): int(e) for u, i, e in truth.environments.itertuples(index=False)}
    users, items = (train.inter_feat[name] for name in (train.uid_field, train.iid_field))
    found = true_environments(train, users, items)
    tokens = (train.id2token(f, n) for f, n in ((train.uid_field, users), (train.iid_field, items)))
    assert found.tolist() == [by_pair[pair] for pair in zip(*tokens, strict=True)]
    assert 0 < found.float().mean() < 1


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rows_are_distinct_by_both_ids(shape: tuple[int, int], tmp_path: Path) -> None:
    """All pairs of a block of ids, some of them twice."""
    rng = np.random.default_rng(0)
    pairs = list(itertools.product(range(1, shape[0] + 1), range(1, shape[1] + 1)))
    chosen = [pairs[n] for n in rng.integers(len(pairs), size=2 * len(pairs))]
    users, items = (np.array(side) for side in zip(*chosen, strict=True))
    first = [row for row, pair in enumerate(chosen) if chosen.index(pair) == row]
    assert distinct_rows(users, items).tolist() == first
    keys = sorted_keys(torch.from_numpy(users), torch.from_numpy(items), shape[1] + 1)
    assert len(keys) == len(set(chosen))
    # Distinct rows have no pair in two splits; a repeated row does, and is counted.
    half = len(first) // 2
    parts = {TRAIN: np.array(first[:half]), TEST: np.array(first[half:])}
    check_splits(parts, users, items, tmp_path)
    again = next(
        row for row, pair in enumerate(chosen) if chosen.index(pair) < row
        and chosen.index(pair) in parts[TRAIN]
    )  # fmt: skip
    parts[TEST] = np.append(parts[TEST], again)
    with pytest.raises(UserError, match=r"1 \(user, item\) pairs are in split `train`"):
        check_splits(parts, users, items, tmp_path)


def test_rows_without_ids_are_refused_with_their_number(tmp_path: Path) -> None:
    """Id 0 stands for a missing user or item; rows of other splits do not count."""
    users, items = np.array([1, 0, 2, 3, 0]), np.array([4, 5, 0, 6, 0])
    check_splits({TRAIN: np.array([0]), TEST: np.array([3])}, users, items, tmp_path)
    for rows, n in (([1, 3], 1), ([2, 3], 1), ([1, 2, 3, 4], 3)):
        with pytest.raises(UserError, match=f"{n} rows of split `test` lack a user or an item"):
            check_splits({TRAIN: np.array([0]), TEST: np.array(rows)}, users, items, tmp_path)
