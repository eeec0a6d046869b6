"""The figures of a test depend on the weights alone, not on how they were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model
from support import MakeConfig, id_pairs, run_main

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import evaluation_loader
from recbole_painvrl.data.splits.base import OOD, TEST, TRAIN, VALID
from recbole_painvrl.seeds import separate_draws


def result(data: Path, tmp_path: Path, name: str, model: str, *argv: str) -> Any:
    run = run_main(data, tmp_path, model, *argv, name=name)
    assert run.code == 0, run.err
    return run.result


def test_candidates_do_not_depend_on_the_evaluations_before(
    tiny_data: Path, tmp_path: Path
) -> None:
    argument = "--eval_args={mode: pop10}"
    often = result(tiny_data, tmp_path, "often", "BPR", argument, "--eval_step=1")
    once = result(tiny_data, tmp_path, "once", "BPR", argument, "--eval_step=2")
    assert often["hashes"]["weights"] == once["hashes"]["weights"]
    assert often["metrics"] == once["metrics"]
    assert once["stages"][0]["best_valid"] == once["metrics"]["valid"]


def candidates(config: Any, split: str = TEST) -> list[list[int]]:
    """Items that are ranked for every user of a test."""
    parts = ModalityDataset(config).build_parts()
    loader = evaluation_loader(config, [parts[TRAIN], parts[VALID]], parts[split], "test")
    np.random.seed(config["seed"])
    return [batch[0]["item_id"].tolist() for batch in loader]


def test_candidates_are_the_same_for_every_model_and_seed(tiny_config: MakeConfig) -> None:
    argv = ("--eval_args={mode: uni10}", "--eval_batch_size=300")
    first = candidates(tiny_config("BPR", *argv))
    assert first == candidates(tiny_config("LightGCN", *argv, "--seed=7"))
    assert first != candidates(tiny_config("BPR", *argv, "--split_seed=1"))
    assert first != candidates(tiny_config("BPR", *argv), OOD)
    # Not one set of candidates for all users.
    assert len({tuple(items[-10:]) for items in first}) > 1


def test_candidates_are_no_items_that_the_user_has(tiny_config: MakeConfig) -> None:
    """Else positives would be pushed down by what is known, or stand twice."""
    config = tiny_config("BPR", "--eval_args={mode: uni50}")
    parts = ModalityDataset(config).build_parts()
    for split, history in ((VALID, [TRAIN]), (TEST, [TRAIN, VALID])):
        loader = evaluation_loader(config, [parts[name] for name in history], parts[split], "test")
        known = {pair for name in (*history, split) for pair in id_pairs(parts[name])}
        n_negatives = 0
        for batch, *_ in loader:
            drawn = batch["label"] == 0
            users, items = (batch[f][drawn].tolist() for f in ("user_id", "item_id"))
            assert 0 not in items
            assert known.isdisjoint(zip(users, items, strict=True))
            n_negatives += len(users)
        assert n_negatives == 50 * len(parts[split].inter_feat)


def test_evaluating_leaves_the_training_alone(tiny_data: Path, tmp_path: Path) -> None:
    """NeuMF draws its dropout and negatives from global generators, as sampled tests did."""
    weights = {
        result(tiny_data, tmp_path, mode, "NeuMF", f"--eval_args={{mode: {mode}}}")["hashes"][
            "weights"
        ]
        for mode in ("full", "uni10")
    }
    assert len(weights) == 1


def test_random_ranks_for_every_user_and_always_the_same(tiny_config: MakeConfig) -> None:
    config = tiny_config("Random")
    train = ModalityDataset(config).build_parts()[TRAIN]
    model = get_model("Random")(config, train)
    users = torch.arange(1, train.user_num)
    scores = model.full_sort_predict(Interaction({"user_id": users})).view(len(users), -1)
    rankings = {tuple(row.argsort().tolist()) for row in scores}
    assert len(rankings) == len(users)
    # In other batches and after other draws, and point by point.
    torch.rand(5)
    again = [model.full_sort_predict(Interaction({"user_id": users[[n]]})) for n in (3, 0)]
    assert torch.equal(torch.stack(again), scores[[3, 0]])
    points = Interaction({"user_id": users[[3, 0, 3]], "item_id": torch.tensor([4, 2, 7])})
    assert torch.allclose(model.predict(points).double(), scores[[3, 0, 3], [4, 2, 7]])
    # Uniform: no item is preferred over all users.
    mean = scores[:, 1:].mean(dim=0)
    assert ((mean - 0.5).abs() < 5 * (1 / 12 / len(users)) ** 0.5).all()


def test_draws_of_a_purpose_leave_the_generators_where_they_were() -> None:
    def draw() -> list[float]:
        return [float(torch.rand(())), float(np.random.rand())]

    torch.manual_seed(0)
    np.random.seed(0)
    expected = [draw(), draw()]
    torch.manual_seed(0)
    np.random.seed(0)
    got = [draw()]
    inside = []
    for purpose in ("one", "one", "two"):
        with separate_draws(5, purpose):
            inside.append(draw())
    got.append(draw())
    assert got == expected
    assert inside[0] == inside[1] != inside[2]


@pytest.mark.parametrize(
    "argv",
    [
        ("--metrics=[GAUC]", "--valid_metric=GAUC"),
        ("--metrics=[GAUC, NDCG, ItemCoverage, GiniIndex]", "--valid_metric=NDCG@10"),
        ("--metrics=[AveragePopularity, TailPercentage]", "--valid_metric=AveragePopularity@10"),
        ("--metrics=[AUC, RMSE, MAE, LogLoss]", "--valid_metric=RMSE", "--eval_args={mode: uni5}"),
    ],
)
def test_every_metric_reaches_the_result(
    argv: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    found = result(tiny_data, tmp_path, "x", "NeuMF", *argv)
    wanted = [name.strip().lower() for name in argv[0][len("--metrics=[") : -1].split(",")]
    for split in ("valid", "iid", "ood"):
        assert [name.partition("@")[0] for name in found["metrics"][split]] == wanted
    assert found["stages"][0]["best_valid"] == found["metrics"]["valid"]
