"""RecBole 1.2.1 imports ray, which has no wheel above Python 3.11, and more that few runs use."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from recbole_painvrl._compat.wrapping import wrap

# Module -> the functions and classes that RecBole takes from it, and calls much later or never.
_LATE = {
    "sklearn.exceptions": ("ConvergenceWarning",),
    "sklearn.linear_model": ("ElasticNet",),
    "sklearn.metrics": ("auc", "mean_absolute_error", "mean_squared_error"),
    "sklearn.utils.extmath": ("randomized_svd",),
    "torch.utils.tensorboard": ("SummaryWriter",),
}


def import_recbole() -> None:
    """Import RecBole without ray, and without scikit-learn and TensorBoard until they are called.

    While RecBole's modules are imported, placeholders replace these libraries; they are removed
    right afterwards. The placeholder of ray passes ``tune.report`` on to ray if the process has
    loaded it, else does nothing. Unnecessary with a RecBole that imports them where it uses them.
    """
    if "recbole.quick_start" in sys.modules:
        return
    stand_ins = {"ray": _module("ray", tune=_module("ray.tune", report=_report))}
    for name, members in _LATE.items():
        if name not in sys.modules:
            stand_ins[name] = _module(name, **{one: _late(name, one) for one in members})
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("recbole.model.general_recommender")
        importlib.import_module("recbole.quick_start")
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
    _bind_warning()


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _late(module: str, name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **named)

    return call


def _bind_warning() -> None:
    """Import the class of the warnings that ``SLIMElastic`` hides: it must be a real class."""
    module = importlib.import_module("recbole.model.general_recommender.slimelastic")

    def init(original: Any, self: Any, config: Any, dataset: Any) -> None:
        exceptions = importlib.import_module("sklearn.exceptions")
        module.__dict__["ConvergenceWarning"] = exceptions.ConvergenceWarning
        original(self, config, dataset)

    wrap(module.SLIMElastic, "__init__", init)


def _report(**metrics: Any) -> None:
    tune = sys.modules.get("ray.tune")
    if tune is None:
        return
    # Ray up to 2.6 takes keywords, and one positional argument that is no dictionary of metrics.
    if "_metric" in inspect.signature(tune.report).parameters:
        tune.report(**metrics)
    else:
        tune.report(metrics)
