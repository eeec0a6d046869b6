"""What a run leaves in the summary of Weights and Biases, with a stub of its package."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from recbole.quick_start import run_recbole
from support import run_main


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The summary of the present run of the stub."""
    stub: Any = ModuleType("wandb")
    stub.__spec__ = ModuleSpec("wandb", None)
    stub.run = SimpleNamespace(summary={})
    stub.log = stub.define_metric = lambda *_, **__: None
    monkeypatch.setitem(sys.modules, "wandb", stub)
    found: dict[str, Any] = stub.run.summary
    return found


def test_the_summary_of_a_run_has_the_metrics_of_its_tests(
    summary: dict[str, Any], tiny_data: Path, tmp_path: Path
) -> None:
    """And not those of popularity, which is evaluated last."""
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--log_wandb=True", name="x")
    assert run.code == 0, run.err
    metrics = run.result["metrics"]
    expected = {f"eval/{name}": value for name, value in metrics["iid"].items()}
    expected |= {f"eval/ood_{name}": value for name, value in metrics["ood"].items()}
    assert summary == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*distutils")
def test_the_summary_of_recboles_own_entry(
    summary: dict[str, Any], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recbole.quick_start.quick_start.init_logger", lambda config: None)
    values = {"data_path": str(tiny_data), "checkpoint_dir": str(tmp_path / "saved"), "epochs": 1}
    shown = {"show_progress": False, "use_gpu": False, "state": "ERROR", "log_wandb": True}
    result = run_recbole("UltraGCN", "tiny", config_dict={**values, **shown})["test_result"]
    assert summary == pytest.approx({f"eval/{name}": value for name, value in result.items()})
