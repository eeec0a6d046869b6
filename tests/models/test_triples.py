"""Models that learn from triples, run by RecBole's own entry point and with several negatives."""

from __future__ import annotations

from pathlib import Path

import pytest
from recbole.quick_start import run_recbole
from support import run_main

MODELS = pytest.mark.parametrize("model", ["VBPR", "MMGCN"])


@MODELS
# thop, by which RecBole counts operations, compares versions by distutils, which is deprecated.
@pytest.mark.filterwarnings("ignore:.*distutils")
def test_recboles_own_run_gives_the_same_metrics(
    model: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RecBole hangs its log file on the root logger for good.
    monkeypatch.setattr("recbole.quick_start.quick_start.init_logger", lambda config: None)
    own = run_main(tiny_data, tmp_path, model, "--seed=5", "--fast_loader=False", name="x").result[
        "metrics"
    ]
    values = {
        "show_progress": False, "use_gpu": False, "epochs": 2, "seed": 5, "state": "ERROR",
        "data_path": str(tiny_data), "checkpoint_dir": str(tmp_path / "saved"),
    }  # fmt: skip
    theirs = run_recbole(model, "tiny", config_dict=values)["test_result"]
    for name, value in own["iid"].items():
        assert theirs[name] == pytest.approx(value, abs=1e-6)


@MODELS
def test_several_negatives_per_positive(model: str, tiny_data: Path, tmp_path: Path) -> None:
    drawn = "--train_neg_sample_args={distribution: uniform, sample_num: 3}"
    run = run_main(tiny_data, tmp_path, model, drawn, name="x")
    assert run.code == 0, run.err
    plain = run_main(tiny_data, tmp_path, model, name="plain")
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
