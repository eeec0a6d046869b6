"""What the table of stacks calls equal, different and failed."""

from __future__ import annotations

import math

from benchmarks.stacks import Figures, difference, tables

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
