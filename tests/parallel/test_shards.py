"""Sums over shards are the whole: for any cuts, also empty ones, in one process."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data.interaction import Interaction
from support import MakeConfig
from torch import Tensor

from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.parallel.shards import OwnRows, UserShard, balanced_shards
from recbole_painvrl.run.build import build_data, build_model

CUTS = ((0, 121), (0, 40, 121), (0, 0, 7, 121, 121), (0, 1, 60, 61, 121), (0, 121, 121))


def shards(cuts: tuple[int, ...]) -> list[UserShard]:
    return [UserShard(*pair, cuts[-1], len(cuts) - 1) for pair in itertools.pairwise(cuts)]


@given(st.integers(17, 300), st.integers(1, 40), st.data())
def test_rows_of_a_shard_are_those_of_the_whole_table(
    n_users: int, width: int, data: st.DataObject
) -> None:
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, n_users)] * 2)))
    for block in (64, 1000):

        def normal(shard: UserShard) -> Tensor:
            source = torch.Generator().manual_seed(1)
            return shard.normal(width, source)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("recbole_painvrl.parallel.shards._BLOCK", block)
            own = normal(UserShard(first, last, n_users, 2))
        assert torch.equal(own, normal(UserShard.whole(n_users))[first:last])


@pytest.mark.parametrize(("n_users", "width"), [(70, 1), (130, 1), (66, 5)])
def test_a_short_last_block_is_drawn_with_the_one_before(
    n_users: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recbole_painvrl.parallel.shards._BLOCK", 64)
    whole, part = UserShard.whole(n_users), UserShard(0, n_users, n_users, 2)
    expected, found = (one.normal(width, torch.Generator().manual_seed(1)) for one in (whole, part))
    assert torch.equal(found, expected)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(1, 8))
def test_shards_cover_the_users_and_are_balanced(counts: list[int], n_shards: int) -> None:
    found = balanced_shards(torch.tensor(counts), n_shards)
    assert len(found) == n_shards
    # The others may be empty: they still take part in every sum.
    assert {one.is_whole for one in found} == {n_shards == 1}
    assert [found[0].first, *(one.last for one in found)] == [
        *(one.first for one in found),
        len(counts),
    ]
    for one in found:
        load = sum(counts[one.first : one.last])
        assert load <= sum(counts) / n_shards + max(counts)


@given(st.data())
def test_every_row_of_an_order_is_picked_by_its_owner(data: st.DataObject) -> None:
    n, step = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 20))
    owner = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    order = torch.randperm(n)
    chosen = torch.randperm(n)[: data.draw(st.integers(1, n))]
    found: list[list[int]] = [[] for _ in order.split(step)]
    for rank in range(3):
        own = OwnRows(owner == rank)
        local, positions, counts = own.pick(order, step)
        assert torch.equal(own.rows[local], order[positions])
        for batch, rows in zip(found, own.rows[local].split(counts), strict=True):
            batch += rows.tolist()
        part = own.among(chosen)
        index, positions, _ = part.pick(torch.arange(len(chosen)), step)
        assert torch.equal(own.rows[index], chosen[positions])
    assert [sorted(batch) for batch in found] == [sorted(b.tolist()) for b in order.split(step)]


@pytest.mark.parametrize("model_name", ["UltraGCN", "VBPR"])
def test_gradients_of_the_shards_add_up(model_name: str, tiny_config: MakeConfig) -> None:
    config = tiny_config(model_name)
    train = build_data(config)[1][TRAIN]
    whole = build_model(config, train).double()
    for cuts in CUTS:
        parts = []
        for shard in shards(cuts):
            data = copy.copy(train)
            data.shard = shard
            parts.append(build_model(config, data).double())
        for size in (1, 7, 400):
            rows = torch.randperm(len(train))[:size]
            total = gradients(whole, batch(train, rows, size), 1.0)
            found = {name: torch.zeros_like(one) for name, one in total.items()}
            loss = 0.0
            for model in parts:
                shard = model.shard
                mine = rows[shard.has(train.inter_feat["user_id"][rows])]
                mean = model.sharding.loss == "mean"
                if mean and not len(mine):
                    continue
                own = gradients(model, batch(train, mine, size), len(mine) / size if mean else 1.0)
                loss += float(own.pop("loss"))
                for name, one in own.items():
                    place = found[name]
                    if name in model.sharding.user_tables:
                        assert len(one) == shard.n_rows
                        place = place[shard.first : shard.last]
                    place += one
            assert loss == pytest.approx(float(total.pop("loss")), rel=1e-12)
            for name, one in total.items():
                torch.testing.assert_close(found[name], one, rtol=1e-12, atol=1e-12)


def batch(train: object, rows: Tensor, size: int) -> Interaction:
    table = train.inter_feat  # type: ignore[attr-defined]
    columns = {name: table[name][rows] for name in ("user_id", "item_id")}
    # The negative of a pair depends on the pair alone.
    columns["neg_item_id"] = 1 + (7 * columns["user_id"] + columns["item_id"]) % 89
    return Interaction(columns)


def gradients(model: torch.nn.Module, rows: Interaction, factor: float) -> dict[str, Tensor]:
    if hasattr(model, "negatives"):
        model.negatives.generator.manual_seed(3)
    model.zero_grad()
    loss = factor * model.calculate_loss(rows)  # type: ignore[operator]
    loss.backward()
    found = {"loss": loss.detach()}
    for name, one in model.named_parameters():
        found[name] = torch.zeros_like(one) if one.grad is None else one.grad.clone()
    return found
