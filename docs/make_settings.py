"""Writes docs/settings.md from the schemas and the property files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recbole_painvrl.config import RunSettings, properties_root
from recbole_painvrl.specs import specs

HERE = Path(__file__).parent


def settings_page() -> str:
    """One table for the settings of every run, one per model."""
    text = [
        "# Settings",
        "",
        "Written by `python -m docs.make_settings` from `recbole_painvrl/config/settings.py`, "
        "`recbole_painvrl/config/models/` and `properties/`.",
        "RecBole's own settings (`epochs`, `learning_rate`, `train_batch_size`, `eval_step`, "
        "`stopping_step`, `seed`, ...) keep their names and meaning.",
        "",
        "Weak to strong: RecBole overall, plugin overall, model, preset, dataset, files given by "
        "`--config_files`, command line.",
    ]
    text += _section("Every run", RunSettings, "overall.yaml")
    for model, spec in sorted(specs().items()):
        text += _section(model, spec.schema, f"model/{model}.yaml")
    return "\n".join(text) + "\n"


def _section(title: str, schema: Any, properties: str) -> list[str]:
    values = yaml.safe_load((properties_root() / properties).read_text(encoding="utf-8"))
    lines = ["", f"## {title}", "", f"Defaults: `properties/{properties}`.", ""]
    lines += ["| setting | default | what it is |", "|---|---|---|"]
    for name, field in schema.model_fields.items():
        default = values.get(name, field.default)
        lines.append(f"| `{name}` | `{_shown(default)}` | {field.description} |")
    return lines


def _shown(value: Any) -> str:
    return "~" if value is None else str(value)


if __name__ == "__main__":
    (HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
