"""The table and the lines at the end of a run."""

from __future__ import annotations

import pytest

from recbole_painvrl.run.summary import mask_sentence, metrics_table, run_summary

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


def test_a_shift_that_is_not_detected_does_not_deny_the_one_that_was_found() -> None:
    found = "shift of popularity: OOD interactions are with less popular items (AUC 0.44)"
    split = {"shift": "not detected", "ultragcn_ndcg@10": {"test": 0.025, "ood": 0.0289}}
    result = {
        "model": "UltraGCN", "dataset": "toy", "protocol": "iid_ood", "seed": 0, "edition": "x",
        "metrics": METRICS, "split": split, "shift": {"sentences": [found]}, "run_folder": "runs/x",
    }  # fmt: skip
    lines = run_summary(result).splitlines()
    place = lines.index(found)
    for fact in ("not detected by the criterion of this protocol", "0.0250", "0.0289", "10%"):
        assert fact in lines[place - 1]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"used": "soft", "dropped": {"overall": 0}}, "soft, every one of the 96 columns"),
        (
            {"used": "binary", "dropped": {"overall": 48}, "reversed_below_cut": 40},
            "cut in two, 48 of 96 columns dropped (40 of them reversed between environments)",
        ),
        (
            {
                "used": "ones",
                "dropped": {"overall": 0},
                "reversed_below_cut": 3,
                "candidates": {"ones": {}, "zeros": {}},
            },
            "all 96 columns kept, better on validation than no features (no column found spurious)",
        ),
    ],
)
def test_what_became_of_the_mask(said: dict[str, object], expected: str) -> None:
    assert mask_sentence({"columns": 96, **said}).startswith(expected)
