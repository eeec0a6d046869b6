"""RecBole's own entry points find the plugin, and our runner agrees with RecBole's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recbole.quick_start import run_recbole
from support import SHORT_STAGES, run_command, run_main

from recbole_painvrl.config.loading import parse_overrides

# thop, by which RecBole counts operations, compares versions by distutils.
pytestmark = pytest.mark.filterwarnings("ignore:distutils Version classes")


@pytest.fixture(autouse=True)
def _no_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """RecBole hangs its log file on the root logger for good."""
    monkeypatch.setattr("recbole.quick_start.quick_start.init_logger", lambda config: None)


def recbole(model: str, dataset: str, saved: bool = True, **values: Any) -> Any:
    """RecBole's ``run_recbole``; its own models' checkpoints are pickles, which torch refuses."""
    common = {"show_progress": False, "use_gpu": False, "epochs": 2, "seed": 5, "state": "ERROR"}
    return run_recbole(model, dataset, config_dict={**common, **values}, saved=saved)


def test_recboles_own_run_recbole(tiny_data: Path, tmp_path: Path) -> None:
    result = recbole(
        "PaInvRL", "tiny", data_path=str(tiny_data), checkpoint_dir=str(tmp_path / "saved"),
        **parse_overrides(SHORT_STAGES),
    )  # fmt: skip
    metrics = {"recall@10", "ndcg@10", "precision@10"}
    assert set(result["test_result"]) == metrics | {f"ood_{name}" for name in metrics}
    assert all(0 <= value <= 1 for value in result["test_result"].values())
    assert result["test_result"]["ndcg@10"] > 0


def test_both_entries_give_the_same_test_metrics(tiny_data: Path, tmp_path: Path) -> None:
    own = run_main(tiny_data, tmp_path, "UltraGCN", "--seed=5", name="x").result["metrics"]
    theirs = recbole(
        "UltraGCN", "tiny", data_path=str(tiny_data), checkpoint_dir=str(tmp_path / "saved")
    )["test_result"]
    for name, value in own["iid"].items():
        assert theirs[name] == pytest.approx(value, abs=1e-6)
    for name, value in own["ood"].items():
        assert theirs[f"ood_{name}"] == pytest.approx(value, abs=1e-6)


def test_bpr_has_recboles_own_numbers(tmp_path: Path) -> None:
    """Two epochs on ML-100K, random protocol: the runner changes nothing but Adam's rounding."""
    theirs = recbole(
        "BPR", "ml-100k", saved=False, topk=[10], metrics=["Recall", "NDCG"],
        metric_decimal_place=6, eval_step=2, valid_metric="NDCG@10", eval_batch_size=400000,
        checkpoint_dir=str(tmp_path / "saved"),
    )["test_result"]  # fmt: skip
    own = run_command(
        "--model=BPR", "--dataset=ml-100k", "--seed=5", "--epochs=2", "--topk=[10]",
        "--metrics=[Recall,NDCG]", "--eval_step=2", "--show_progress=False", "--use_gpu=False",
        f"--output_dir={tmp_path}", "--fast_loader=False", name="x",
    )  # fmt: skip
    assert own.code == 0, own.err
    assert set(theirs) == {"recall@10", "ndcg@10"}
    for name, value in own.result["metrics"]["test"].items():
        # Two items that swap places move a mean over 943 users in the fourth decimal.
        assert theirs[name] == pytest.approx(value, abs=5e-4)
        assert value > 0.01
