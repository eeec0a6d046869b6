"""The table of the controls shows what the comparison of all columns found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from report_support import toy_run

from recbole_painvrl.evaluation.comparison import compare
from recbole_painvrl.report.groups import Block, blocks, mask_name
from recbole_painvrl.report.read import Result, RunData
from recbole_painvrl.report.sections.controls import controls

METRICS = ("ndcg@10", "recall@10", "hit@10", "mrr@10")
USERS = 40


def run(mask: str | None, level: float) -> RunData:
    """A run whose users are all ``level`` better than noise that two masks do not share."""
    noise = np.random.default_rng(len(mask or "")).normal(0, 0.1, USERS)
    values = level + noise - noise.mean()
    frame = pd.DataFrame(
        {"test_set": "ood", "user_id": [*map(str, range(USERS))], **dict.fromkeys(METRICS, values)}
    )
    metrics = {"ood": dict.fromkeys(METRICS, level), "valid": dict.fromkeys(METRICS, level)}
    result = Result(
        model="UltraGCN" if mask else "PaInvRL", dataset="toy", protocol="files", seed=0,
        valid_metric="NDCG@10", metrics=metrics,
    )  # fmt: skip
    given = f"masks/x/{mask}.npz" if mask else None
    config = {"feature_mask": {"value": given, "from": "command line"}}
    return RunData(Path(str(mask)), config, result, {}, {}, frame, "")


def test_a_row_with_a_label_of_its_own_keeps_it_unless_two_have_it() -> None:
    def labels(*folders: str) -> list[str]:
        runs = [run("learnt", 0.5), run("ones", 0.4), run("zeros", 0.3)]
        named = (replace(a, folder=Path(b)) for a, b in zip(runs, folders, strict=True))
        (found,) = blocks(list(named))
        return [group.label for group in found.groups]

    end = "-toy-seed0-0123456789ab"
    assert labels(f"ids{end}", f"UltraGCN{end}", "x") == [
        "ids", "UltraGCN (mask=ones)", "UltraGCN (mask=zeros)",
    ]  # fmt: skip
    assert labels(f"ids{end}", f"ids{end}", f"other{end}") == [
        "UltraGCN (mask=learnt)", "UltraGCN (mask=ones)", "other",
    ]  # fmt: skip


def test_labels_are_unique_whatever_they_leave_out() -> None:
    runs = []
    for level, words in ((0.15, "111"), (0.11, "112"), (0.13, "221")):
        values = zip("abc", words, strict=True)
        config = {name: {"value": word, "from": "command line"} for name, word in values}
        runs.append(replace(run(None, level), config=config))
    (found,) = blocks(runs)
    labels = [group.label for group in found.groups]
    assert len(set(labels)) == 3
    assert found.places(("ood", "ndcg@10")) == {labels[0]: "best", labels[2]: "second"}


def test_the_oracle_is_neither_best_nor_second() -> None:
    places = block().places(("ood", "ndcg@10"))
    marked = {label.partition("=")[2]: place for label, place in places.items()}
    assert marked == {"": "best", "learnt)": "second"}
    assert block().has_oracle


def block() -> Block:
    levels = {None: 0.9, "learnt": 0.5, "ones": 0.44, "permuted": 0.45, "oracle": 0.95}
    (found,) = blocks([run(mask, level) for mask, level in levels.items()])
    return found


def test_the_table_has_the_outcomes_of_the_comparison_of_all_columns() -> None:
    toy = block()
    learnt = next(group for group in toy.groups if group.mask == "learnt")
    judged = toy.judge(learnt)
    assert judged.chosen is None, "the others explain the mask"
    outcomes = {one.other: one.outcome for one in judged.found if one.metric == "ndcg@10"}
    table = controls(toy)
    assert table is not None
    for name, *_, difference in table["rows"][1:]:
        (label,) = (group.label for group in toy.groups if group.mask == name)
        outcome = outcomes[label]
        assert difference.endswith("]" if outcome == "not significant" else outcome)
    # The outcomes of a smaller family would be others.
    methods = [one for one in judged.methods if one.control]
    alone = compare(methods, learnt.label, None, [("ood", "ndcg@10")])
    assert any(one.outcome != outcomes[one.other] for one in alone)


def test_the_difference_is_that_of_its_test() -> None:
    levels = {"learnt": (0.5, 0.3), "ones": (0.4, 0.5)}
    runs = [
        toy_run("U", 0, {"iid": iid, "ood": ood, "valid": 0.1}, {"feature_mask": f"{mask}.npz"})
        for mask, (iid, ood) in levels.items()
    ]
    (toy,) = blocks(runs)
    table = controls(toy)
    assert table is not None
    assert table["head"][-2:] == ["learnt − this, IID", "learnt − this, OOD"]
    ones = next(row for row in table["rows"] if row[0] == "ones")
    assert ones[2:4] == ["0.4000", "0.5000"]
    assert ones[4].startswith("+0.1000 [") and ones[4].endswith("better")
    assert ones[5].startswith("-0.2000 [") and ones[5].endswith("worse")


def test_a_column_has_one_mask_and_one_code() -> None:
    made = [(0, "learnt", "a"), (0, "ones", "a"), (1, "ones", "a"), (1, "learnt", "a"),
            (2, "learnt", "b")]  # fmt: skip
    runs = [
        toy_run("U", seed, {"ood": 0.5}, {"feature_mask": f"{mask}.npz"}, hashes={"code": code})
        for seed, mask, code in made
    ]
    (found,) = blocks(runs)
    columns = [
        [(run.done.seed, mask_name(run), run.done.hashes["code"]) for run in group.runs]
        for group in found.groups
    ]
    assert columns == [[made[0], made[3]], [made[1], made[2]], [made[4]]]


def test_a_label_has_every_setting_that_differs() -> None:
    pairs = [(1, 1), (2, 1), (1, 2)]
    (found,) = blocks([toy_run("U", 0, {"ood": 0.5}, {"p": p, "q": q}) for p, q in pairs])
    assert [group.label for group in found.groups] == [f"U (p={p}, q={q})" for p, q in pairs]
