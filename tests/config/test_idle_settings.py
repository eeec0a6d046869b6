"""Settings that others make idle: every declaration names settings, and the user is told."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from recbole.model import general_recommender
from recbole.utils import get_model
from support import MakeConfig, write_inter

from recbole_painvrl.config import RunSettings, SafeConfig
from recbole_painvrl.config.validation import READS_REQUIRE_POW
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.errors import UserError
from recbole_painvrl.run.checks import check_run, check_settings
from recbole_painvrl.specs import specs

MODELS = [name for name, spec in sorted(specs().items()) if spec.schema.idle]


def _idle(model: str, **given: Any) -> tuple[str, ...]:
    return SafeConfig(model, "planted", overrides=given).idle


@pytest.mark.parametrize("model", MODELS)
def test_declarations_name_settings(model: str) -> None:
    schema = specs()[model].schema
    for idle in schema.idle:
        assert set(idle.names) <= schema.model_fields.keys()
        assert idle.where.keys() <= schema.model_fields.keys() | RunSettings.model_fields.keys()


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
        (
            "BPR",
            {"require_pow": True},
            ["`require_pow` has no effect on BPR, whose loss does not read it"],
        ),
        (
            "VBPR",
            {"require_pow": True},
            ["`require_pow` has no effect on VBPR, whose loss does not read it"],
        ),
        ("LightGCN", {"require_pow": True}, []),
        (
            "BPR",
            {"wandb_project": "mine"},
            ["`wandb_project` has no effect with `log_wandb: False`"],
        ),
        ("BPR", {"wandb_project": "mine", "log_wandb": True}, []),
        (
            "BPR",
            {"eval_step": 0, "stopping_step": 3},
            ["`stopping_step` has no effect with `eval_step: 0`"],
        ),
        (
            "UltraGCN",
            {"modalities": [], "projection_reg_weight": 1.0, "missing_modality": "mean"},
            [
                "`missing_modality` has no effect with `modalities: []`",
                "`projection_reg_weight` has no effect with `modalities: []`",
            ],
        ),
        ("UltraGCN", {"projection_reg_weight": 1.0}, []),
        (
            "VBPR",
            {"modalities": [], "feature_scale": 2.0},
            ["`feature_scale` has no effect with `modalities: []`"],
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


def test_the_models_that_read_require_pow() -> None:
    found = {
        name
        for name, model in vars(general_recommender).items()
        if inspect.isclass(model) and "require_pow" in inspect.getsource(inspect.getmodule(model))
    }
    assert found == set(READS_REQUIRE_POW)


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        ("BPR", (), False),
        ("VBPR", (), False),
        ("UltraGCN", (), True),
        ("MMSSL", (), True),
        ("NeuMF", (), True),
        ("Pop", (), True),
        ("PaInvRL", ("--final_model=VBPR",), False),
    ],
)
def test_a_loader_that_draws_nothing_is_named(
    model: str,
    options: tuple[str, ...],
    named: bool,
    tiny_config: MakeConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`fast_loader: False` of a model that brings its own negatives, or needs no pairs."""
    with caplog.at_level("WARNING", "recbole_painvrl"):
        check_settings(tiny_config(model, "--fast_loader=False", *options))
    assert ("`fast_loader` has no effect" in caplog.text) == named


def test_settings_of_features_on_data_without_any(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tiny_config: MakeConfig
) -> None:
    lines = [f"u{n % 7}\ti{n % 11}" for n in range(60)]
    data = write_inter(tmp_path / "data", "plain", "user_id:token\titem_id:token", lines)
    options = ("--dataset=plain", "--projection_reg_weight=1.0", "--epochs=1")
    config = tiny_config("UltraGCN", *options, data=data)
    parts = ModalityDataset(config).build_parts()
    with caplog.at_level("WARNING", "recbole_painvrl"):
        check_run(config, get_model("UltraGCN")(config, parts["train"]), parts)
    assert "`projection_reg_weight` has no effect on a dataset without features" in caplog.text
    assert not config.idle


def test_no_selection_without_evaluations(tiny_config: MakeConfig) -> None:
    """The last epoch was taken, and nothing was said."""
    config = tiny_config("BPR", "--protocol=popularity", "--select_on=ood", "--eval_step=0")
    parts = ModalityDataset(config).build_parts()
    model = get_model("BPR")(config, parts["train"])
    with pytest.raises(UserError, match="`select_on: ood`: found `eval_step: 0`"):
        check_run(config, model, parts)
