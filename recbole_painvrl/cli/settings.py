"""``python -m recbole_painvrl settings``: the settings of a model."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from recbole_painvrl.cli import base, names

PAGE = """
  python -m recbole_painvrl settings
  python -m recbole_painvrl settings PaInvRL

RecBole's settings, and those of its models, are in RecBole's documentation.
"""
_WIDTH = 100
_TRAINING = ("epochs", "stopping_step", "eval_step", "learning_rate", "train_batch_size")


@base.command(
    "settings",
    page=PAGE,
    without_words=True,
    exit_codes="0 done, 2 unknown model (one line says what), 1 any other error",
)
@click.argument("model", required=False, shell_complete=names.complete)
def command(model: str | None) -> None:
    """List the settings of a model, or those of every run.

    With defaults, bounds and descriptions; for a model also its presets and their values.
    """
    print("\n".join(lines(model)))


def lines(model: str | None) -> list[str]:
    """The settings and presets of a model; without a model, the plugin's settings of every run.

    Raises:
        UserError: there is no such model.
    """
    from recbole_painvrl.config.describe import (
        default_values,
        model_settings,
        preset_values,
        run_settings,
    )
    from recbole_painvrl.config.lookup import model_class

    if model is None:
        return [_entry(*line) for line in run_settings()]
    name = model_class(model).__name__
    found = [_entry(*line) for line in model_settings(name)]
    if not found:
        return [f"{name} is a model of RecBole; its settings are those of RecBole's documentation"]
    defaults = default_values(name)
    training = ", ".join(f"--{setting}={_shown(defaults.get(setting))}" for setting in _TRAINING)
    found.append(_wrapped(f"RecBole's settings of training: {training}"))
    for preset, values in preset_values(name).items():
        changes = ", ".join(
            f"{setting}={_shown(value)} ({_shown(defaults.get(setting))})"
            for setting, value in values.items()
            if value != defaults.get(setting)
        )
        found.append(_wrapped(f"--preset={preset}, with the defaults in brackets: {changes}"))
    return found


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")


def _entry(name: str, default: Any, expected: str, description: str) -> str:
    head = f"--{name}={_shown(default)}  ({expected})"
    return "\n".join(
        textwrap.wrap(head, _WIDTH, subsequent_indent="    ")
        + textwrap.wrap(description, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    )


def _shown(value: Any) -> str:
    return "~" if value is None else str(value)
