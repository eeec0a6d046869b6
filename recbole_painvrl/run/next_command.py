"""The command that answers what a run with a learnt mask leaves open."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_painvrl.config.loading import PlainLoader
from recbole_painvrl.config.properties import preset_names
from recbole_painvrl.run.command import setting_text
from recbole_painvrl.specs import spec_of

BACKBONE = "UltraGCN"
# What belongs to a run alone, and not to a grid of runs on the same data.
_OF_A_RUN = ("model", "dataset", "seed", "n_threads", "compare_backbone", "oracle")


def next_command(result: Mapping[str, Any], is_compared: bool) -> str:
    """One line for a shell.

    Without an OOD test: the run with one, if its interactions can be split anew. Without the same
    model on all features: the run with it, or a benchmark of another final model with and without
    the mask. Otherwise the controls of PaInvRL's mask, InvRL beside UltraGCN, or the other final
    model beside UltraGCN.

    Args:
        result: ``result.json``, with ``final_model``.
        is_compared: whether the final model was compared with the same one on all features, or
            has them.
    """
    command, final = list(result["command"]), result.get("final_model", BACKBONE)
    shift = result.get("shift", {})
    if "ood" not in result["metrics"] and shift.get("other_protocols", True):
        return shlex.join([*_without_split(command), "--protocol=popularity"])
    if final != BACKBONE:
        words = [f"--models={final}", f"--feature-mask={result['run_folder']}"]
        if is_compared:
            words = [f"--models={final},{BACKBONE}", "--seeds=5"]
        words += [*_settings(result, {}), *_of_final_model(result, final)]
        return _grid(result, "benchmark", *words)
    if not is_compared:
        return shlex.join([*_without(command, "compare_backbone"), "--compare_backbone=True"])
    model = result["model"]
    own = {model: {"preset", *_fields(model)}}
    if model == "PaInvRL":
        return _grid(result, "ablate", "--what=controls", "--seeds=5", *_settings(result, own))
    own[BACKBONE] = {"preset"} | (_fields(BACKBONE) & own[model])
    models = f"--models={model},{BACKBONE}"
    words = [models, f"--method={model}", "--seeds=5", *_settings(result, own)]
    return _grid(result, "benchmark", *words)


def _grid(result: Mapping[str, Any], name: str, *words: str) -> str:
    """A command of the same program and interpreter."""
    program = [result["command"][0]]
    if program != ["recbole-painvrl"]:
        is_python = Path(program[0]).name.startswith("python")
        program = [program[0] if is_python else "python", "-m", "recbole_painvrl"]
    return shlex.join([*program, name, f"--dataset={result['dataset']}", *words])


def _settings(result: Mapping[str, Any], own: Mapping[str, set[str]]) -> Iterator[str]:
    """Settings of the run as options of a grid.

    Args:
        result: of the run.
        own: models of the grid -> settings that are given to each by ``--set``. Other settings of
            the run's model are left out.
    """
    of_model = {"preset", *_fields(result["model"])}
    for name, value in _given(result):
        if name in _OF_A_RUN:
            continue
        if name in of_model:
            for model, names in own.items():
                if name in names and (name != "preset" or value in preset_names(model)):
                    yield f"--set={model}.{name}={value}"
        else:
            yield f"--{name}={value}"


def _of_final_model(result: Mapping[str, Any], model: str) -> Iterator[str]:
    """Settings of another final model: those of the command line that it has, then its own."""
    given = dict(_given(result))
    values = {name: text for name, text in given.items() if name in _fields(model)}
    own = yaml.load(given.get("final_settings", "{}"), Loader=PlainLoader) or {}
    values |= {name: setting_text(name, value) for name, value in own.items()}
    yield from (f"--set={model}.{name}={text}" for name, text in values.items())


def _given(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of what the run's command sets; a launcher has options of its own."""
    command = list(result["command"])
    # The model comes first in every command that `command_again` makes.
    start = next(i for i, word in enumerate(command) if word.startswith("--model="))
    for word in command[start:]:
        name, _, value = word.removeprefix("--").partition("=")
        yield name, value


def _fields(model: str) -> set[str]:
    spec = spec_of(model)
    return set(spec.schema.model_fields) if spec and spec.schema else set()


def _without(command: list[str], *settings: str) -> list[str]:
    starts = tuple(f"--{setting}=" for setting in settings)
    return [word for word in command if not word.startswith(starts)]


def _without_split(command: list[str]) -> Iterator[str]:
    """Without the settings of the split; of ``eval_args`` those of the ranking stay."""
    for word in _without(command, "protocol", "benchmark_filename"):
        if not word.startswith("--eval_args="):
            yield word
            continue
        given = yaml.load(word.partition("=")[2], Loader=PlainLoader)
        kept = {name: value for name, value in given.items() if name == "mode"}
        if kept:
            yield f"--eval_args={setting_text('eval_args', kept)}"
