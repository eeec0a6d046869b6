"""Results of earlier calls in the comparison of stacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stacks


def stored(models: list[str], **more: Any) -> dict[str, Any]:
    versions = dict.fromkeys(("python", *stacks.PACKAGES), "1")
    found = {name: {"ndcg@10": 0.5} for name in models}
    return {"versions": versions, "models": found, "seconds": 1.0, "neighbours": {}, **more}


@pytest.mark.parametrize(
    ("asked", "reused"),
    [(None, True), ("BPR", True), ("BPR,Pop", False), ("ours", False), ("recbole", False)],
)
def test_results_without_a_model_that_is_named_are_not_reused(
    asked: str | None, reused: bool, tmp_path: Path
) -> None:
    """The model was missing in the table, and nothing was said."""
    file = tmp_path / "this.json"
    file.write_text(json.dumps(stored(["BPR"], asked="BPR")))
    assert stacks._has_asked(file, asked) == reused


def test_results_of_other_code_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stacks with results of different code were compared as if only the versions differed."""
    monkeypatch.setattr(stacks, "results", lambda name, _: stored(["BPR"], code=name))
    assert stacks.main(["--stacks", "old,3.12", "--reuse"]) == 0
    assert "warning: 3.12: made by another version of the code than old" in capsys.readouterr().err
