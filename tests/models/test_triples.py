"""Models that learn from triples, with several negatives and with other ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import run_main


def test_several_negatives_per_positive(tiny_data: Path, tmp_path: Path) -> None:
    drawn = "--train_neg_sample_args={distribution: uniform, sample_num: 3}"
    run = run_main(tiny_data, tmp_path, "VBPR", drawn, name="x")
    assert run.code == 0, run.err
    plain = run_main(tiny_data, tmp_path, "VBPR", name="plain")
    assert run.result["metrics"] != plain.result["metrics"]


@pytest.mark.parametrize(
    "negatives",
    [
        "{distribution: uniform, sample_num: 1, dynamic: True, candidate_num: 2}",
        "{distribution: popularity, sample_num: 1, alpha: 0.5}",
    ],
)
def test_other_negatives(negatives: str, tiny_data: Path, tmp_path: Path) -> None:
    argv = f"--train_neg_sample_args={negatives}"
    run = run_main(tiny_data, tmp_path, "VBPR", argv, name="x")
    assert run.code == 0, run.err
