"""Negatives: uniform over the real items, never padding, never a positive where asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from recbole_painvrl.data.negatives import NegativeSampler, NegativeSampling, PairSet, sorted_keys

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
