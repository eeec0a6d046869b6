"""Settings that others make idle: every declaration names settings, and the user is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.run.checks import check_settings
from recbole_painvrl.specs import specs

MODELS = [name for name, spec in sorted(specs().items()) if spec.schema.idle]


def _idle(model: str, **given: Any) -> tuple[str, ...]:
    return SafeConfig(model, "planted", overrides=given).idle


@pytest.mark.parametrize("model", MODELS)
def test_declarations_name_settings(model: str) -> None:
    schema = specs()[model].schema
    for idle in schema.idle:
        assert set(idle.names) <= schema.model_fields.keys() >= idle.where.keys()


@pytest.mark.parametrize(
    ("model", "given", "lines"),
    [
        (
            "PaInvRL",
            {"irm_weight": 5.0},
            ["`irm_weight` has no effect with `loss_weighting: pareto`"],
        ),
        ("PaInvRL", {"irm_weight": 5.0, "loss_weighting": "fixed"}, []),
        # The default value, and that of a preset.
        ("PaInvRL", {"irm_weight": 1.0}, []),
        ("PaInvRL", {"preset": "paper_literal"}, []),
        ("InvRL", {"weight_growth": 2.0}, ["`weight_growth` has no effect with `outer_rounds: 1`"]),
        ("InvRL", {"weight_growth": 2.0, "outer_rounds": 2}, []),
        (
            "RP3beta",
            {"knn_k": 3, "shrink": 1.0},
            [
                "`knn_k` has no effect with `form: walk, content_weight: 0.0`",
                "`shrink` has no effect with `form: walk, content_weight: 0.0`",
            ],
        ),
        ("RP3beta", {"knn_k": 3, "form": "knn"}, []),
        (
            "BPR",
            {"state": "ERROR", "loss_decimal_place": 4},
            ["`state` has no effect: train.log has all records, the console figures and warnings"],
        ),
        # Named once, where two declarations hold.
        (
            "SLMRec",
            {"dropout": 0.5, "ssl_weight": 0.0},
            ["`dropout` has no effect with `ssl_task: FAC`"],
        ),
    ],
)
def test_an_idle_setting_is_named(model: str, given: dict[str, Any], lines: list[str]) -> None:
    assert list(_idle(model, **given)) == lines


def test_an_idle_setting_in_a_file_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("n_routings: 7\n")
    with caplog.at_level("WARNING", "recbole_painvrl"):
        check_settings(SafeConfig("GRCN", "planted", config_files=[path]))
    assert "`n_routings` has no effect with `routing: False`" in caplog.text
