"""Batches of distinct users, and the columns of MMSSL's discriminator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_painvrl.models.mmssl.adversary import drawn_columns
from recbole_painvrl.training.base import RunTrainer
from recbole_painvrl.training.user_batches import SampledUsersTrainer, UserBatches


def batches(matrix: Any, size: int, seed: int = 0) -> UserBatches:
    source = torch.Generator().manual_seed(seed)
    return UserBatches(sp.csr_matrix(matrix, dtype=np.float32), size, source, ("u", "i", "j"))


def planted_matrix() -> Any:
    dense = np.random.default_rng(0).random((40, 30)) < 0.2
    dense[0], dense[:, 0], dense[7] = False, False, False
    dense[1:3] = False
    dense[1, 5], dense[2, 6:12] = True, True
    return dense


def test_batches_are_distinct_users_with_a_positive_and_a_negative() -> None:
    dense = planted_matrix()
    drawn = batches(dense, 16)
    n = int(dense.sum())
    assert len(drawn) == n // 16 + 1 == len(list(drawn))
    positives: dict[int, set[int]] = {}
    for _ in range(40):
        for batch in drawn:
            users = batch["u"].tolist()
            assert len(set(users)) == 16
            assert not {0, 7} & set(users), "neither padding nor a user without interactions"
            for u, i, j in zip(users, batch["i"].tolist(), batch["j"].tolist(), strict=True):
                assert dense[u, i]
                assert j > 0 and not dense[u, j]
                positives.setdefault(u, set()).add(i)
    assert positives[1] == {5}
    assert positives[2] == set(range(6, 12)), "every positive comes up"
    assert set(positives) == set(np.flatnonzero(dense.any(axis=1)).tolist())


def test_batches_repeat_with_the_seed_and_take_all_users_if_there_are_few() -> None:
    dense = planted_matrix()
    first, again, other = (batches(dense, 1024, seed).draw() for seed in (1, 1, 2))
    assert len(first) == int(dense.any(axis=1).sum())
    for name in ("u", "i", "j"):
        assert torch.equal(first[name], again[name])
    assert not torch.equal(first["u"], other["u"])


def test_negatives_have_a_generator_of_their_own() -> None:
    """Other negatives leave users and positives alone, and the other way round."""
    matrix = sp.csr_matrix(planted_matrix(), dtype=np.float32)

    def drawn(seed: int, negative_seed: int) -> list[dict[str, Any]]:
        sources = (torch.Generator().manual_seed(n) for n in (seed, negative_seed))
        made = UserBatches(matrix, 16, next(sources), ("u", "i", "j"), next(sources))
        return [batch.interaction for batch in made]

    first, other, again = drawn(1, 2), drawn(1, 3), drawn(1, 2)
    for one, two, three in zip(first, other, again, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in ("u", "i"))
        assert all(torch.equal(one[name], three[name]) for name in "uij")
    assert any(not torch.equal(one["j"], two["j"]) for one, two in zip(first, other, strict=True))
    assert any(not torch.equal(first[0][name], drawn(4, 2)[0][name]) for name in ("u", "i"))


def test_every_batch_and_every_epoch_has_other_users() -> None:
    made = batches(planted_matrix(), 16)
    epochs = [torch.cat([batch["u"] for batch in made]) for _ in range(2)]
    assert not torch.equal(*epochs)
    assert not torch.equal(epochs[0][:16], epochs[0][16:32])


def test_seen_lists_the_training_items_of_the_batch() -> None:
    dense = planted_matrix()
    users = torch.tensor([5, 1, 39])
    rows, items = batches(dense, 8).seen(users)
    expected = [(row, i) for row, u in enumerate([5, 1, 39]) for i in np.flatnonzero(dense[u])]
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == expected


def test_columns_are_all_items_or_a_sample_that_stays() -> None:
    assert drawn_columns(None, 1, 9).tolist() == list(range(1, 9))
    assert drawn_columns(8, 1, 9).tolist() == list(range(1, 9))
    some = drawn_columns(20, 1, 1000)
    assert torch.equal(some, drawn_columns(20, 1, 1000))
    assert not torch.equal(some, drawn_columns(20, 2, 1000))
    assert len(some) == 20
    assert some.diff().min() > 0
    assert some[0] >= 1


def test_the_draws_of_an_epoch_depend_on_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed epoch has the same, and another epoch or seed has others."""

    def epoch(own: Any, batches: Any, *given: Any) -> list[int]:
        drawn = next(iter(batches))
        return [*drawn["u"].tolist(), *drawn["i"].tolist()]

    monkeypatch.setattr(RunTrainer, "_train_epoch", epoch)
    trainer: Any = SampledUsersTrainer.__new__(SampledUsersTrainer)
    trainer._users = batches(planted_matrix(), 16)
    found = []
    for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0)):
        trainer.model = SimpleNamespace(seed=seed)
        found.append(trainer._train_epoch(None, number))
    assert found[0] == found[3]
    assert found[0] != found[1] and found[0] != found[2]
