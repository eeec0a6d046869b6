"""Writes docs/settings.md from the schemas and the property files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.config.describe import SettingLine, model_settings, run_settings
from recbole_painvrl.specs import specs

HERE = Path(__file__).parent


def settings_page() -> str:
    """One table for the settings of every run, one per model."""
    text = [
        "# Settings",
        "",
        "Written by `python -m docs.make_settings` from `recbole_painvrl/config/settings.py`, "
        "`recbole_painvrl/models/` and `properties/`.",
        "RecBole's own settings (`epochs`, `learning_rate`, `train_batch_size`, `eval_step`, "
        "`stopping_step`, `seed`, ...) keep their names and meaning.",
        "",
        "Weak to strong: RecBole overall, plugin overall, model, preset, dataset, files given by "
        "`--config_files`, command line. A mapping such as `eval_args` replaces that of a weaker "
        "source as a whole; keys that it leaves out have RecBole's defaults, and where one of them "
        "was in a file of yours, a warning names it. `checkpoint_dir` has no effect on a run, "
        "whose checkpoints are in its folder. A setting of yours that another one makes idle, such "
        "as `irm_weight` without `loss_weighting: fixed`, is a warning.",
    ]
    text += _section("Every run", run_settings(), "overall.yaml")
    for model in sorted(specs()):
        text += _section(model, model_settings(model), f"model/{model}.yaml")
    return "\n".join(text) + "\n"


def _section(title: str, settings: Sequence[SettingLine], properties: str) -> list[str]:
    lines = ["", f"## {title}", "", f"Defaults: `properties/{properties}`.", ""]
    lines += ["| setting | default | what it is |", "|---|---|---|"]
    for one in settings:
        default = "~" if one.default is None else one.default
        lines.append(f"| `{one.name}` | `{default}` | {one.description} |")
    return lines


if __name__ == "__main__":
    (HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
