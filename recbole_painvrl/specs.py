"""What the project knows about a model, and the one list of all models.

A model is described by a :class:`ModelSpec`. Those of the project stand below their classes, those
of other packages come by the entry point group ``recbole_painvrl.models``, by
:func:`register_model`, or by ``--model=package.module:Class``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_painvrl._compat import recbole
from recbole_painvrl.errors import UserError, place_of

GROUP = "recbole_painvrl.models"
_DATASET = "recbole_painvrl.data.dataset:ModalityDataset"
# Modules with a SPEC, in the order of tables.
_PROJECT = tuple(
    f"recbole_painvrl.models.{name}"
    for name in (
        *("painvrl", "invrl", "ultragcn", "vbpr", "mmgcn", "mmssl"),
        *("freedom", "bm3", "lattice", "micro", "mgcn", "grcn", "dualgnn", "dragon"),
        *("lgmrec", "slmrec", "elimrec", "mgat", "rp3beta", "contentease"),
    )
)


@dataclass(frozen=True)
class ModelSpec:
    """A model, with what a run, a table and a page need to know about it.

    Attributes:
        name: its name, which is that of its class.
        model: class of the model, a RecBole ``GeneralRecommender``.
        schema: class of its settings (:class:`recbole_painvrl.config.base.Settings`).
        trainer: class of its trainer, or ``"package.module:Class"``.
        needs_modalities: whether it has nothing to learn without features.
        own_generators: which of ``initial values``, ``shuffling`` and ``negatives`` have a random
            generator of their own, in place of the run's.
        purposes: number of outer rounds to further purposes with a generator of their own.
        memory: sizes of the data and settings to bytes by part; None for a lower bound.
        groups: names by which ``benchmark --models`` finds it among others, such as ``graph``.
        colour: index of its colour in figures; None for the next free one.
        paper: authors, venue and title.
        url: where the paper is.
        idea: what is special about it, in a sentence.
        ranks_cold_items: whether the features rank an item without training interactions.
        properties: folder with ``model/NAME.yaml`` and, where there are any, ``preset/NAME/`` and
            ``search/NAME.yaml``; None for the project's.
    """

    name: str
    model: type
    schema: type[Any]
    trainer: type | str = "recbole_painvrl.training.base:RunTrainer"
    needs_modalities: bool = False
    own_generators: frozenset[str] = frozenset()
    purposes: Callable[[int], Sequence[str]] | None = None
    memory: Callable[[Any, Any], dict[str, int]] | None = None
    groups: frozenset[str] = frozenset()
    colour: int | None = None
    paper: str = ""
    url: str = ""
    idea: str = ""
    ranks_cold_items: bool = False
    properties: Path | None = None


_registered: dict[str, ModelSpec] = {}


def specs() -> dict[str, ModelSpec]:
    """All described models by name: the project's, then those of other packages."""
    return {**_project(), **_installed(), **_registered}


def project_models() -> list[str]:
    """Names of the project's own models, in the order of tables."""
    return list(_project())


def spec_of(name: str) -> ModelSpec | None:
    """The description of a model; None for RecBole's own models."""
    return specs().get(name)


def draws_negatives(name: str) -> bool:
    """Whether a model draws its negatives itself."""
    spec = spec_of(name)
    return spec is not None and "negatives" in spec.own_generators


def shuffles_users(name: str) -> bool:
    """Whether a model makes its own batches, which are always in a random order."""
    spec = spec_of(name)
    return spec is not None and "shuffling" in spec.own_generators


def code_of_others() -> list[str]:
    """Folders of the packages, and files of the modules, of models that are not the project's."""
    # What is not imported yet has raised no error.
    installed = _installed() if _installed.cache_info().currsize else {}
    found: list[str] = []
    for spec in {**installed, **_registered}.values():
        package = sys.modules.get(spec.model.__module__.partition(".")[0])
        folders = [f"{folder}{os.sep}" for folder in getattr(package, "__path__", ())]
        found += folders or filter(None, [getattr(package, "__file__", None)])
    return found


def register_model(spec: ModelSpec) -> None:
    """Add a model of another package; registering the same one again is harmless.

    Raises:
        UserError: another model has this name, or the description contradicts itself.
    """
    fault = _fault(spec, specs())
    if fault:
        raise UserError(fault)
    _registered[spec.name] = spec
    introduce(spec)


def _fault(spec: ModelSpec, known: Mapping[str, ModelSpec]) -> str:
    """Why a model of another package cannot be added; empty if it can."""
    where = f"model `{spec.name}` of {spec.model.__module__}"
    if spec.name != spec.model.__name__:
        return f"{where}: its class is called {spec.model.__name__}; give both the same name"
    if not (inspect.isclass(spec.model) and hasattr(spec.model, "full_sort_predict")):
        return f"{where}: not a GeneralRecommender of RecBole, which its class must inherit"
    if not hasattr(spec.schema, "model_fields"):
        return f"{where}: its schema {spec.schema.__name__} does not inherit Settings"
    others = {name.lower(): one.model for name, one in known.items()}
    package = importlib.import_module("recbole.model.general_recommender")
    others |= {name.lower(): one for name, one in vars(package).items() if inspect.isclass(one)}
    other = others.get(spec.name.lower())
    if other is not None and other is not spec.model:
        return f"{where}: {other.__module__} has a model of this name; give yours another one"
    return ""


def introduce(spec: ModelSpec) -> None:
    """Let RecBole find a model, its trainer and its dataset by its name."""
    recbole.add_model(spec.name, sys.modules[spec.model.__module__])
    recbole.add_lazy_attributes("recbole.trainer", {f"{spec.name}Trainer": spec.trainer})
    recbole.add_lazy_attributes("recbole.data.dataset", {f"{spec.name}Dataset": _DATASET})


def register_reference(reference: str) -> ModelSpec:
    """The model that ``package.module:Class`` names, registered.

    The class may be a ``ModelSpec`` object, or a model with one as its attribute ``spec``. The
    current directory is searched for its module, too.

    Raises:
        UserError: no such module or name, an error in the module, or it is not described.
    """
    module_name, _, name = reference.partition(":")
    if not sys.flags.safe_path and not {"", os.getcwd()} & set(sys.path):
        # `python -m recbole_painvrl` has it there already, a script only its own folder.
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), name)
    except UserError:
        # A line of its own, such as of `register_model` in the module.
        raise
    except Exception as error:
        message, place = " ".join(str(error).split()), place_of(error, skip=1)
        why = f"({message}); expected `package.module:Class`"
        if place:
            why = f"({type(error).__name__}: {message}); correct {place}"
        raise UserError(f"`model`: {reference} cannot be imported {why}") from error
    spec = found if isinstance(found, ModelSpec) else getattr(found, "__dict__", {}).get("spec")
    if inspect.isclass(found) and spec is None:
        spec = _of_module(module_name, found)
    if not isinstance(spec, ModelSpec):
        raise UserError(
            f'`model`: {reference} has no ModelSpec; add `SPEC = ModelSpec("{name}", {name}, '
            f"{name}Settings, properties=...)` to {module_name}"
        )
    register_model(spec)
    return spec


def _of_module(module_name: str, model: type) -> ModelSpec | None:
    members = vars(importlib.import_module(module_name)).values()
    return next((m for m in members if isinstance(m, ModelSpec) and m.model is model), None)


@functools.cache
def _project() -> Mapping[str, ModelSpec]:
    found = [importlib.import_module(name).SPEC for name in _PROJECT]
    return {spec.name: spec for spec in found}


@functools.cache
def _installed() -> Mapping[str, ModelSpec]:
    """Models of installed packages; one that cannot be imported is a warning."""
    found: dict[str, ModelSpec] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            spec = point.load()
        except Exception as error:  # noqa: BLE001  # a broken package must not stop the others
            getLogger("recbole_painvrl").warning(
                "model `%s` (%s) cannot be imported: %s", point.name, point.value, error
            )
            continue
        fault = "not a ModelSpec"
        if isinstance(spec, ModelSpec):
            fault = _fault(spec, {**_project(), **found})
        if fault:
            getLogger("recbole_painvrl").warning(
                "entry point `%s` (%s) is left out: %s", point.name, point.value, fault
            )
            continue
        found[spec.name] = spec
    return found
