"""Searches in the tables of the quality of the models, and of Table 2."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import table2
from benchmarks.model_quality import other_search


def test_a_search_of_another_length_is_named(tmp_path: Path) -> None:
    """``--report`` showed rows of unequal searches as equal ones."""
    (tmp_path / "search" / "trial-0000").mkdir(parents=True)
    (tmp_path / "search" / "trial-0000" / "trial.json").write_text("{}")
    assert other_search("BPR", tmp_path, 8) == ", search not complete (1 of 8 trials)"
    (tmp_path / "searched").write_text(json.dumps([8, "--model=BPR"]))
    assert other_search("BPR", tmp_path, 8) == ""
    assert other_search("BPR", tmp_path, 6) == ", 8 trials in place of 6"
    assert other_search("Pop", tmp_path, 6) == ""


def test_a_search_of_another_length_is_named_in_table_2(tmp_path: Path) -> None:
    """The rows of 2 trials stood among those of 6, and nothing was said."""
    folder = tmp_path / "benchmark"
    folder.mkdir()
    models = ("PaInvRL", "BPR", "Pop")
    parts = [("valid", "ndcg@10"), *((p, m) for p in table2.TESTS for m in table2.METRICS)]
    lines = [f"{model},{part},{metric},0.1,,1,run" for model in models for part, metric in parts]
    head = "row,part,metric,mean,sd,seeds,run_folders"
    (folder / "table.csv").write_text("\n".join([head, *lines]))
    (folder / "significance.csv").write_text("method,other,part,metric,difference\n")
    for name, trials in (("painvrl", 6), ("bpr", 2)):
        (tmp_path / "search" / name).mkdir(parents=True)
        (tmp_path / "search" / name / "searched").write_text(json.dumps([trials]))
    labels = [row[0] for row in table2.rows(tmp_path, 6)]
    assert labels == ["PaInvRL", "BPR, 2 trials in place of 6", "Pop"]


def test_the_settings_in_table_2_are_those_of_its_runs(tmp_path: Path) -> None:
    """After another search its settings stood beside the figures of the earlier ones."""
    search, run = tmp_path / "search" / "bpr" / "search", tmp_path / "benchmark" / "cells" / "run"
    (search / "trial-0000").mkdir(parents=True)
    (search / "trial-0000" / "trial.json").write_text(json.dumps({"params": {"lr": 0.1, "n": 2}}))
    (search.parent / "searched").write_text(json.dumps([6]))
    run.mkdir(parents=True)
    config = {name: {"value": value, "from": "x"} for name, value in (("lr", 0.1), ("n", 2))}
    (run / "config.yaml").write_text(json.dumps(config))
    parts = [("valid", "ndcg@10"), *((p, m) for p in table2.TESTS for m in table2.METRICS)]
    lines = [f"BPR,{part},{metric},0.1,,2,cells/run cells/x" for part, metric in parts]
    head = "row,part,metric,mean,sd,seeds,run_folders"
    (tmp_path / "benchmark" / "table.csv").write_text("\n".join([head, *lines]))
    tests = tmp_path / "benchmark" / "significance.csv"
    tests.write_text("method,other,part,metric,difference\n")
    found = []
    for learning_rate in (0.1, 0.5):
        (search / "best.yaml").write_text(json.dumps({"lr": learning_rate, "n": 2, "model": "BPR"}))
        ((label, *_, settings),) = table2.rows(tmp_path, 6)
        found.append((label, settings))
    assert found == [("BPR", "lr=0.1 n=2"), ("BPR, searched again since", "lr=0.1 n=2")]
    (run / "config.yaml").unlink()
    ((label, *_, settings),) = table2.rows(tmp_path, 6)
    assert (label, settings) == ("BPR", "not known")
