"""Tables: who is best, against whom it is tested, what is said where something is missing."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grid_support import MakeRuns, write_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import edited

from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.comparison import PRIMARY, Method, paired_users, places
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.record import write_record
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.experiments.tables import assemble
from recbole_painvrl.report.tables import Table, write_table_files


@given(
    st.dictionaries(st.sampled_from("ABCDEF"), st.integers(0, 4), min_size=1),
    st.sampled_from(["ndcg@10", "rmse"]),
    st.sets(st.sampled_from("ABCDEF")),
    st.sampled_from(["", *"ABCDEF"]),
)
def test_best_and_second(
    values: dict[str, float], metric: str, missing: set[str], oracle: str
) -> None:
    column = ("ood", metric)
    methods = [
        Method(label, {column: [value]}, [0], lambda _: None, label not in missing,
               control="oracle" if label == oracle else "")
        for label, value in values.items()
    ]  # fmt: skip
    found = places(methods, column)
    able = {label: value for label, value in values.items() if label != oracle}
    able = {label: able[label] for label in able if label not in missing} or able
    assert set(found) <= set(able)
    for label, value in able.items():
        better = {v for v in able.values() if (v < value if metric == "rmse" else v > value)}
        place = {0: "best", 1: "second"}.get(len(better)) if len(set(able.values())) > 1 else None
        assert found.get(label) == place


def test_numbers_that_are_equal_to_six_decimals_or_none() -> None:
    values = {"A": 0.5, "B": 0.5 + 1e-8, "C": 0.5 - 2e-6, "D": float("nan"), "E": 0.4}
    methods = [Method(a, {("ood", "ndcg@10"): [b]}, [0], lambda _: None) for a, b in values.items()]
    assert places(methods, ("ood", "ndcg@10")) == {"A": "best", "B": "best", "C": "second"}


def rows_of(runs: list[GridRun]) -> list[Row]:
    models = dict.fromkeys(run.model for run in runs)
    return [Row(m, tuple(run for run in runs if run.model == m)) for m in models]


def filled(make_runs: MakeRuns) -> Table:
    """The method is beaten on the tests by C, but B is the best baseline by validation."""
    runs = make_runs("Method", "B", "C", "Broken")
    values = {"Method": (0.3, 0.3), "B": (0.2, 0.9), "C": (0.4, 0.1)}
    for run in runs:
        if run.model in values:
            write_run(run, values[run.model][0] + 0.01 * run.seed, values[run.model][1])
        else:
            run.folder.parent.mkdir(parents=True, exist_ok=True)
            run.fail("too <wide> & 100% | broken_here", resumable=False)
    return assemble("T", rows_of(runs), "Method")


def test_means_spread_and_places(make_runs: MakeRuns) -> None:
    table = filled(make_runs)
    numbers = {row.label: row.numbers.get(("ood", "ndcg@10")) for row in table.rows}
    method, c = numbers["Method"], numbers["C"]
    assert method.mean == pytest.approx((0.3 + 0.31) / 2)
    assert method.sd == pytest.approx(0.01 / np.sqrt(2))
    assert (c.place, method.place) == ("best", "second")
    assert numbers["Broken"] is None


def test_the_reference_is_chosen_on_validation(make_runs: MakeRuns) -> None:
    table = filled(make_runs)
    assert table.reference == "B"
    assert any("other rows: B, by its mean ndcg@10 on validation" in n for n in table.notes)
    assert {one.other for one in table.comparisons if one.family == PRIMARY} == {"B"}


def test_users_are_averaged_over_seeds_and_paired(make_runs: MakeRuns) -> None:
    table = filled(make_runs)
    frames = {
        row.label: [pd.read_parquet(f / "per_user.parquet") for f in row.folders.values()]
        for row in table.rows
    }

    def users(label: str) -> np.ndarray:
        own = [f[f["test_set"] == "iid"]["ndcg@10"].to_numpy() for f in frames[label]]
        return np.mean(own, axis=0)

    (one,) = (c for c in table.comparisons if (c.other, c.part) == ("B", "iid"))
    assert one.paired.p_t == pytest.approx(stats.ttest_rel(users("Method"), users("B")).pvalue)


def test_users_are_paired_within_each_seed() -> None:
    names = ["seed", "test_set", "user_id"]
    keys = [(0, "iid", "a"), (1, "iid", "a"), (0, "iid", "b"), (1, "iid", "c"), (0, "ood", "a")]
    index = pd.MultiIndex.from_tuples(keys, names=names)
    first = pd.Series([0.1, 0.9, 0.4, np.nan, 0.0], index)
    # Of user a only seed 0 is there for both, and of user c nothing is a number.
    second = pd.Series([0.2, 0.5, 0.5, 0.0], index[[0, 2, 3, 4]])
    found = paired_users(first, second, "iid")
    assert found.to_dict("index") == {
        "a": {"first": 0.1, "second": 0.2},
        "b": {"first": 0.4, "second": 0.5},
    }


def test_what_is_no_number_neither_wins_nor_breaks_the_table(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "B", "C", seeds=1)
    for run, ndcg in zip(runs, (0.3, 0.2, 0.9), strict=True):
        write_run(run, ndcg)
    with edited(runs[2].folder / "result.json") as result:
        for part in result["metrics"].values():
            part["ndcg@10"] = None
    table = assemble("T", rows_of(runs), "A")
    assert [row.numbers["iid", "ndcg@10"].place for row in table.rows] == ["best", "second", ""]
    assert table.reference == "B"
    assert all("leads, ahead of B" in sentence for sentence in table.sentences)
    assert "| C | nan |" in write_table_files(table, runs[2].folder)["table.md"]


def test_numbers_stand_in_their_columns_and_lead_to_their_runs(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "B", seeds=1)
    for run in runs:
        write_run(run, 0.3)
    with edited(runs[1].folder / "result.json") as result:
        del result["metrics"]["iid"]
    # Labels that differ only in a sign, as of `gradient_normalization: loss` and `loss+`.
    rows = [Row("x: loss", (runs[0],)), Row("x: loss+", (runs[1],))]
    page = write_table_files(assemble("T", rows, "x: loss"), runs[0].folder)["table.html"]
    line = next(li for li in page.splitlines() if li.startswith('<tr><th scope="row">x: loss+'))
    dash, number = re.findall(r"<td[^>]*>(.*?)</td>", line)
    assert dash == "-" and "0.3000" in number
    (target,) = re.findall(r'href="#([^"]+)"', number)
    (run,) = re.findall(rf'<li id="{target}">.*', page)
    assert runs[1].folder.name in run and runs[0].folder.name not in run


def test_what_does_not_win_is_said(make_runs: MakeRuns) -> None:
    table = filled(make_runs)
    sentence = next(s for s in table.sentences if s.startswith("OOD"))
    assert "Method (0.3050) does not win: it is behind C (0.4050) by 0.1000, 24.7%" in sentence
    assert "the difference is significant" in sentence and "95 % interval" in sentence


def test_a_row_with_missing_seeds_does_not_compete(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "C", "B")
    for run in runs[:-1]:
        write_run(run, {"A": 0.5, "C": 0.4, "B": 0.9}[run.model])
    table = assemble("T", rows_of(runs), "A")
    found = [row.numbers["iid", "ndcg@10"].place for row in table.rows]
    assert found == ["best", "second", ""]
    assert table.rows[2].shown == "B (1 of 2 seeds)"
    assert table.reference == "C"
    assert any(note.endswith("among the rows whose runs are all complete.") for note in table.notes)


def test_the_reference_is_chosen_by_the_validation_metric_of_the_method(
    make_runs: MakeRuns,
) -> None:
    """As in a report, whatever the order of the rows."""
    runs = make_runs("B", "C", "Method")
    for run in runs:
        write_run(run, 0.3, {"Method": 0.1, "B": 0.9, "C": 0.2}[run.model])
        with edited(run.folder / "result.json") as result:
            result["metrics"]["valid"]["recall@10"] = {"Method": 0.1, "B": 0.2, "C": 0.9}[run.model]
            if run.model == "B":
                result["valid_metric"] = "Recall@10"
    table = assemble("T", rows_of(runs), "Method")
    assert table.reference == "B"
    assert any("by its mean ndcg@10 on validation" in note for note in table.notes)


def test_marks_among_rows_of_which_none_is_complete_are_named_so(make_runs: MakeRuns) -> None:
    runs = make_runs("A", "B")
    for run in (runs[0], runs[3]):
        write_run(run, {"A": 0.5, "B": 0.9}[run.model])
    table = assemble("T", rows_of(runs), "A")
    assert [row.numbers["iid", "ndcg@10"].place for row in table.rows] == ["second", "best"]
    assert any(note.endswith("since none has all its runs yet.") for note in table.notes)


def test_every_file_shows_numbers_failures_and_runs(make_runs: MakeRuns, tmp_path: Path) -> None:
    table = filled(make_runs)
    files = write_table_files(table, tmp_path / "out")
    for name in ("table.md", "table.tex", "table.html"):
        assert "0.3050" in files[name] and "failed: too" in files[name], name
        for row in table.rows:
            for folder in row.folders.values():
                assert f"cells/{folder.name}" in files[name], name
    assert "**0.4050" in files["table.md"] and "<u>0.3050" in files["table.md"]
    assert "\\textbf{0.4050}" in files["table.tex"]
    assert "\\underline{0.3050}" in files["table.tex"]
    shown = "too \\textless{}wide\\textgreater{} \\& 100\\% \\textbar{} broken\\_here"
    assert shown in files["table.tex"]
    assert "too &lt;wide&gt; &amp; 100% | broken_here" in files["table.html"]
    assert "http" not in files["table.html"] and "<script" not in files["table.html"]
    lines = list(csv.DictReader(io.StringIO(files["table.csv"])))
    (line,) = (li for li in lines if (li["row"], li["part"]) == ("Method", "ood"))
    assert float(line["mean"]) == pytest.approx(0.305)
    assert line["place"] == "second"
    # The reference is best on validation, which has no places.
    assert not any(li["place"] for li in lines if li["part"] == "valid")
    assert [Path(f).name for f in line["run_folders"].split()] == [
        folder.name for folder in table.rows[0].folders.values()
    ]
    assert any(li["row"] == "Broken" and "failed" in li["missing"] for li in lines)
    tests = list(csv.DictReader(io.StringIO(files["significance.csv"])))
    assert len(tests) == 4 and {t["family"] for t in tests} == {"best baseline", "other rows"}


def test_a_table_of_nothing(make_runs: MakeRuns, tmp_path: Path) -> None:
    table = assemble("T", rows_of(make_runs("A", "B")), "A")
    files = write_table_files(table, tmp_path)
    assert "No run is complete yet" in files["table.md"] and "not run" in files["table.csv"]


def test_a_changed_run_leaves_its_run_and_is_named(tmp_path: Path, make_runs: MakeRuns) -> None:
    output = tmp_path / "out"
    (run, _) = make_runs("A")
    write_run(run)
    assert write_record(output, [Row("A", (run,))]) == []
    key = replace(run.key, code="new code")
    changed = replace(run, key=key, folder=run.folder.with_name("A-toy-seed0-new"))
    (line,) = write_record(output, [Row("A", (changed,))])
    assert "code changed" in line and run.folder.name in line
    assert run.state() == "done" and changed.state() == "open"
    assert write_record(output, [Row("A", (changed,))]) == [], "said once"
    assert run.folder.name in (output / "cells.json").read_text()


def test_a_changed_run_is_known_after_a_call_with_other_rows(
    tmp_path: Path, make_runs: MakeRuns
) -> None:
    output, (a, _), (b, _) = tmp_path / "out", make_runs("A"), make_runs("B")
    for run in (a, b):
        write_run(run)
    write_record(output, [Row("A", (a,)), Row("B", (b,))])
    write_record(output, [Row("A", (a,))])
    changed = replace(b, key=replace(b.key, code="new"), folder=b.folder.with_name("B-new"))
    (line,) = write_record(output, [Row("A", (a,)), Row("B", (changed,))])
    assert "code changed" in line and b.folder.name in line
    record = json.loads((output / "cells.json").read_text())
    assert [one["folder"] for one in record["left"]] == [f"cells/{b.folder.name}"]
    assert record["earlier"] == []


def test_a_run_that_is_wanted_again_is_not_left(tmp_path: Path, make_runs: MakeRuns) -> None:
    output, (_, run) = tmp_path / "out", make_runs("A")
    write_run(run)
    changed = replace(run, key=replace(run.key, code="new"), folder=run.folder.with_name("A-new"))
    left = []
    for one in (run, changed, run):
        write_record(output, [Row("A", (one,))])
        record = json.loads((output / "cells.json").read_text())
        left.append([(old["folder"], old["row"], old["seed"]) for old in record["left"]])
    assert left == [[], [(f"cells/{run.folder.name}", "A", 1)], []]


@pytest.mark.parametrize(
    "other", [{"split": {"sizes": {"train": 1}}}, {"hashes": {"train": "of other interactions"}}]
)
def test_rows_that_were_split_differently_are_not_compared(
    other: dict[str, dict[str, object]], make_runs: MakeRuns
) -> None:
    runs = make_runs("A", "B")
    for run in runs:
        write_run(run)
    with edited(runs[-1].folder / "result.json") as result:
        result |= other
    with pytest.raises(UserError, match="B and A were split differently with seed 1"):
        assemble("T", rows_of(runs), "A")


def test_rows_of_one_split_that_train_on_other_labels_are_compared(make_runs: MakeRuns) -> None:
    """Models that sample negatives leave out the interactions with label 0."""
    runs = make_runs("A", "B")
    for run in runs:
        write_run(run)
        with edited(run.folder / "result.json") as result:
            result["hashes"] = {"train": run.model}
            result["metrics"] = {name: {"auc": 0.6} for name in ("valid", "test")}
    assert [row.numbers["test", "auc"].mean for row in assemble("T", rows_of(runs), "A").rows]


def test_the_curves_of_a_table_are_over_its_rows(make_runs: MakeRuns, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from recbole_painvrl.experiments.ablate import environment_label
    from recbole_painvrl.experiments.figures import environment_curve

    runs = make_runs("A", "B")
    for run in runs:
        write_run(run, 0.3)
    rows = [Row(environment_label(n), tuple(runs[n : n + 2])) for n in (2, 0)]
    written = environment_curve(assemble("T", rows, environment_label(2)), tmp_path)
    assert [path.name for path in written] == [f"environments.{k}" for k in ("png", "pdf", "svg")]
    assert "number of environments" in (tmp_path / "environments.svg").read_text()


def test_a_point_of_a_curve_is_the_number_of_its_row(
    make_runs: MakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from recbole_painvrl.experiments import figures
    from recbole_painvrl.experiments.ablate import environment_label

    drawn: list[dict[str, dict[str, list[tuple[float, float]]]]] = []

    def look(panels: figures.Panels, *words: object) -> None:
        drawn.append({})
        for title, own in panels.items():
            for name, line in own.items():
                points = [(one.x, round(one.number.mean, 6)) for one in line]
                drawn[-1].setdefault(title, {})[name] = points

    monkeypatch.setattr(figures, "curves", look)
    monkeypatch.setattr(figures, "save", lambda *words: [])
    runs = make_runs("A", "B", seeds=1)
    for run, level in zip(runs, (0.3, 0.4), strict=True):
        write_run(run, level)
        with edited(run.folder / "result.json") as result:
            for name, values in result["metrics"].items():
                values |= {"recall@5": 0.1 + level * (name == "ood"), "recall@20": 0.9}
    rows = [Row(environment_label(n), (run,)) for n, run in zip((7, 3), runs, strict=True)]
    table = assemble("T", rows, environment_label(7))
    figures.environment_curve(table, tmp_path)
    figures.recall_curve(table, tmp_path)
    by_number, by_k = drawn
    assert by_number["OOD test"]["recall@5"] == [(7, 0.4), (3, 0.5)]
    assert by_number["IID test"]["ndcg@10"] == [(7, 0.3), (3, 0.4)]
    assert by_k["OOD test"][environment_label(3)] == [(5, 0.5), (20, 0.9)]
    assert by_k["IID test"][environment_label(3)] == [(5, 0.1), (20, 0.9)]
