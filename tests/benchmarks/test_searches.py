"""Searches in the table of the quality of the models."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.model_quality import _other_search


def test_a_search_of_another_length_is_named(tmp_path: Path) -> None:
    """``--report`` showed rows of unequal searches as equal ones."""
    (tmp_path / "search" / "trial-0000").mkdir(parents=True)
    (tmp_path / "search" / "trial-0000" / "trial.json").write_text("{}")
    assert _other_search(tmp_path, 8) == ", search not complete (1 of 8 trials)"
    (tmp_path / "searched").write_text(json.dumps([8, "--model=BPR"]))
    assert _other_search(tmp_path, 8) == ""
    assert _other_search(tmp_path, 6) == ", 8 trials in place of 6"
