"""Names and classes of the plugin's models and of RecBole's general recommenders."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.specs import register_reference, spec_of, specs

_GENERAL = "recbole.model.general_recommender"
_OTHER_TYPES = {
    "context_aware_recommender": "context-aware",
    "sequential_recommender": "sequential",
    "knowledge_aware_recommender": "knowledge-based",
}
_TREES = ("lightgbm", "xgboost")


def model_names() -> list[str]:
    """The plugin's models and RecBole's general and traditional recommenders, sorted."""
    package = importlib.import_module(_GENERAL)
    general = {
        name
        for name, value in vars(package).items()
        if inspect.isclass(value) and value.__module__.startswith(_GENERAL + ".")
    }
    return sorted(general | set(specs()))


def model_class(name: str) -> type:
    """Class of a model that a run can train, by name or as ``package.module:Class``.

    Raises :class:`UserError` for an unknown name and for other types of RecBole models.
    """
    spec = register_reference(name) if ":" in name else spec_of(name)
    if spec is not None:
        return spec.model
    names = model_names()
    if name not in names:
        raise UserError(_unknown(name, names))
    found: type = getattr(importlib.import_module(_GENERAL), name)
    return found


def _unknown(name: str, names: list[str]) -> str:
    for package, kind in _OTHER_TYPES.items():
        module = importlib.import_module(f"recbole.model.{package}")
        if inspect.isclass(getattr(module, name, None)):
            return (
                f"`model`: {name} is a {kind} recommender of RecBole, expected a general one; "
                f"use one of {', '.join(names)}"
            )
    if name.lower() in _TREES:
        return (
            f"`model`: {name} is a decision tree of RecBole, expected a general recommender; "
            f"use one of {', '.join(names)}"
        )
    close = did_you_mean(name, names) or f"; use one of {', '.join(names)}"
    return f"`model`: unknown model `{name}`{close}"
