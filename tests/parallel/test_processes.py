"""Several processes give what one gives: sums, stages, training steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import source
from ranks import checks
from support import quick, shipped_settings, with_values
from torch import Tensor

from recbole_painvrl.config import SafeConfig, config_from_arguments
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.data.shared import shared_data
from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.loop import Identification, LoopSettings, identify
from recbole_painvrl.functional.graph import degree_factors
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import OwnRows, UserShard, balanced_shards
from recbole_painvrl.run.build import build_data, build_model, build_trainer
from recbole_painvrl.training.sharded import whole_tables

CPU = torch.device("cpu")
N_USERS, N_ITEMS, K, D, N = 60, 50, 4, 6, 700


class World:
    """Random interactions and tables of a backbone, and what a process has of them."""

    def __init__(self) -> None:
        draws = source(0)
        self.users = torch.randint(1, N_USERS, (N,), generator=draws)
        self.items = torch.randint(1, N_ITEMS, (N,), generator=draws)
        factors = degree_factors(
            torch.bincount(self.users, minlength=N_USERS),
            torch.bincount(self.items, minlength=N_ITEMS),
        )
        self.user_factor, self.item_factor = (factor.double() for factor in factors)
        self.user_id, self.user_content = torch.randn(2, N_USERS, K, generator=draws)
        self.item_id = torch.randn(N_ITEMS, K, generator=draws)
        self.features = torch.randn(N_ITEMS, D, generator=draws)
        self.neighbours = torch.randint(1, N_ITEMS, (N_ITEMS, 3), generator=draws)
        self.weight = torch.rand(N_ITEMS, 3, generator=draws)

    def tables(self, shard: UserShard) -> FrozenTables:
        graph = GraphWeights(
            shard.rows(self.user_factor), self.item_factor, self.neighbours, self.weight
        )
        users = shard.rows(self.user_id), shard.rows(self.user_content)
        return FrozenTables(*users, self.item_id, self.features, graph)

    def pairs(self, shard: UserShard) -> tuple[Tensor, Tensor, OwnRows | None]:
        if shard.is_whole:
            return self.users, self.items, None
        own = OwnRows(shard.has(self.users))
        return shard.local(self.users[own.rows]), self.items[own.rows], own


def environments(world: World, shard: UserShard) -> Identification:
    users, items, own = world.pairs(shard)
    fit = FitSettings(1, 0.1, 64, 20, "adam")
    tables = world.tables(shard)
    model = ContentEnvironmentModel(users, items, tables.user_content, tables.features, 3, fit, own)
    return identify(model, N, LoopSettings(3, 5, 0.0, 2), source(5), own=own)


def masked(world: World, shard: UserShard, n_environments: int, **values: Any) -> MaskLearner:
    users, items, own = world.pairs(shard)
    base = {"mask_batch_size": 16, "attention_hidden_size": 8, "init_std": 0.1}
    # Some environments have no interaction of some process in a batch.
    labels = (world.users * n_environments // N_USERS + torch.arange(N) // 650) % n_environments
    learner = MaskLearner(
        users,
        items,
        labels,
        world.tables(shard),
        UltraGCNWeights.from_paper(0.5, 0.3),
        torch.full((D,), 0.5),
        with_values(shipped_settings(), **{**base, **values}),
        NegativeSampler(N_ITEMS, 12, "shared", source(6)),
        source(7),
        own=own,
    )
    learner.run_epoch()
    learner.run_epoch()
    return learner


MASKS: list[dict[str, Any]] = [
    {"n_environments": 2, "projection_objective": "erm"},
    {"n_environments": 3, "projection_objective": "weighted", "mask_noise": 0.3},
    {"n_environments": 3, "attention": False, "loss_weighting": "fixed", "penalty_gate": "plain"},
]


def shard_of(rank: int, size: int, users: Tensor) -> UserShard:
    """Balanced for two processes; of three the second has no users."""
    if size == 2:
        return balanced_shards(torch.bincount(users, minlength=N_USERS), 2)[rank]
    return [UserShard(*cut, N_USERS, 3) for cut in ((0, 20), (20, 20), (20, 60))][rank]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("size", [2, 3])
def test_stages_equal_those_of_one_process(size: int, tmp_path: Path) -> None:
    world = World()
    whole = UserShard.whole(N_USERS)
    expected = environments(world, whole)
    masks = [masked(world, whole, **values) for values in MASKS]

    def job(rank: int) -> None:
        with group.joined(CPU):
            assert (group.rank(), group.size()) == (rank, size)
            sums_and_gathers(rank, size)
            shard = shard_of(rank, size, world.users)
            found = environments(world, shard)
            assert torch.equal(found.labels, expected.labels)
            assert (found.moves, found.sizes) == (expected.moves, expected.sizes)
            assert found.likelihoods == pytest.approx(expected.likelihoods, abs=1e-12)
            for values, one in zip(MASKS, masks, strict=True):
                mine = masked(world, shard, **values)
                for name, steps in one.trajectory.steps.items():
                    assert mine.trajectory.steps[name] == pytest.approx(steps, rel=1e-9, abs=1e-11)
                torch.testing.assert_close(mine.mask, one.mask, rtol=0, atol=1e-11)
                for variable, other in zip(mine.learnt, one.learnt, strict=True):
                    torch.testing.assert_close(variable, other, rtol=0, atol=1e-10)
                group.assert_same(
                    {"mask": mine.mask, **dict(zip("abcdefg", mine.learnt, strict=False))}
                )

    checks(size, job, tmp_path)


def sums_and_gathers(rank: int, size: int) -> None:
    one, two = torch.full((2, 2), float(rank)), torch.tensor(1.0)
    group.sum_([one, two])
    assert torch.equal(one, torch.full((2, 2), size * (size - 1) / 2)) and two == size
    whole = group.gather_rows(torch.full((rank, 3), rank))
    rows = [number for number in range(size) for _ in range(number)]
    assert (whole is None) == bool(rank)
    if whole is not None:
        assert whole[:, 0].tolist() == rows
    calls: list[int] = []

    def made(value: Any) -> Any:
        calls.append(rank)
        return value

    assert group.from_first(lambda: made(rank)) == 0
    tables = group.tensors_from_first(
        lambda: made([torch.arange(5) + rank, torch.full((1, 2), rank + 0.5)])
    )
    assert [table.tolist() for table in tables] == [[0, 1, 2, 3, 4], [[0.5, 0.5]]]
    assert calls == ([] if rank else [0, 0]), "only the first process computes"
    group.assert_same({"equal": torch.ones(3)})
    with pytest.raises(RuntimeError, match="`other` differs between the processes"):
        group.assert_same({"equal": torch.ones(3), "other": torch.tensor([1.0, rank])})
    # The same numbers, all below 1, in another order.
    numbers = torch.tensor([0.5, 0.25] if rank else [0.25, 0.5])
    with pytest.raises(RuntimeError, match="`order` differs between the processes"):
        group.assert_same({"order": numbers})


def trained(config: SafeConfig, data: Callable[[], Any], folder: Path) -> Any:
    """A trainer after some epochs in float64, and its result."""
    parts = data()[1]
    model = build_model(config, parts[TRAIN]).double()
    config["run_folder"] = str(folder)
    config["checkpoint_dir"] = str(folder / "checkpoint")
    # As a run does; RecBole's own way fails where another process makes it at the same moment.
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    trainer = build_trainer(config, model)
    valid = evaluation_loader(config, [parts[TRAIN]], parts[VALID], "valid")
    return trainer, trainer.fit(training_loader(config, parts[TRAIN]), valid)


@pytest.mark.parametrize("size", [2, 3])
def test_training_equals_that_of_one_process(size: int, tiny_data: Path, tmp_path: Path) -> None:
    # Two epochs of 34 steps.
    common = [*quick(tiny_data, tmp_path), "--train_batch_size=50"]
    words = {name: [f"--model={name}", *common] for name in ("UltraGCN", "VBPR")}
    expected = {}
    for name, argv in words.items():
        config = config_from_arguments(argv)
        alone, result = trained(config, lambda c=config: build_data(c), tmp_path / "one")
        expected[name] = dict(alone.model.state_dict()), result, alone.history

    def job(_: int) -> None:
        with group.joined(CPU):
            for name, argv in words.items():
                config = config_from_arguments(argv)
                trainer, result = trained(
                    config,
                    lambda c=config: shared_data(c, lambda: build_data(c), tmp_path / "shared"),
                    tmp_path / name,
                )
                check_training(trainer, result, *expected[name])

    checks(size, job, tmp_path)


def check_training(trainer: Any, result: Any, weights: Any, best: Any, history: Any) -> None:
    assert result == best
    assert [e["loss"] for e in trainer.history] == pytest.approx([e["loss"] for e in history])
    model, shard = trainer.model, trainer.model.shard
    assert 0 < shard.n_rows < shard.n_users
    for name, parameter in model.named_parameters():
        if name in model.sharding.user_tables:
            moments = trainer.optimizer.state[parameter]["exp_avg"]
            assert len(parameter) == len(moments) == shard.n_rows
    found = whole_tables(model)
    if group.is_first():
        for name, one in weights.items():
            torch.testing.assert_close(found[name], one, rtol=0, atol=1e-12, msg=name)
    group.wait()
