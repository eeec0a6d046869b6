"""The fast loaders: RecBole's batches in RecBole's order; negatives of the same law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.sampler import Sampler
from scipy.stats import chisquare
from support import MakeConfig, id_pairs

from recbole_painvrl.data import loaders as fast_loader_module
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import (
    FastEvaluationLoader,
    FastTrainLoader,
    can_be_fast,
    evaluation_loader,
    training_loader,
)
from recbole_painvrl.data.negatives import NegativeSampler, NegativeSampling, PairSet, sorted_keys
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID
from recbole_painvrl.errors import UserError


def loaders(make: MakeConfig, model: str, *argv: str) -> tuple[Any, Any]:
    """The fast loader and RecBole's over the same training part."""
    pair = []
    for fast in ("True", "False"):
        config = make(model, f"--fast_loader={fast}", *argv)
        pair.append(training_loader(config, ModalityDataset(config).build_parts()[TRAIN]))
    assert isinstance(pair[0], FastTrainLoader)
    assert not isinstance(pair[1], FastTrainLoader)
    return pair[0], pair[1]


@pytest.mark.parametrize("argv", [(), ("--shuffle=False",), ("--train_batch_size=64",)])
def test_without_negatives_every_batch_is_recboles(
    argv: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    fast, slow = loaders(tiny_config, "UltraGCN", *argv)
    assert len(fast) == len(slow)
    for _ in range(2):
        for own, other in zip(fast, slow, strict=True):
            assert set(own.columns) == set(other.columns)
            assert all(torch.equal(own[name], other[name]) for name in own.columns)
        assert torch.equal(fast.generator.get_state(), slow.generator.get_state())


@pytest.mark.parametrize("sample_num", [1, 3])
def test_pairs_come_in_recboles_order_and_arrangement(
    sample_num: int, tiny_config: MakeConfig
) -> None:
    negatives = f"--train_neg_sample_args={{'distribution': 'uniform', 'sample_num': {sample_num}}}"
    fast, slow = loaders(tiny_config, "BPR", negatives, "--train_batch_size=256")
    assert len(fast) == len(slow)
    for own, other in zip(fast, slow, strict=True):
        assert set(own.columns) == set(other.columns)
        for name in own.columns:
            assert own[name].dtype == other[name].dtype
            if name != fast.neg_item_id:
                assert torch.equal(own[name], other[name])


def drawn(loader: Any, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """Users and their negatives of some epochs."""
    batches = [
        (batch[loader.uid_field], batch[loader.neg_item_id])
        for _ in range(epochs)
        for batch in loader
    ]
    return tuple(torch.cat(part).numpy() for part in zip(*batches, strict=True))  # type: ignore[return-value]


def test_negatives_are_uniform_over_what_the_user_lacks(tiny_config: MakeConfig) -> None:
    fast, _ = loaders(tiny_config, "BPR")
    users, items = drawn(fast, 60)
    known = set(id_pairs(fast.dataset))
    assert not known & set(zip(users.tolist(), items.tolist(), strict=True))
    for user in (1, 7, 50):
        owned = {item for owner, item in known if owner == user}
        free = [item for item in range(1, fast.dataset.item_num) if item not in owned]
        counts = np.bincount(items[users == user], minlength=fast.dataset.item_num)
        assert counts.sum() == counts[free].sum()
        assert chisquare(counts[free]).pvalue > 0.001


def test_negatives_of_every_block_are_those_of_its_users(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of two batches: the users keep RecBole's order, and no negative is their own item."""
    monkeypatch.setattr(fast_loader_module, "_BLOCK", 128)
    fast, slow = loaders(tiny_config, "BPR", "--train_batch_size=64")
    assert len(fast) > 4
    known = set(id_pairs(fast.dataset))
    users, items = drawn(fast, 1)
    assert (users == drawn(slow, 1)[0]).all()
    assert not known & set(zip(users.tolist(), items.tolist(), strict=True))
    assert len(np.unique(items)) > 0.9 * fast.dataset.item_num


def test_every_epoch_and_seed_has_its_own_draws(tiny_config: MakeConfig) -> None:
    first, _ = loaders(tiny_config, "BPR")
    again, _ = loaders(tiny_config, "BPR")
    other, _ = loaders(tiny_config, "BPR", "--seed=1")
    epochs = [drawn(first, 1)[1] for _ in range(2)]
    assert (epochs[0] == drawn(again, 1)[1]).all()
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[0] != drawn(other, 1)[1]).any()


def test_the_generator_is_all_that_an_epoch_depends_on(tiny_config: MakeConfig) -> None:
    first, _ = loaders(tiny_config, "BPR")
    drawn(first, 2)
    state = first.generator.get_state()
    expected = drawn(first, 1)
    fresh, _ = loaders(tiny_config, "BPR")
    fresh.generator.set_state(state)
    assert all((a == b).all() for a, b in zip(expected, drawn(fresh, 1), strict=True))


@pytest.mark.parametrize(
    ("model", "argv"),
    [
        ("BPR", ("--fast_loader=False",)),
        ("BPR", ("--train_neg_sample_args={'distribution': 'popularity', 'sample_num': 1}",)),
        ("NeuMF", ()),
        ("MultiVAE", ()),
    ],
)
def test_what_it_cannot_serve_keeps_recboles_loader(
    model: str, argv: tuple[str, ...], tiny_config: MakeConfig
) -> None:
    assert not can_be_fast(tiny_config(model, *argv))


def test_a_user_with_every_item_is_an_error(tiny_config: MakeConfig) -> None:
    config = tiny_config("BPR")
    train = ModalityDataset(config).build_parts()[TRAIN]
    everything = torch.arange(1, train.item_num)
    train.inter_feat.interaction.update(
        user_id=torch.cat([train.inter_feat["user_id"], torch.ones_like(everything)]),
        item_id=torch.cat([train.inter_feat["item_id"], everything]),
    )
    with pytest.raises(UserError, match="1 users have interacted with all items"):
        training_loader(config, train)


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


@pytest.mark.parametrize("sample_num", [2, 5])
def test_each_of_several_negatives_is_of_its_own_user(
    sample_num: int, tiny_config: MakeConfig
) -> None:
    """Rows are repeated, and no repetition has an item of its user as its negative."""
    negatives = f"--train_neg_sample_args={{'distribution': 'uniform', 'sample_num': {sample_num}}}"
    config = tiny_config("BPR", negatives, "--train_batch_size=256")
    train = ModalityDataset(config).build_parts()[TRAIN]
    known = set(id_pairs(train))
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


N_ITEMS = 21


def sampler(
    mode: NegativeSampling, n: int = 50, keys: torch.Tensor | None = None, seed: int = 0
) -> NegativeSampler:
    return NegativeSampler(N_ITEMS, n, mode, torch.Generator().manual_seed(seed), keys)


@pytest.mark.parametrize(("mode", "shape"), [("shared", (50,)), ("per_positive", (8, 50))])
def test_shape_and_same_seed(mode: NegativeSampling, shape: tuple[int, ...]) -> None:
    users = torch.arange(8)
    first = sampler(mode).draw(users)
    assert first.shape == shape
    assert torch.equal(first, sampler(mode).draw(users))
    assert not torch.equal(first, sampler(mode, seed=1).draw(users))


@pytest.mark.parametrize("mode", ["shared", "per_positive"])
def test_uniform_over_all_items_but_padding(mode: NegativeSampling) -> None:
    drawn = sampler(mode, 20_000).draw(torch.arange(1))
    counts = np.bincount(drawn.flatten().numpy(), minlength=N_ITEMS)
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > 0.001


def test_excluded_positives_are_never_drawn_and_the_rest_stays_uniform() -> None:
    users = torch.tensor([1, 1, 1, 2, 2, 4])
    items = torch.tensor([3, 7, 20, 1, 2, 5])
    keys = sorted_keys(users, items, N_ITEMS)
    drawn = sampler("per_positive", 20_000, keys).draw(torch.tensor([1, 2, 3, 4]))
    forbidden = [{3, 7, 20}, {1, 2}, set(), {5}]
    for row, positives in zip(drawn.numpy(), forbidden, strict=True):
        counts = np.bincount(row, minlength=N_ITEMS)
        free = [item for item in range(1, N_ITEMS) if item not in positives]
        assert counts[free].sum() == len(row), "neither padding nor positives"
        assert chisquare(counts[free]).pvalue > 0.001


def test_a_shared_pool_excludes_nothing() -> None:
    """It cannot suit every user: the training positives leave it as it is."""
    users = torch.tensor([1, 2])
    keys = sorted_keys(users.repeat_interleave(19), torch.arange(1, 20).repeat(2), N_ITEMS)
    assert torch.equal(sampler("shared", 50, keys).draw(users), sampler("shared", 50).draw(users))


def test_keys_are_sorted_and_distinct() -> None:
    keys = sorted_keys(torch.tensor([2, 1, 2]), torch.tensor([3, 4, 3]), 10)
    assert keys.tolist() == [14, 23]


@pytest.mark.parametrize("n_keys", [0, 1, 50, 5_000])
def test_a_set_of_pairs_is_exact(n_keys: int) -> None:
    source = torch.Generator().manual_seed(n_keys)
    keys = torch.unique(torch.randint(0, 40_000, (n_keys,), generator=source))
    pairs = PairSet(keys)
    asked = torch.randint(0, 40_000, (30_000,), generator=source)
    asked[:: max(1, n_keys)] = keys[0] if n_keys else 7
    expected = torch.isin(asked, keys).nonzero().squeeze(-1)
    assert torch.equal(pairs.contained(asked), expected)
    large = keys + 2**61
    assert torch.equal(PairSet(large).contained(asked + 2**61), expected)


def test_a_user_who_has_every_item_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = sorted_keys(torch.ones(N_ITEMS - 1), torch.arange(1, N_ITEMS), N_ITEMS)
    original, calls = NegativeSampler._uniform, []

    def counted(self: NegativeSampler, *shape: int) -> torch.Tensor:
        calls.append(shape)
        assert len(calls) < 10_000, "draws for ever"
        return original(self, *shape)

    monkeypatch.setattr(NegativeSampler, "_uniform", counted)
    drawn = sampler("per_positive", 5, keys).draw(torch.tensor([1, 2]))
    assert drawn.shape == (2, 5)
