"""What the commands that run grids ask of the user, and how it becomes a plan."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.config.loading import config_file_names
from recbole_painvrl.config.lookup import model_class
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.planning import Plan, words_of


def grid_arguments(command: str) -> Arguments:
    """The options that ``benchmark`` and ``ablate`` share."""
    parser = Arguments(command)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--model-config", action="append", default=[])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--config_files", "--config-files", default="")
    parser.add_argument("--output", type=Path, default=Path("runs") / command)
    parser.add_argument("--workers", type=_positive, default=1)
    parser.add_argument("--storage")
    parser.add_argument("--retry-failed", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    return parser


def plan_of(options: argparse.Namespace, settings: Sequence[str], models: Sequence[str]) -> Plan:
    """The plan of a grid of some models.

    Raises:
        UserError: for what cannot be understood, or names a model that is not in the grid.
    """
    own_files: dict[str, tuple[str, ...]] = {}
    for text in options.model_config:
        model, path = _pair(text, "--model-config", "PaInvRL=file.yaml", models)
        own_files[model] = (*own_files.get(model, ()), path)
    own: dict[str, dict[str, str]] = {}
    for text in options.set:
        left, value = _pair(text, "--set", "PaInvRL.mask_decay=0.1", None)
        model, dot, name = left.partition(".")
        if not dot or not name:
            raise UserError(f"`--set`: found {text!r}, expected MODEL.SETTING=VALUE")
        _in_grid(model, "--set", models)
        own.setdefault(model, {})[name] = value
    return Plan(
        options.dataset,
        seeds_of(options.seeds),
        options.output,
        words_of(settings),
        tuple(config_file_names(options.config_files)),
        own_files,
        own,
    )


def seeds_of(text: str) -> list[int]:
    """``5`` for seeds 0 to 4, ``3,7`` (or ``[3,7]``, ``3,``) for these.

    Raises:
        UserError: for anything else.
    """
    words = [word.strip() for word in text.strip("[] ").split(",")]
    listed = "," in text or text.startswith("[")
    words = [word for word in words if word] if listed else words
    if words and all(word.isdigit() for word in words):
        numbers = [int(word) for word in words]
        if listed and len(set(numbers)) == len(numbers):
            return numbers
        if not listed and numbers[0] > 0:
            return list(range(numbers[0]))
    raise UserError(f"`--seeds`: found {text!r}, expected how many (5) or which, each once (0,3,7)")


def models_of(text: str) -> list[str]:
    """Names of models that exist, in order.

    Raises:
        UserError: for an unknown or repeated one.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        model_class(name)
    if not names or len(set(names)) < len(names):
        raise UserError(f"`--models`: found {text!r}, expected different names such as PaInvRL,BPR")
    return names


def _pair(text: str, option: str, example: str, models: Sequence[str] | None) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not equals or not left or not right:
        raise UserError(f"`{option}`: found {text!r}, expected {option} {example}")
    if models is not None:
        _in_grid(left, option, models)
    return left, right


def _in_grid(model: str, option: str, models: Sequence[str]) -> None:
    if model not in models:
        raise UserError(f"`{option}`: found model {model!r}, expected one of {', '.join(models)}")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number >= 1")
    return int(text)
