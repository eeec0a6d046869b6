"""The section of a search: its best trial is the one that `tune` selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_support import toy_run

from recbole_painvrl.evaluation.selection import dominates
from recbole_painvrl.report.read import TrialRecord
from recbole_painvrl.report.sections.search import found_searches, searches


def _search(rule: str, points: Sequence[tuple[float, float]], numbers: Sequence[int]) -> Any:
    trials = []
    for place, ((iid, ood), number) in enumerate(zip(points, numbers, strict=True)):
        settings = {"select_on": rule, "valid_metric": "NDCG@10"}
        found = {"valid": {"ndcg@10": iid}, "ood_valid": {"ndcg@10": ood}}
        record = TrialRecord(
            metrics=found, seconds=10.0, peak_memory_mb=100.0 * (place + 1), trial=number
        )
        run = toy_run("A", place, {"valid": iid}, settings)
        folder = Path("search") / f"trial-{place}"
        trials.append(replace(run, folder=folder, result=None, trial=record))
    (search,) = found_searches(trials)
    return search


@pytest.mark.parametrize(("rule", "best"), [("iid", 0), ("ood", 1), ("harmonic", 2)])
def test_the_best_trial_is_that_of_the_rule(rule: str, best: int) -> None:
    search = _search(rule, [(0.9, 0.1), (0.1, 0.9), (0.5, 0.5)], range(3))
    assert search.best.folder.name == f"trial-{best}"
    facts = dict(search.facts())
    assert facts["peak memory, MiB"] == "300" and facts["seconds of the evaluated trials"] == "30"


@pytest.mark.parametrize(
    ("rule", "points", "numbers", "best"),
    [
        ("ood", [(0.1, 0.5), (0.4, 0.5), (0.9, 0.1)], [0, 1, 2], 1),
        ("iid", [(0.5, 0.1), (0.5, 0.4), (0.1, 0.9)], [0, 1, 2], 1),
        ("harmonic", [(0.0, 0.1), (0.0, 0.2)], [0, 1], 1),
        ("harmonic", [(0.1, 0.2), (0.2, 0.1)], [3, 1], 1),
    ],
)
def test_of_equal_trials_the_report_names_that_of_tune(
    rule: str, points: Any, numbers: list[int], best: int
) -> None:
    """The one on the front, and the earlier; a trial that was continued has a new number."""
    assert _search(rule, points, numbers).best.folder.name == f"trial-{best}"
    found: dict[int, Any] = {
        number: SimpleNamespace(number=number, values=values)
        for number, values in zip(numbers, points, strict=True)
    }
    front = [
        one for one in found.values()
        if not any(dominates(other.values, one.values) for other in found.values())
    ]  # fmt: skip
    pytest.importorskip("optuna", reason="searches need the extra `tune`")
    from recbole_painvrl.tuning.results import outcome

    study = SimpleNamespace(best_trials=front)
    plan = SimpleNamespace(select_on=rule)
    search: Any = SimpleNamespace(study=study, ended=lambda: [*found.values()], plan=plan)
    assert outcome(search).chosen is found[numbers[best]]


def test_a_trial_is_drawn_at_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those after a pruned one were drawn at the number of an earlier one."""
    style = pytest.importorskip("recbole_painvrl.report.plots.style")
    drawn: list[Any] = []
    monkeypatch.setattr(
        style.Sketch, "finish", lambda sketch, *_: drawn.append(sketch.axes.get_lines())
    )
    trials = _search("iid", [(0.3, 0.0), (0.1, 0.0), (0.2, 0.0)], [0, 7, 3]).trials
    one = [{"valid": run.trial.metrics["valid"]} for run in trials]
    runs = [
        replace(run, trial=run.trial.model_copy(update={"metrics": metrics}))
        for run, metrics in zip(trials, one, strict=True)
    ]
    searches(runs, tmp_path, tmp_path / "x.html")
    ((dots, best),) = drawn
    assert [*dots.get_xdata()] == [*best.get_xdata()] == [0, 3, 7]
    assert [*dots.get_ydata()] == [0.3, 0.2, 0.1] and [*best.get_ydata()] == [0.3] * 3
