"""The tables of stacks, whole runs and fast variants."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stacks
from benchmarks.common import replaced
from benchmarks.paper_sizes import whole_rows
from benchmarks.quality import seconds_to, variant_cells
from benchmarks.stacks import PACKAGES, difference, pins, tables, ties
from recbole_painvrl._compat import versions


def run(scores: list[float], ood: bool = False) -> dict[str, Any]:
    """A result with a stage of 30 seconds before the one with these validation scores."""
    history = [{"epoch": n, "valid": {"ndcg@10": s}} for n, s in enumerate(scores, 1)]
    splits = ("valid", "iid", "ood") if ood else ("valid", "test")
    last = {
        "name": "final",
        "epochs": len(scores),
        "best_epoch": 1 + scores.index(max(scores)),
        "seconds": 60.0,
        "peak_memory_mb": 2048.0,
        "history": history,
    }
    return {
        "valid_metric": "NDCG@10",
        "seconds": 100.0,
        "peak_memory_mb": 2048.0,
        "metrics": {split: {"ndcg@10": max(scores)} for split in splits},
        "stages": [
            {"name": "mask 1", "epochs": 8, "seconds": 30.0, "peak_memory_mb": 1024.0},
            last,
        ],
    }


def test_environments_of_stacks_are_made_where_nothing_is_installed() -> None:
    root = Path(stacks.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-S", "-c", "import benchmarks.stacks"], cwd=root, stderr=subprocess.PIPE
    )
    assert run.returncode == 0, run.stderr
    assert stacks.INSTALL_RECBOLE == versions.INSTALL_RECBOLE


def test_seconds_to_a_score() -> None:
    # In the third of six epochs of ten seconds, after a stage of thirty.
    result = run([0.10, 0.15, 0.199, 0.1995, 0.2, 0.18])
    assert seconds_to(0.198, result) == pytest.approx(30 + 60 * 3 / 6)
    assert seconds_to(0.21, result) is None


def test_a_variant_beside_the_exact_one() -> None:
    runs = [run([0.1]), run([0.3])]
    scores = ("0.2000 ± 0.1414", "0.2000 ± 0.1414", "", "")
    assert variant_cells(runs, runs) == (*scores, "100", "90")
    assert variant_cells(runs, [run([0.2]), run([0.3])]) == (*scores, "100", "90 (1 of 2)")
    assert variant_cells(runs, [run([0.4])] * 2)[-1] == "not reached"
    ood = [run([0.1], ood=True)]
    assert variant_cells(ood, ood)[:3] == ("0.1000", "0.1000", "0.1000"), "one seed, no deviation"


def test_a_variant_replaces_settings_of_the_data() -> None:
    data = ["--dataset=x", "--modalities=[a]"]
    assert replaced(data, ["--modalities=[]"]) == ["--dataset=x", "--modalities=[]"]
    assert replaced(data, []) == data


def test_whole_runs_stand_beside_their_target() -> None:
    assert list(whole_rows("tiktok", run([0.1, 0.2]))) == [
        ("mask 1", 8, "", "0.5", "1.00"),
        ("final", 2, 2, "1.0", "2.00"),
        ("whole run (target: 240 minutes, 8 GB)", "", "", "1.7", "2.00"),
    ]


def results(**models: float | str) -> dict[str, Any]:
    """Results of a stack."""
    found = {
        name: {"error": value} if isinstance(value, str) else {"ndcg@10": value}
        for name, value in models.items()
    }
    versions = dict.fromkeys(("python", *PACKAGES), "1.0")
    return {"versions": versions, "models": found, "seconds": 1.0, "neighbours": {}}


def test_differences_of_stacks() -> None:
    assert difference({"a": 0.5, "b": 0.25}, {"a": 0.5, "b": 0.5}) == 0.25
    assert math.isinf(difference({"a": 0.5}, {"error": "x"}))
    assert math.isinf(difference({"a": 0.5}, {"a": 0.5, "b": 0.5}))
    assert difference({"error": "x"}, {"error": "x"}) == 0
    assert math.isinf(difference({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": math.nan}))
    text = "\n".join(
        tables(
            {
                "old": results(BPR=0.25, Pop="failed"),
                "3.12": results(BPR=0.25 + 2e-5, Pop="failed"),
                "3.14": "python3.14 is not installed",
            }
        )
    )
    assert "| BPR | 0.250000 | 2e-05 |" in text
    assert "| Pop | failed | equal |" in text
    assert "| 3.14 | skipped: python3.14 is not installed |" in text


def test_pins_of_a_stack_replace_those_of_the_requirements() -> None:
    lines = pins("old").splitlines()
    assert "numpy==1.26.4" in lines and sum(line.startswith("numpy==") for line in lines) == 1
    assert "torch==2.13.0" in lines and pins("3.12") != pins("old")


def test_ties_are_told_from_other_neighbours() -> None:
    first = [([1, 2], [0.5, 0.25]), ([1, 2], [0.5, 0.25]), ([1, 2], [0.5, 0.25])]
    second = [([2, 1], [0.25, 0.5]), ([1, 3], [0.5, 0.25]), ([3, 2], [0.5, 0.25])]
    assert ties(first, second) == "2 of 3 items have other neighbours, 1 of them by ties alone"
