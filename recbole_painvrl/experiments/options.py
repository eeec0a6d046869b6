"""User options of the grid commands, and the plan made from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_painvrl.config.loading import config_file_names
from recbole_painvrl.config.lookup import model_class, model_names
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.planning import Plan, words_of
from recbole_painvrl.specs import specs

# RecBole's models in groups with ours.
_RECBOLE = {
    "paper": ("NGCF", "LightGCN", "BPR", "Pop"),
    "graph": ("NGCF", "LightGCN"),
    "training-free": ("EASE", "ItemKNN", "Pop"),
}
GROUPS = ("all", "paper", "multimodal", "graph", "training-free")


@dataclass(frozen=True)
class GridOptions:
    """Options of ``benchmark`` and ``ablate`` as given; described in ``cli/grid.py``."""

    dataset: str
    seeds: str
    output: Path
    config_files: str = ""
    own_files: Sequence[str] = ()
    own: Sequence[str] = ()
    settings: Sequence[str] = ()
    workers: int = 1
    engine: str = "local"
    retry_failed: bool = False
    report_only: bool = False
    dry_run: bool = False

    def plan(self, models: Mapping[str, str]) -> Plan:
        """The plan of a grid of some models, by name as of :func:`models_of`.

        Raises:
            UserError: for what cannot be understood, or names a model that is not in the grid.
        """
        files: dict[str, tuple[str, ...]] = {}
        for text in self.own_files:
            model, path = _pair(text, "--model-config", "PaInvRL=file.yaml")
            model = _in_grid(model, "--model-config", models)
            files[model] = (*files.get(model, ()), path)
        own: dict[str, dict[str, str]] = {}
        for text in self.own:
            left, value = _pair(text, "--set", "PaInvRL.mask_decay=0.1")
            model, dot, name = left.rpartition(".")
            if not dot or not name:
                raise UserError(f"`--set`: found {text!r}, expected MODEL.SETTING=VALUE")
            of_model = own.setdefault(_in_grid(model, "--set", models), {})
            if name in of_model:
                raise UserError(f"`--set`: {left} occurs twice; give it once")
            of_model[name] = value
        return Plan(
            self.dataset,
            seeds_of(self.seeds),
            self.output,
            models,
            words_of(self.settings),
            tuple(config_file_names(self.config_files)),
            files,
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
    if words and all(word.isdecimal() for word in words):
        numbers = [int(word) for word in words]
        if listed and len(set(numbers)) == len(numbers):
            return numbers
        if not listed and numbers[0] > 0:
            return list(range(numbers[0]))
    raise UserError(
        f"`--seeds`: found {text!r}, expected how many seeds (5) or different seeds (0,3,7)"
    )


def group_members(group: str) -> list[str]:
    """Models of one of ``GROUPS``, in the order of tables.

    ``paper`` are the models of Table 2 with BPR and Pop, ``multimodal`` those that need features,
    ``graph`` those that propagate over a graph, ``training-free`` those without gradient descent.
    """
    known = specs()
    if group == "multimodal":
        return [name for name, spec in known.items() if spec.needs_modalities]
    if group == "all":
        return list(dict.fromkeys([*known, *(n for names in _RECBOLE.values() for n in names)]))
    own = [name for name, spec in known.items() if group in spec.groups]
    return [*own, *_RECBOLE[group]]


def models_of(text: str) -> dict[str, str]:
    """Existing models, in order: name of each -> as it was given.

    A name in ``GROUPS`` stands for its members, which may be named beside it.

    The name of ``package.module:Class`` is that of the class, as in every table and report.
    ``LABEL=MODEL`` gives a row a name of its own, so that one model can have several.

    Raises:
        UserError: for an unknown or repeated one.
    """
    typed: list[str] = []
    for word in text.split(","):
        name = word.strip()
        if name in GROUPS:
            named = {one.strip() for one in text.split(",")} | set(typed)
            typed += [member for member in group_members(name) if member not in named]
        elif name:
            typed.append(name)
    models = {}
    for word in typed:
        label, is_labelled, name = word.rpartition("=")
        known = model_class(name).__name__
        is_word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", label) is not None
        if is_labelled and (not is_word or label in (*GROUPS, *model_names())):
            raise UserError(
                f"`--models`: found label {label!r}, expected letters, digits, _ and -, and not "
                "the name of a model or a group, such as UltraGCN-ids=UltraGCN"
            )
        models[label or known] = name
    if not models or len(models) < len(typed):
        raise UserError(f"`--models`: found {text!r}, expected different names such as PaInvRL,BPR")
    return models


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    left, _, right = text.partition("=")
    if not left or not right:
        raise UserError(f"`{option}`: found {text!r}, expected {option} {example}")
    return left, right


def _in_grid(model: str, option: str, models: Mapping[str, str]) -> str:
    """Name of a model of the grid, which may be given as ``package.module:Class``."""
    name = model.rpartition(":")[2]
    if name not in models:
        raise UserError(f"`{option}`: found model {model!r}, expected one of {', '.join(models)}")
    return name
