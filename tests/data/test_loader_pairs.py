"""Users and items that the fast loaders put side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.sampler import Sampler
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import FastTrainLoader, evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID


def pairs(users: torch.Tensor, items: torch.Tensor) -> list[tuple[int, int]]:
    return sorted(zip(users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize("sample_num", [2, 5])
def test_each_of_several_negatives_is_of_its_own_user(
    sample_num: int, tiny_config: MakeConfig
) -> None:
    """Rows are repeated, and no repetition has an item of its user as its negative."""
    negatives = f"--train_neg_sample_args={{'distribution': 'uniform', 'sample_num': {sample_num}}}"
    config = tiny_config("BPR", negatives, "--train_batch_size=256")
    train = ModalityDataset(config).build_parts()[TRAIN]
    known = set(pairs(train.inter_feat["user_id"], train.inter_feat["item_id"]))
    loader, n_rows = training_loader(config, train), 0
    assert isinstance(loader, FastTrainLoader)
    for batch in loader:
        drawn = pairs(batch["user_id"], batch[loader.neg_item_id])
        assert known.isdisjoint(drawn)
        n_rows += len(drawn)
    assert n_rows == sample_num * len(train)


def test_a_positive_that_is_known_from_training_is_a_candidate_all_the_same(
    tiny_config: MakeConfig,
) -> None:
    """Protocol `random` may put equal rows into two parts; RecBole ranks such an item, too."""
    config = tiny_config("BPR", "--eval_batch_size=700")
    parts: dict[str, Any] = ModalityDataset(config).build_parts()
    test, known = parts[TEST].inter_feat, parts[TRAIN].inter_feat
    twice = {f: torch.cat([known[f], test[f][::2]]) for f in ("user_id", "item_id")}
    known.interaction.update(twice)
    history = [parts[TRAIN], parts[VALID]]
    own = evaluation_loader(config, history, parts[TEST], "test")
    sampler = Sampler(["a", "b", "test"], [*history, parts[TEST]]).set_phase("test")
    recboles = FullSortEvalDataLoader(config, parts[TEST], sampler)
    for (_, seen, *positives), (_, expected, *_) in zip(own, recboles, strict=True):
        assert pairs(*seen) == pairs(*expected)
        assert set(pairs(*seen)).isdisjoint(pairs(*positives))
