"""The fast evaluation loader gives RecBole's users, positives and history."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.sampler import Sampler
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import FastEvaluationLoader, evaluation_loader
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID


@pytest.fixture
def pair(tiny_config: MakeConfig) -> tuple[Any, Any]:
    """Our loader and RecBole's of the IID test after training and validation."""
    # 91 items: 7 users a block, the last one shorter.
    config = tiny_config("BPR", "--eval_batch_size=700")
    parts = ModalityDataset(config).build_parts()
    history = [parts[TRAIN], parts[VALID]]
    own = evaluation_loader(config, history, parts[TEST], "test")
    assert isinstance(own, FastEvaluationLoader)
    sampler = Sampler(["a", "b", "test"], [*history, parts[TEST]]).set_phase("test")
    return own, FullSortEvalDataLoader(config, parts[TEST], sampler)


def pairs(rows: torch.Tensor, items: torch.Tensor) -> list[tuple[int, int]]:
    return sorted(zip(rows.tolist(), items.tolist(), strict=True))


def test_every_block_is_recboles(pair: tuple[Any, Any]) -> None:
    own, other = pair
    assert len(own) == len(other) > 2
    assert torch.equal(own.uid_list, other.uid_list)
    assert (own.uid2items_num == other.uid2items_num).all()
    for (users, history, *positives), (same, known, *expected) in zip(own, other, strict=True):
        assert set(users.columns) == set(same.columns)
        assert all(torch.equal(users[name], same[name]) for name in users.columns)
        assert pairs(*history) == pairs(*known)
        assert pairs(*positives) == pairs(*expected)


def test_a_user_without_history_in_the_block(pair: tuple[Any, Any]) -> None:
    own, _ = pair
    own._history.lengths[3] = 0
    (_, (rows, _), *_) = next(iter(own))
    assert 3 not in rows.tolist()
    assert {0, 1, 2, 4} <= set(rows.tolist())
