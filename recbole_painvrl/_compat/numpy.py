"""NumPy 2 removed names that RecBole 1.2.1 reads or sets."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

# What `Config.compatibility_settings` sets, with the values that they have in NumPy 2.
_NAMES: dict[str, Any] = {
    "bool": np.bool_,
    "int": np.int_,
    "float": np.float64,
    "complex": np.complex128,
    "object": np.object_,
    "str": np.str_,
    "long": np.int_,
    "unicode": np.str_,
}


def add_removed_names() -> None:
    """Set the names that RecBole sets at its first configuration, in spawned workers as well.

    Unnecessary with a RecBole that does not read ``np.float`` and ``np.bool``.
    """
    for name, value in _NAMES.items():
        setattr(np, name, value)


def keep_names_in_config() -> None:
    """Replace ``Config.compatibility_settings``, which fails at ``np.float_`` on NumPy 2.

    Unnecessary with a RecBole that supports NumPy 2.
    """
    config_class = importlib.import_module("recbole.config").Config
    config_class.compatibility_settings = lambda self: add_removed_names()
