"""Descriptions of settings from their schemas, for the command line and docs/settings.md."""

from __future__ import annotations

from typing import Any, NamedTuple

from recbole_painvrl.config.base import Settings, expectation
from recbole_painvrl.config.layers import internal_layers, merge
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.properties import preset_names, properties_of, properties_root
from recbole_painvrl.config.settings import RunSettings
from recbole_painvrl.specs import spec_of


class SettingLine(NamedTuple):
    """A setting with its default, expected values and description."""

    name: str
    default: Any
    expected: str
    description: str


def run_settings() -> list[SettingLine]:
    """The plugin's settings of every run."""
    return _lines(RunSettings, read_yaml(properties_root() / "overall.yaml"))


def model_settings(model: str) -> list[SettingLine]:
    """The settings of a model with a ModelSpec; empty for RecBole's own models."""
    spec = spec_of(model)
    if spec is None:
        return []
    return _lines(spec.schema, read_yaml(properties_of(model) / "model" / f"{model}.yaml"))


def default_values(model: str) -> dict[str, Any]:
    """All defaults of a model, RecBole's settings included, without those of a dataset."""
    return merge(internal_layers(model, ""))[0]


def preset_values(model: str) -> dict[str, dict[str, Any]]:
    """The values of each preset of a model."""
    folder = properties_of(model) / "preset" / model
    return {name: read_yaml(folder / f"{name}.yaml") for name in preset_names(model)}


def _lines(schema: type[Settings], values: dict[str, Any]) -> list[SettingLine]:
    return [
        SettingLine(
            name, values.get(name, field.default), expectation(field), str(field.description)
        )
        for name, field in schema.model_fields.items()
    ]
