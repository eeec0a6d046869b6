"""RecBole 1.2.1 imports ray for one call, and asks for one without a wheel for Python 3.12."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def import_without_ray() -> None:
    """Import ``recbole.quick_start`` with a stand-in in the place of ``ray``, which goes at once.

    The stand-in's ``tune.report`` hands its metrics on to ray where the process has loaded it, and
    does nothing otherwise. Unnecessary with a RecBole that imports ray where it uses it.
    """
    if "recbole.quick_start" in sys.modules:
        return
    tune = ModuleType("ray.tune")
    vars(tune)["report"] = _report
    stand_in = ModuleType("ray")
    vars(stand_in)["tune"] = tune
    before = sys.modules.get("ray")
    sys.modules["ray"] = stand_in
    try:
        importlib.import_module("recbole.quick_start")
    finally:
        del sys.modules["ray"]
        if before is not None:
            sys.modules["ray"] = before


def _report(**metrics: Any) -> None:
    tune = sys.modules.get("ray.tune")
    if tune is None:
        return
    try:
        tune.report(metrics)
    except TypeError:
        # Ray up to 2.6 takes keyword arguments.
        tune.report(**metrics)
