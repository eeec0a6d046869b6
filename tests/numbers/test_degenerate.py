"""Edge cases of the data: a valid result, or a refusal in one line.

The table of these cases is in docs/reliability.md, "Non-finite values and edge cases".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import SHORT_STAGES, Finished, run_main

from recbole_painvrl.data.folder import DatasetContent, write_dataset

MODELS = ["PaInvRL", "InvRL", "UltraGCN", "VBPR", "MMGCN", "MMSSL", "BPR", "LightGCN"]
ITEMS = [f"i{number}" for number in range(8)]
Pairs = list[tuple[str, str]]

GRID = [(f"u{u}", f"i{i}") for u in range(6) for i in range(8) if (u + i) % 2]
TEST = [(user, item) for user, item in GRID if item in ("i5", "i6") and user > "u1"]
TRAIN = [pair for pair in GRID if pair not in TEST]
ONE = ("--topk=[1]", "--valid_metric=NDCG@1")
HALVES = ("--protocol=random", "--eval_args={split: {RS: [0.5,0.25,0.25]}}", *ONE)


def write(root: Path, train: Pairs, test: Pairs, items: list[str]) -> Path:
    """A dataset ``edge`` with these training and test pairs and one modality."""
    columns = ["user_id", "item_id"]
    frames = {n: pd.DataFrame(p, columns=columns) for n, p in (("train", train), ("test", test))}
    matrix = np.random.default_rng(0).normal(size=(len(items), 4)).astype(np.float32)
    content = DatasetContent(
        "edge", "synthetic", "this test", "none", pd.concat(frames.values(), ignore_index=True),
        splits=frames, features={"visual": (matrix, items)}, default_protocol="files",
    )  # fmt: skip
    write_dataset(content, root / "edge")
    return root


def run(data: Path, output: Path, model: str, *argv: str) -> Finished:
    stages = SHORT_STAGES if model in ("PaInvRL", "InvRL") else ()
    words = ("--epochs=1", "--validation_share=0", "--topk=[3]", "--valid_metric=NDCG@3", *argv)
    return run_main(data, output, model, "--dataset=edge", *stages, *words, name=model)


def line(finished: Finished) -> str:
    assert finished.code == 2, finished.err
    return finished.err.splitlines()[-1]


def well_formed(finished: Finished) -> dict[str, float]:
    assert finished.code == 0, finished.err
    metrics: dict[str, float] = finished.result["metrics"]["test"]
    assert all(0 <= value <= 1 for value in metrics.values())
    return metrics


@pytest.mark.parametrize("model", MODELS)
def test_one_user(model: str, tmp_path: Path) -> None:
    pairs = [("u0", item) for item in ITEMS]
    data = write(tmp_path, pairs[:6], pairs[6:], ITEMS)
    if model == "MMSSL":
        # Its discriminator normalises over the users of a batch.
        assert "needs at least 2 users" in line(run(data, tmp_path, model, *HALVES))
    else:
        well_formed(run(data, tmp_path, model, *HALVES))


def test_one_user_with_fixed_splits(tmp_path: Path) -> None:
    """No test item is in training: the only user has it in the test."""
    pairs = [("u0", item) for item in ITEMS]
    data = write(tmp_path, pairs[:6], pairs[6:], ITEMS)
    assert "split `test` of protocol `files` is empty" in line(run(data, tmp_path, "UltraGCN"))


def test_one_item(tmp_path: Path) -> None:
    """Refused before any model is built."""
    data = write(tmp_path, [(f"u{n}", "i0") for n in range(5)], [("u5", "i0")], ["i0"])
    assert "is empty: its split of" in line(run(data, tmp_path, "BPR", *HALVES))


@pytest.mark.parametrize("model", MODELS)
def test_users_and_items_of_degree_0(model: str, tmp_path: Path) -> None:
    """Without a training row they are dropped from the test and counted."""
    cold = [("u9", "i1"), ("u1", "i9")]
    data = write(tmp_path, TRAIN, [*TEST, *cold], [*ITEMS, "i9"])
    finished = run(data, tmp_path, model)
    well_formed(finished)
    assert finished.result["split"]["cold_dropped"] == {"test": 2}
    assert "u9" not in set(finished.per_user["user_id"])


def test_a_cut_off_beyond_the_catalogue(tmp_path: Path) -> None:
    data = write(tmp_path, TRAIN, TEST, ITEMS)
    refused = line(run(data, tmp_path, "BPR", "--topk=[3,9]", "--valid_metric=NDCG@3"))
    assert "`topk`: found 9, but there are only 8 items" in refused


def test_a_cut_off_of_the_whole_catalogue(tmp_path: Path) -> None:
    """Every positive is among the first 8."""
    data = write(tmp_path, TRAIN, TEST, ITEMS)
    metrics = well_formed(run(data, tmp_path, "BPR", "--topk=[8]", "--valid_metric=NDCG@8"))
    assert metrics["recall@8"] == 1.0


@pytest.mark.parametrize("model", ["PaInvRL", "UltraGCN"])
def test_scores_that_are_all_equal(model: str, tmp_path: Path) -> None:
    """Weights so small that every score is 0; the ranking of ties is deterministic."""
    data = write(tmp_path, TRAIN, TEST, ITEMS)
    argv = ("--init_std=1e-30", "--learning_rate=1e-30")
    metrics = [well_formed(run(data, tmp_path / f"{n}", model, *argv)) for n in range(2)]
    assert metrics[0] == metrics[1]


def test_duplicate_interactions_of_a_random_split(tmp_path: Path) -> None:
    """They are dropped and counted."""
    data = write(tmp_path, [*TRAIN, *TRAIN[:5]], TEST, ITEMS)
    argv = ("--protocol=random", "--eval_args={split: {RS: [0.6,0.2,0.2]}}")
    finished = run(data, tmp_path / "random", "BPR", *argv)
    well_formed(finished)
    assert sum(finished.result["split"]["sizes"].values()) == len(GRID)
    assert "5 repeated (user, item) rows were dropped" in finished.err


@pytest.mark.parametrize("environment_model", ["content", "full"])
def test_more_environments_than_there_are(environment_model: str, tmp_path: Path) -> None:
    """Empty ones are reinitialized and counted; the mask stage uses the others."""
    data = write(tmp_path, TRAIN, TEST, ITEMS)
    argv = ("--n_environments=12", f"--environment_model={environment_model}")
    finished = run(data, tmp_path, "PaInvRL", *argv)
    well_formed(finished)
    stage = next(s for s in finished.result["stages"] if s["name"] == "environments 1")
    assert len(stage["sizes"]) == 12
    assert sum(stage["sizes"]) == len(TRAIN)
    if environment_model == "content":
        assert 0 in stage["sizes"] or stage["reseeded"] > 0


def test_one_environment(tmp_path: Path) -> None:
    """L_IRM has no gradient, for which Eq. 17 would give 0; the weight of L_ERM is 1."""
    data = write(tmp_path, TRAIN, TEST, ITEMS)
    finished = run(data, tmp_path, "PaInvRL", "--n_environments=1")
    well_formed(finished)
    stage = next(s for s in finished.result["stages"] if s["name"] == "mask 1")
    assert stage["w_erm"] == 1.0
    assert stage["norm_irm"] == 0.0
    assert "L_IRM has no gradient" in finished.err
