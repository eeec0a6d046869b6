"""What the tables of whole runs and of quality say about results."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.paper_sizes import table
from benchmarks.quality import _unless_given, path_row, seconds_to


def run(scores: list[float], ood: bool = False) -> dict[str, Any]:
    """A result with a stage of 30 seconds before the one with these validation scores."""
    history = [{"epoch": n, "valid": {"ndcg@10": s}} for n, s in enumerate(scores, 1)]
    parts = ("valid", "iid", "ood") if ood else ("valid", "test")
    return {
        "valid_metric": "NDCG@10",
        "seconds": 100.0,
        "peak_memory_mb": 2048.0,
        "metrics": {part: {"ndcg@10": max(scores)} for part in parts},
        "stages": [
            {"name": "mask 1", "epochs": 8, "seconds": 30.0, "peak_memory_mb": 1024.0},
            {
                "name": "final",
                "epochs": len(scores),
                "best_epoch": 1 + scores.index(max(scores)),
                "seconds": 60.0,
                "peak_memory_mb": 2048.0,
                "history": history,
            },
        ],
    }


def test_seconds_to_a_score() -> None:
    # In the third of six epochs of ten seconds, after a stage of thirty.
    result = run([0.10, 0.15, 0.199, 0.1995, 0.2, 0.18])
    assert seconds_to(0.198, result) == pytest.approx(30 + 60 * 3 / 6)
    assert seconds_to(0.21, result) is None


def test_a_row_has_the_parts_that_there_are() -> None:
    runs = [run([0.1]), run([0.3])]
    scores = "0.2000 ± 0.1414 | 0.2000 ± 0.1414"
    assert path_row(("m",), runs, runs) == f"| m | {scores} |  |  | 100 | 90 |"
    better = [run([0.2]), run([0.3])]
    assert path_row(("m",), runs, better) == f"| m | {scores} |  |  | 100 | 90 (1 of 2) |"
    assert path_row(("m",), runs, [run([0.4])] * 2).endswith("| not reached |")
    ood = [run([0.1], ood=True)]
    assert path_row(("m",), ood, ood).startswith("| m | 0.1000 | 0.1000 | 0.1000 |"), (
        "one seed, no spread"
    )


def test_a_way_replaces_settings_of_the_data() -> None:
    data = ["--dataset=x", "--modalities=[a]"]
    assert _unless_given(data, ["--modalities=[]"]) == ["--dataset=x", "--modalities=[]"]
    assert _unless_given(data, []) == data


def test_whole_runs_stand_beside_their_target() -> None:
    lines = table("tiktok", run([0.1, 0.2])).splitlines()
    assert lines[2] == "| mask 1 | 8 |  | 0.5 | 1.00 |"
    assert lines[3] == "| final | 2 | 2 | 1.0 | 2.00 |"
    assert lines[4] == "| whole run (target: 240 minutes, 8 GB) |  |  | 1.7 | 2.00 |"
