"""Lists of complete runs: those of the evaluation, whole, ordered, and cheap in memory."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from serving_support import MakeRun, everybody, lists, pairs
from support import run_main, write_inter

from recbole_painvrl.inference import scoring
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.inference.recommending import Recommender, top_k
from recbole_painvrl.inference.request import Request, recommend
from recbole_painvrl.inference.scoring import Scorer

MODELS = [
    *(("UltraGCN",), ("PaInvRL",), ("VBPR",), ("MMGCN",), ("MMSSL",), ("LightGCN",), ("EliMRec",)),
]


def metrics(found: pd.DataFrame, positives: set[tuple[str, str]], k: int) -> tuple[float, float]:
    """Recall@k and NDCG@k, means over the users with positives, one list at a time."""
    wanted: dict[str, set[str]] = {}
    for user, item in positives:
        wanted.setdefault(user, set()).add(item)
    ranked = found[found["rank"] <= k].sort_values("rank").groupby("user_id")["item_id"].agg(list)
    recalls, ndcgs = [], []
    for user, items in wanted.items():
        gains = [(item in items) / math.log2(n + 2) for n, item in enumerate(ranked[user])]
        ideal = sum(1 / math.log2(n + 2) for n in range(min(k, len(items))))
        recalls.append(len(items & set(ranked[user])) / len(items))
        ndcgs.append(sum(gains) / ideal)
    return float(np.mean(recalls)), float(np.mean(ndcgs))


def assert_lists_of_the_evaluation(run: Any) -> None:
    found = lists(Scorer(run, "as-trained"))
    reported = run.result["metrics"]
    for part in {"test", "ood"} & set(run.parts):
        name = "iid" if part == "test" and "iid" in reported else part
        recall, ndcg = metrics(found, pairs(run, part), 10)
        assert recall == pytest.approx(reported[name]["recall@10"], abs=1e-6)
        assert ndcg == pytest.approx(reported[name]["ndcg@10"], abs=1e-6)


@pytest.mark.parametrize("words", [*MODELS, ("PaInvRL", "--final_model=VBPR")], ids=" ".join)
def test_lists_are_those_of_the_evaluation(words: tuple[str, ...], finished: MakeRun) -> None:
    assert_lists_of_the_evaluation(load_run(finished(*words)))


@pytest.mark.parametrize("protocol", ["random", "popularity", "iid_ood"])
def test_of_every_protocol(protocol: str, finished: MakeRun) -> None:
    short = ("--split_epochs=1", "--split_rounds=2") if protocol == "iid_ood" else ()
    run = load_run(finished("BPR", f"--protocol={protocol}", *short))
    assert run.dataset.protocol == run.result["protocol"] == protocol
    tests = {"test"} if protocol == "random" else {"iid", "ood"}
    assert set(run.result["metrics"]) == {"valid", *tests}
    assert_lists_of_the_evaluation(run)


@pytest.mark.parametrize("model", ["Pop", "ItemKNN", "NeuMF"])
def test_other_ways_to_score(model: str, finished: MakeRun) -> None:
    run = load_run(finished(model))
    found = lists(Scorer(run, "as-trained"), exclude="none")
    # By the model's own score of every single pair.
    for user in (1, 57):
        items = torch.arange(run.dataset.item_num)
        pair = {"user_id": torch.full_like(items, user), "item_id": items}
        with torch.no_grad():
            scores = run.model.predict(pair).flatten().float()
        scores[0] = -torch.inf
        values, columns = top_k(scores[None], 10)
        own = found[found["user_id"] == str(run.dataset.field2id_token["user_id"][user])]
        tokens = run.dataset.field2id_token["item_id"][columns[0].numpy()]
        assert own["item_id"].tolist() == [str(token) for token in tokens]
        assert own["score"].tolist() == pytest.approx(values[0].tolist(), rel=1e-5)


def test_pairs_are_scored_in_pieces_of_any_size(
    finished: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that scores pairs alone gives the same table whatever is scored at a time."""
    scorer, users = Scorer(load_run(finished("NeuMF"))), torch.tensor([3, 1, 57])
    whole = scorer.known(users)
    monkeypatch.setattr(scoring, "_PAIRS", 100)
    assert torch.allclose(scorer.known(users), whole, atol=1e-6)
    assert not torch.allclose(whole[0], whole[1])


@pytest.mark.parametrize("model", ["UltraGCN", "ItemKNN"])
def test_the_block_does_not_matter(model: str, finished: MakeRun) -> None:
    scorer = Scorer(load_run(finished(model)))
    whole = lists(scorer, block=10_000)
    for block in (1, 7):
        other = lists(scorer, block=block)
        assert other[["user_id", "item_id", "rank"]].equals(whole[["user_id", "item_id", "rank"]])
        assert np.allclose(other["score"], whole["score"], rtol=1e-5)


def test_what_is_excluded(finished: MakeRun) -> None:
    run = load_run(finished("BPR"))
    scorer, n = Scorer(run), run.dataset.item_num - 1
    known = pairs(run, "train") | pairs(run, "valid")
    for exclude, left_out in (("all", pairs(run)), ("train", known), ("none", set())):
        found = lists(scorer, n, exclude)  # type: ignore[arg-type]
        rows = set(zip(found["user_id"], found["item_id"], strict=True))
        assert len(rows) == len(found) == len(everybody(run)) * n - len(left_out)
        assert not rows & left_out
    assert len(pairs(run)) > len(known)


def test_candidates_are_a_filter_of_the_whole_ranking(finished: MakeRun, tmp_path: Path) -> None:
    folder = finished("UltraGCN")
    run = load_run(folder)
    whole = lists(Scorer(run), run.dataset.item_num, "all")
    wanted = [str(token) for token in run.dataset.field2id_token["item_id"][5:60:3]]
    (tmp_path / "items.txt").write_text("\n".join(wanted))
    out = tmp_path / "recs.parquet"
    recommend(Request(str(folder), str(out), users="all", items=str(tmp_path / "items.txt"), k=4))
    found = pd.read_parquet(out)
    kept = whole[whole["item_id"].isin(wanted)].groupby("user_id", sort=False).head(4)
    assert found["item_id"].tolist() == kept["item_id"].tolist()
    assert found["user_id"].tolist() == kept["user_id"].tolist()


def test_the_formats_say_the_same(finished: MakeRun, tmp_path: Path) -> None:
    folder, frames = finished("UltraGCN"), {}
    run = load_run(folder)
    (tmp_path / "users.csv").write_text("age,user_id\n" + "".join(
        f"30,{user}\n" for user in reversed(everybody(run)[::9])
    ))  # fmt: skip
    for suffix in ("parquet", "csv", "jsonl"):
        out = tmp_path / f"recs.{suffix}"
        recommend(Request(str(folder), str(out), users=str(tmp_path / "users.csv"), block=4))
        frames[suffix] = out
    table = pd.read_parquet(frames["parquet"])
    assert table["user_id"].unique().tolist() == list(reversed(everybody(run)[::9]))
    text = pd.read_csv(frames["csv"], dtype={"user_id": str, "item_id": str})
    lines = [json.loads(line) for line in frames["jsonl"].read_text().splitlines()]
    for other in (text, pd.DataFrame(lines)):
        assert other.columns.tolist() == ["user_id", "item_id", "rank", "score"]
        assert (other["score"].astype(np.float32) == table["score"]).all()
        assert other["user_id"].tolist() == table["user_id"].tolist()
        assert other["item_id"].tolist() == table["item_id"].tolist()
        assert other["rank"].tolist() == table["rank"].tolist()


class _Endless(Scorer):
    """A catalogue and a crowd whose whole score matrix would need 4 GB."""

    def __init__(self, run: Any, n_items: int) -> None:
        super().__init__(run)
        self.tokens = np.array([str(n) for n in range(n_items)], dtype=object)
        self.candidates = torch.ones(n_items, dtype=torch.bool)
        self.largest = self.scored = 0

    def known(self, users: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, len(users))
        self.scored += len(users)
        return torch.zeros(len(users), len(self.tokens))


def test_memory_does_not_grow_with_the_users(finished: MakeRun) -> None:
    run = load_run(finished("BPR"))
    scorer = _Endless(run, 20_000)
    recommender = Recommender(scorer, 3)
    users = everybody(run) * 20
    tracemalloc.start()
    blocks = recommender.known(users[:450])
    n = next(blocks).n_users
    # A block is scored when it is asked for, and not before.
    assert n == scorer.scored == recommender.block
    n += sum(block.n_users for block in blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == scorer.scored == 450
    assert scorer.largest == recommender.block == 2**22 // 20_000
    assert peak < 2**24


def test_users_short_of_candidates_are_counted(finished: MakeRun, tmp_path: Path) -> None:
    folder = finished("BPR")
    run = load_run(folder)
    user = everybody(run)[0]
    known = sorted(item for name, item in pairs(run) if name == user)
    (tmp_path / "users").write_text(user)
    (tmp_path / "items").write_text("item_id\n" + "\n".join(known))
    request = Request(str(folder), str(tmp_path / "x.csv"), str(tmp_path / "users"),
                      items=str(tmp_path / "items"), k=3)  # fmt: skip
    assert "1 users have fewer than 3 candidates" in recommend(request)
    assert (tmp_path / "x.csv").read_text() == "user_id,item_id,rank,score\n"
    # Nothing is excluded: exactly three are not fewer.
    (block,) = Recommender(Scorer(run), 3, "none").known([user])
    assert (block.n_users, block.n_short, len(block.rank)) == (1, 0, 3)


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_top_k_is_sorting_with_ties_by_column(rows: int, n: int, k: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 3, (rows, n), generator=source).float()
    scores[scores == -2] = -torch.inf
    values, columns = top_k(scores, k)
    for row, (found, places) in enumerate(zip(values.tolist(), columns.tolist(), strict=True)):
        expected = sorted(range(n), key=lambda column: (-scores[row, column], column))[:k]
        assert places == expected
        assert found == scores[row, expected].tolist()


def test_what_val_interval_has_dropped_is_known_all_the_same(tmp_path: Path) -> None:
    rows = [f"u{u}\ti{(u + j) % 12}\t{1 + (u + j) % 5}" for u in range(30) for j in range(8)]
    data = write_inter(tmp_path, "rated", "user_id:token\titem_id:token\trating:float", rows)
    run = run_main(
        data, tmp_path, "BPR", "--dataset=rated", "--protocol=random",
        "--load_col={inter: [user_id, item_id, rating]}", "--val_interval={rating: '[4,inf)'}",
        name="run",
    )  # fmt: skip
    assert run.code == 0, run.err
    loaded = load_run(run.folder)
    known = {tuple(row.split("\t")[:2]) for row in rows}
    scorer = Scorer(loaded, "as-trained")
    for exclude, overlaps in (("all", False), ("train", True)):
        listed = lists(scorer, 12, exclude)  # type: ignore[arg-type]
        found = set(zip(listed["user_id"], listed["item_id"], strict=True))
        assert found and bool(found & known) == overlaps


def test_an_item_that_nobody_liked_in_training_is_unseen(tmp_path: Path) -> None:
    """Rows with label 0 are no positives of a labelled run: no vector has learnt from them."""
    rows = [
        f"u{u}\ti{(u * 7 + j * 3) % 30}\t{1 + (u + j) % 5}" for u in range(40) for j in range(10)
    ]
    rows += [f"u{u}\tdisliked\t1" for u in range(30)]
    data = write_inter(tmp_path, "rated", "user_id:token\titem_id:token\trating:float", rows)
    run = run_main(
        data, tmp_path, "BPR", "--dataset=rated", "--eval_args={mode: labeled}",
        "--threshold={rating: 3}", "--metrics=[AUC]", "--valid_metric=AUC", name="run",
    )  # fmt: skip
    assert run.code == 0, run.err
    loaded = load_run(run.folder)
    assert "disliked" in {item for _, item in pairs(loaded, "train")}
    scorer = Scorer(loaded, "leave-out")
    assert scorer.n_unseen == 1
    assert "disliked" not in set(lists(scorer, 31, "none")["item_id"])
    assert "disliked" in set(lists(Scorer(loaded), 31, "none")["item_id"])


@pytest.mark.parametrize("model", ["BPR", "Pop"])
def test_users_without_a_training_interaction_are_counted(model: str, tmp_path: Path) -> None:
    """Their vectors were never trained; popularity ranks alike for everybody."""
    rows = [f"u{u}\ti{(u * 7 + j) % 12}" for u in range(30) for j in range(8)]
    data = write_inter(tmp_path, "fixed", "user_id:token\titem_id:token", rows)
    (data / "fixed" / "fixed.inter").rename(data / "fixed" / "fixed.train.inter")
    test = [f"u{u}\ti{(u * 7 + 9) % 12}" for u in range(30)] + ["new1\ti3", "new2\ti4"]
    text = "\n".join(["user_id:token\titem_id:token", *test])
    (data / "fixed" / "fixed.test.inter").write_text(f"{text}\n")
    run = run_main(data, tmp_path, model, "--dataset=fixed", "--protocol=files", name="run")
    assert run.code == 0, run.err
    out = tmp_path / "lists.csv"
    note = "2 of 32 users have no training interaction, first 'new1'"
    assert (note in recommend(Request(str(run.folder), str(out), "all"))) == (model == "BPR")
    (tmp_path / "users").write_text("u1\nu2\n")
    said = recommend(Request(str(run.folder), str(out), str(tmp_path / "users")))
    assert "no training interaction" not in said
