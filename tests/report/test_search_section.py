"""The section on a search: which trial is the best, and its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_support import toy_run

from recbole_painvrl.report.read import TrialRecord
from recbole_painvrl.report.sections.search import found_searches


@pytest.mark.parametrize(("rule", "best"), [("iid", 0), ("ood", 1), ("harmonic", 2)])
def test_the_best_trial_is_that_of_the_rule(rule: str, best: int) -> None:
    points = [(0.9, 0.1), (0.1, 0.9), (0.5, 0.5)]
    trials = []
    for number, (iid, ood) in enumerate(points):
        settings = {"select_on": rule, "valid_metric": "NDCG@10"}
        found = {"valid": {"ndcg@10": iid}, "ood_valid": {"ndcg@10": ood}}
        record = TrialRecord(metrics=found, seconds=10.0, peak_memory_mb=100.0 * (number + 1))
        run = toy_run("A", number, {"valid": iid}, settings)
        folder = Path("search") / f"trial-{number}"
        trials.append(replace(run, folder=folder, result=None, trial=record))
    (search,) = found_searches(trials)
    assert search.best.folder.name == f"trial-{best}"
    facts = dict(search.facts())
    assert facts["peak memory, MiB"] == "300" and facts["seconds of the evaluated trials"] == "30"
