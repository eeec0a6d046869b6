"""The table and the lines at the end of a run."""

from __future__ import annotations

from recbole_painvrl.run.summary import metrics_table, planted_lines
from recbole_painvrl.training.stage_log import StageLog

METRICS = {
    "valid": {"recall@10": 0.25, "ndcg@10": 0.125},
    "iid": {"recall@10": 0.5},
    "ood": {"recall@10": 1 / 3, "ndcg@10": 0.0625},
}


def test_metrics_table() -> None:
    lines = metrics_table(METRICS).splitlines()
    assert lines[0].split() == ["recall@10", "ndcg@10"]
    assert lines[1].split() == ["valid", "0.2500", "0.1250"]
    assert lines[2].split() == ["test", "(IID)", "0.5000", "-"]
    assert lines[3].split() == ["test", "(OOD)", "0.3333", "0.0625"]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_planted_lines_say_the_controls() -> None:
    planted = {
        "mask_auc": {"overall": 0.9},
        "mask_auc_shuffled": {"overall": 0.5},
        "mask": {"overall": {"mean_invariant": 0.8, "mean_spurious": 0.2}},
        "environment_ari": 0.7,
        "environment_ari_shuffled": 0.0,
        "environment_ari_supervised": 0.9,
        "oracle": {"iid": {"recall@10": 0.5}},
    }
    text = "\n".join(planted_lines(planted))
    for part in ("0.900", "shuffled truth 0.500", "0.800", "0.200", "0.700", "oracle", "0.5000"):
        assert part in text
    assert planted_lines({}) == []


def test_stage_log() -> None:
    log = StageLog()
    with log.measure("mask 1") as entry:
        entry.update(epochs=3, w_erm=0.123456, best=None)
    (entry,) = log.entries
    assert entry["name"] == "mask 1"
    assert entry["seconds"] >= 0
    assert entry["peak_memory_mb"] > 10
    assert log.line("mask 1").startswith("mask 1: epochs 3, w_erm 0.1235 (")
