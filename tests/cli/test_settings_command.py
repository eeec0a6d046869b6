"""The list of a model's settings is that of its schema."""

from __future__ import annotations

import pytest

from recbole_painvrl.__main__ import main
from recbole_painvrl.config import RunSettings
from recbole_painvrl.config.properties import preset_names
from recbole_painvrl.specs import specs


@pytest.mark.parametrize("model", specs())
def test_every_setting_and_preset_is_listed(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", model]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--")]
    names = [line[2:].partition("=")[0] for line in heads]
    assert names == [*specs()[model].schema.model_fields, *["preset"] * len(preset_names(model))]


def test_settings_of_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    page = capsys.readouterr().out
    assert all(f"--{name}=" in page for name in RunSettings.model_fields)
    assert "--ood_fraction=0.2  (" in page


def test_unknown_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "VBRP"]) == 2
    assert "did you mean `VBPR`?" in capsys.readouterr().err
