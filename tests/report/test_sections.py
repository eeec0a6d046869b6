"""Sections of a page: masks, controls, environments, searches and caveats."""

from __future__ import annotations

import html
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_support import Report, toy_run
from support import edited, result_of

from recbole_painvrl.evaluation.comparison import compare
from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.groups import Block, blocks, mask_name
from recbole_painvrl.report.plots.style import Figures
from recbole_painvrl.report.read import Result, RunData
from recbole_painvrl.report.sections import masks
from recbole_painvrl.report.sections.controls import controls
from recbole_painvrl.report.sections.environments import (
    _rows,
    interactions,
    one_environment_users,
)
from recbole_painvrl.report.sections.runs import limits

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


def test_a_learnt_mask_stands_beside_its_own_controls_alone() -> None:
    """Those of another ablation have another mask."""
    found = {"one": {"learnt": 0.5, "uniform": 0.4}, "two": {"learnt": 0.8, "soft": 0.9}}
    runs = [
        replace(run(mask, level), folder=Path(grid, "cells", mask))
        for grid, masks in found.items()
        for mask, level in masks.items()
    ]
    (both,) = blocks(runs)
    table = controls(both)
    assert [row[0] for row in table["rows"]] == ["learnt", "uniform"]


def test_the_table_has_the_outcomes_of_the_comparison_of_all_columns() -> None:
    toy = block()
    learnt = next(group for group in toy.groups if group.mask == "learnt")
    judged = toy.judge(learnt)
    assert judged.chosen is None, "the others explain the mask"
    outcomes = {one.other: one.outcome for one in judged.found if one.metric == "ndcg@10"}
    table = controls(toy)
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


def _split_run(name: str, seed: int, train: str | None, test: int, protocol: str) -> Any:
    hashes = {} if train is None else {"train": train}
    split = {"sizes": {"train": 5, "test": test}}
    return toy_run(name, seed, {"test": 0.5}, hashes=hashes, split=split, protocol=protocol)


@pytest.mark.parametrize("protocol", ["time", "random"])
def test_runs_of_other_splits_are_not_in_one_table(protocol: str) -> None:
    """As of other columns of times, or of a split made anew on another machine."""
    made = [("A", "1" * 64, 2), ("B", "2" * 64, 2), ("C", "1" * 64, 3), ("D", "1" * 64, 2)]
    found = blocks([_split_run(name, 0, *rest, protocol) for name, *rest in made])
    assert [[group.label for group in one.groups] for one in found] == [["A", "D"], ["B"], ["C"]]
    assert [one.key for one in found] == ["b1", "b2", "b3"]
    assert found[1].title == "toy (split 22222222)"


def test_seeds_of_protocol_random_have_splits_of_their_own() -> None:
    made = [("A", 0, "1"), ("A", 1, "2"), ("B", 1, "2"), ("B", 0, "1"), ("B", 2, None)]
    (found,) = blocks([_split_run(*one, 2, "random") for one in made])
    assert found.title == "toy"
    assert [len(group.runs) for group in found.groups] == [2, 3]


def test_labelled_runs_differ_in_what_they_train_on_and_not_in_their_tests() -> None:
    runs = [_split_run(name, 0, train, 2, "files") for name, train in (("A", "1"), ("B", "2"))]
    for run in runs:
        run.done.metrics["test"] = {"auc": 0.5}
    (found,) = blocks(runs)
    assert [group.label for group in found.groups] == ["A", "B"]


def test_long_settings_that_differ_at_their_end_are_told_apart() -> None:
    values = [{"genre": [*"abcdefghijklmnopqrstuvwxyz", last]} for last in "xy"]
    found = blocks([toy_run("A", 0, {"ood": 0.5}, {"val_interval": one}) for one in values])
    assert len(found) == 2


def test_a_label_has_every_setting_that_differs() -> None:
    pairs = [(1, 1), (2, 1), (1, 2)]
    (found,) = blocks([toy_run("U", 0, {"ood": 0.5}, {"p": p, "q": q}) for p, q in pairs])
    assert [group.label for group in found.groups] == [f"U (p={p}, q={q})" for p, q in pairs]


def rows(text: str, caption: str) -> list[list[str]]:
    """Cells of a table, as text."""
    table = text.partition(f"{caption}</span>")[2].partition("</table>")[0]
    lines = [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.split("</t[hd]>", row)]
        for row in table.split("</tr>")
    ]
    return [line[:-1] for line in lines if len(line) > 1]


@pytest.fixture
def page_of(run_folders: Path, tmp_path: Path, report: Report) -> Any:
    def make(mask: dict[str, Any]) -> str:
        folder = tmp_path / "run"
        shutil.copytree(run_folders / "painvrl-1", folder)
        with edited(folder / "result.json") as result:
            result["mask"] |= mask
        found = report(tmp_path / "x.html", folder)
        assert found.code == 0, found.err
        return found.text

    return make


def test_the_final_model_is_named_by_what_it_has(page_of: Any) -> None:
    text = page_of({"used": "zeros"})
    names = [row[0] for row in rows(text, "Final model and oracle mask")[1:]]
    assert names == ["PaInvRL, final model (no features)", "PaInvRL, oracle mask"]
    assert "Masks among which validation chose" not in text


def test_the_candidates_are_shown_with_their_validation_points(page_of: Any) -> None:
    points = {
        "ones": {"valid": {"ndcg@10": 0.25}, "ood_valid": {"ndcg@10": 0.125}},
        "soft": {"valid": {"ndcg@10": 0.375}, "ood_valid": {"ndcg@10": 0.0625}},
        "binary": {"valid": {"ndcg@10": 0.5}, "ood_valid": {"ndcg@10": 0.75}},
        "zeros": {"valid": {"ndcg@10": 0.0}, "ood_valid": {"ndcg@10": None}},
    }
    text = page_of({"used": "soft", "candidates": points})
    assert rows(text, "Masks among which validation chose") == [
        ["mask", "final model", "NDCG@10, validation", "NDCG@10, OOD validation"],
        ["PaInvRL, seed 1: all features", "not taken", "0.2500", "0.1250"],
        ["PaInvRL, seed 1: soft mask", "taken", "0.3750", "0.0625"],
        ["PaInvRL, seed 1: cut mask", "not taken", "0.5000", "0.7500"],
        ["PaInvRL, seed 1: no features", "not taken", "0.0000", "–"],
    ]


def test_without_ood_validation_there_is_no_column_of_it(page_of: Any) -> None:
    points = {name: {"valid": {"ndcg@10": 0.25}} for name in ("ones", "soft", "binary", "zeros")}
    text = page_of({"used": "ones", "candidates": {**points, "damaged": 3}})
    table = rows(text, "Masks among which validation chose")
    assert {len(row) for row in table} == {3}
    assert table[-1] == ["PaInvRL, seed 1: damaged", "not taken", "–"]


def test_the_form_and_the_oracle_by_hand() -> None:
    said = {"form": "auto", "used": "binary", "dropped": {"overall": 3, "visual": 3},
            "reversed_below_cut": 1, "reversed_above_cut": 2}  # fmt: skip
    runs = [
        toy_run(
            "A", seed, {"ood": 0.2 + 0.1 * seed, "valid": 0.1}, mask=said,
            planted={"oracle": {"ood": {"ndcg@10": 0.6 + 0.2 * seed}}},
        )
        for seed in (0, 1)
    ]  # fmt: skip
    (block,) = blocks(runs)
    (group,) = block.groups
    assert masks._form(group, runs[1]) == [["A, seed 1", "auto", "binary", "visual 3", "1", "2"]]
    assert masks._oracle(block, [group])["oracle"] == [
        ["A, final model (cut mask)", "0.2500"], ["A, oracle mask", "0.7000"],
    ]  # fmt: skip


def test_invariant_columns_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Figures, "write", lambda self, name, figure, alt: drawn.append(figure))
    truth = np.array([False, True, False, True])
    mask = {"A": np.array([0.1, 0.7, 0.2, 0.8])}
    masks._strips(Figures(tmp_path, "b1", [("A", "A")]), "visual", mask, truth)
    picture = drawn[0].axes[0].images[0].get_array()
    np.testing.assert_array_equal(picture, [[1, 1, 0, 0], [0.7, 0.8, 0.1, 0.2]])


def test_the_agreement_with_the_truth_has_its_controls(
    run_folders: Path, report: Report, tmp_path: Path
) -> None:
    names = ("painvrl-1", "painvrl-2", "invrl-1")
    page = report(tmp_path / "page.html", *(run_folders / name for name in names))
    table = page.text.partition("How the environments were found</span>")[2]
    text = html.unescape(re.sub(r"<[^>]+>", " ", table.partition("</table>")[0]))
    assert "truth shuffled" in text and "a classifier that knows the truth" in text
    for name in names:
        planted = result_of(run_folders / name)["planted"]
        for key in ("environment_ari_shuffled", "environment_ari_supervised"):
            assert f" {planted[key]:.3f} " in text


def test_an_environment_by_hand() -> None:
    pairs = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("a", "z"), ("b", "z")]
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    found = {"environment": np.array([0] * 4 + [1] * 2), "user_id": users, "item_id": items}
    frame = interactions(replace(toy_run("A", 0, {"ood": 0.5}), environments=found))
    # Size, popularity of the items, interactions of the users, fraction with the item x.
    assert _rows("A", frame) == [
        ["A, 0", "4 (67%)", "2.5", "2.2", "75.0%"],
        ["A, 1", "2 (33%)", "2.0", "2.5", "0.0%"],
    ]
    # User c alone.
    assert one_environment_users(frame) == pytest.approx(1 / 3)


def test_a_shift_that_is_not_detected_is_not_denied() -> None:
    split = {"shift": "not detected", "agreement_with_start": 0.9, "ultragcn_ndcg@10": "damaged"}
    result = Result(
        model="UltraGCN", dataset="toy", protocol="iid_ood", seed=0, metrics={}, split=split
    )
    said = " ".join(caveats(RunData(Path("run"), {}, result, {}, {}, None, "")))
    assert "90% of the interactions kept their environment" in said
    assert "no test of the distributions" in said
    assert "has the distribution of training" not in said


def test_planted_columns_that_are_scored_only_together_are_named() -> None:
    """As where all columns of one modality are invariant and all of another are not."""
    run = toy_run("A", 0, {"ood": 0.5}, planted={"mask_auc": {"overall": 0.9}})
    assert any("invariant columns of all modalities;" in said for said in caveats(run))


@pytest.mark.parametrize(("epochs", "best", "said"), [(5, 3, True), (5, 5, True), (4, 4, False)])
def test_a_stage_without_early_stopping_is_named_with_its_seed(
    epochs: int, best: int, said: bool
) -> None:
    runs = [
        toy_run(
            "A", seed, {"ood": 0.5, "valid": 0.5}, {"epochs": 5},
            stages=[{"name": "train", "epochs": n, "best_epoch": k}],
        )
        for seed, n, k in ((0, 2, 1), (1, epochs, best))
    ]  # fmt: skip
    lists = limits(blocks(runs)[0])["lists"]
    reached = [text for _, texts in lists for text in texts if "reached its maximum" in text]
    assert [text.partition(":")[0] for text in reached] == ["Seed 1"] * said


@pytest.mark.parametrize(("own", "said"), [(9, []), (5, ["final"])])
def test_another_final_model_has_a_maximum_of_epochs_of_its_own(own: int, said: list[str]) -> None:
    stages = [{"name": "final", "epochs": 5, "best_epoch": 5}]
    run = toy_run("A", 0, {"ood": 0.5, "valid": 0.5}, {"epochs": 4}, stages=stages)
    run = replace(run, final={"epochs": {"value": own, "from": "final_settings"}})
    reached = [text.split()[1] for text in caveats(run) if "reached its maximum of 5 " in text]
    assert reached == said and "maximum of 4 " not in " ".join(caveats(run))
