"""What the table of stacks calls equal, different and failed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.stacks import Figures, difference, pins, read_figures, tables, ties

VERSIONS = dict.fromkeys(
    ["python", "numpy", "pandas", "scipy", "torch", "scikit-learn", "pyarrow"], "1.0"
)


def figures(**models: float | str) -> Figures:
    found = {
        name: {"error": value} if isinstance(value, str) else {"ndcg@10": value}
        for name, value in models.items()
    }
    return Figures(VERSIONS, found, 1.0)


def test_differences() -> None:
    assert difference({"a": 0.5, "b": 0.25}, {"a": 0.5, "b": 0.5}) == 0.25
    assert math.isinf(difference({"a": 0.5}, {"error": "x"}))
    assert math.isinf(difference({"a": 0.5}, {"a": 0.5, "b": 0.5}))
    assert difference({"error": "x"}, {"error": "x"}) == 0
    assert math.isinf(difference({"a": 0.5, "b": math.nan}, {"a": 0.5, "b": 0.5}))


def test_the_table_names_what_differs_and_what_was_skipped() -> None:
    table = tables(
        {
            "old": figures(BPR=0.25, Pop="failed"),
            "3.12": figures(BPR=0.25 + 2e-5, Pop="failed"),
            "3.14": "python3.14 is not installed",
        }
    )
    assert "| BPR | 0.250000 | 2e-05 |" in table
    assert "| Pop | failed | equal |" in table
    assert "| 3.14 | skipped: python3.14 is not installed |" in table


def test_figures_of_other_settings_are_not_reused(tmp_path: Path) -> None:
    made_with = {"epochs": 3, "pins": pins("old")}
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({**vars(figures(BPR=0.25)), "made_with": made_with}))
    assert read_figures(tmp_path, made_with).models == {"BPR": {"ndcg@10": 0.25}}
    with pytest.raises(SystemExit, match=r"figures\.json: made with epochs=3, expected 1; delete"):
        read_figures(tmp_path, {**made_with, "epochs": 1})


def test_pins_of_a_stack_replace_those_of_the_requirements() -> None:
    lines = pins("old").splitlines()
    assert "numpy==1.26.4" in lines and sum(line.startswith("numpy==") for line in lines) == 1
    assert "torch==2.13.0" in lines and pins("3.12") != pins("old")


def test_ties_are_told_from_other_neighbours() -> None:
    first = [([1, 2], [0.5, 0.25]), ([1, 2], [0.5, 0.25]), ([1, 2], [0.5, 0.25])]
    second = [([2, 1], [0.25, 0.5]), ([1, 3], [0.5, 0.25]), ([3, 2], [0.5, 0.25])]
    assert ties(first, second) == "2 of 3 items have other neighbours, 1 of them by ties alone"
