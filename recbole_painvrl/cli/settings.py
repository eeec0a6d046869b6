"""``python -m recbole_painvrl settings``: what can be set for a model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.cli.outcome import DONE, guarded

HELP = """\
usage: python -m recbole_painvrl settings [MODEL]

Lists the settings of a model with their defaults, what they may be and what they do, and its
presets with what these set. Without a model: the plugin's settings of every run.

  python -m recbole_painvrl settings
  python -m recbole_painvrl settings PaInvRL

RecBole's own settings are not listed; its models have no others.

exit codes: 0 done, 2 unknown model (one line says what), 1 anything else
"""
_WIDTH = 100


def main(argv: Sequence[str]) -> int:
    """Print the list; returns the exit code."""
    # Without a word this command has an answer, so that only these ask for help.
    if {"-h", "--help"} & set(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _list(argv))


def _list(argv: Sequence[str]) -> None:
    from recbole_painvrl.config.describe import model_settings, preset_values, run_settings
    from recbole_painvrl.config.lookup import model_class

    parser = Arguments("settings")
    parser.add_argument("model", nargs="?")
    options = parser.parse_args(list(argv))
    if options.model is None:
        print("\n".join(_entry(*line) for line in run_settings()))
        return
    model = model_class(options.model).__name__
    lines = model_settings(model)
    if not lines:
        print(f"{model} is a model of RecBole; its settings are those of RecBole's documentation")
        return
    print("\n".join(_entry(*line) for line in lines))
    for name, values in preset_values(model).items():
        words = ", ".join(f"{setting}={_shown(value)}" for setting, value in values.items())
        print(textwrap.fill(f"--preset={name}: {words}", _WIDTH, subsequent_indent="    "))


def _entry(name: str, default: Any, expected: str, description: str) -> str:
    head = f"--{name}={_shown(default)}  ({expected})"
    return "\n".join(
        textwrap.wrap(head, _WIDTH, subsequent_indent="    ")
        + textwrap.wrap(description, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    )


def _shown(value: Any) -> str:
    return "~" if value is None else str(value)
