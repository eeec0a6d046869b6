"""Validated configuration: property files, configuration files and command lines."""

from recbole_painvrl.config.base import Settings
from recbole_painvrl.config.loading import parse_overrides
from recbole_painvrl.config.properties import preset_names, properties_root
from recbole_painvrl.config.safe import SafeConfig, config_from_arguments
from recbole_painvrl.config.settings import RunSettings

__all__ = [
    "RunSettings",
    "SafeConfig",
    "Settings",
    "config_from_arguments",
    "parse_overrides",
    "preset_names",
    "properties_root",
]
