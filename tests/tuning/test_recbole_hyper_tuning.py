"""RecBole's own HyperTuning works for the plugin's models, on their search spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recbole.quick_start import objective_function
from support import SHORT_STAGES

from recbole_painvrl.cli.tune import main
from recbole_painvrl.config.loading import parse_overrides


@pytest.fixture
def fixed(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a short run; no session of ray is told, and no log file is hung on the root."""
    monkeypatch.setattr("recbole.quick_start.quick_start.init_logger", lambda config: None)
    monkeypatch.setattr("recbole.quick_start.quick_start.tune.report", lambda **metrics: None)
    return {
        "dataset": "tiny", "data_path": str(tiny_data), "checkpoint_dir": str(tmp_path / "saved"),
        "epochs": 1, "use_gpu": False, "show_progress": False,
    }  # fmt: skip


def test_its_objective_function_trains_a_point_of_the_space(fixed: dict[str, Any]) -> None:
    values = {**fixed, **parse_overrides(SHORT_STAGES), "model": "PaInvRL", "mask_epochs": 1}
    result = objective_function(config_dict={**values, "mask_step_size": 0.05}, saved=True)
    assert result["model"] == "PaInvRL"
    assert 0 < result["best_valid_score"] <= 1


def test_its_objective_function_trains_a_model_of_recbole(fixed: dict[str, Any]) -> None:
    """Whose checkpoint torch would not read back."""
    values = {**fixed, "model": "BPR", "load_col": {"inter": ["user_id", "item_id"]}}
    result = objective_function(config_dict=values, saved=True)
    assert 0 < result["test_result"]["ndcg@10"] <= 1


def test_hyper_tuning_with_hyperopt(fixed: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("hyperopt", reason="RecBole's HyperTuning needs hyperopt")
    from recbole.trainer import HyperTuning

    file = tmp_path / "vbpr.hyper"
    assert main(["--model=VBPR", "--dataset=tiny", f"--recbole-space={file}"]) == 0

    def objective(config_dict: dict[str, Any], files: Any) -> Any:
        return objective_function({**fixed, "model": "VBPR", **config_dict}, files)

    tuning = HyperTuning(objective, algo="random", params_file=str(file), max_evals=2)
    tuning.run()
    assert len(tuning.score_list) == 2
    assert set(tuning.best_params) == {
        "reg_weight", "projection_reg_weight", "form", "feature_scale", "learning_rate",
    }  # fmt: skip
