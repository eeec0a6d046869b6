"""Names that can be completed, read from files: nothing heavy is imported."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from recbole_painvrl.cli import COMMANDS
from recbole_painvrl.doctor.folders import BUILT_IN

_SETTING = re.compile(r"^([A-Za-z]\w*):", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_OPTION = re.compile(r"--([a-z][\w-]*)")
_NOT_SETTINGS = frozenset({"help", "model", "dataset"})
# What can follow a setting or an option, where it is one of a few names.
VALUES = {
    "protocol": ("random", "files", "iid_ood", "popularity", "time"),
    "select_on": ("iid", "ood", "harmonic"),
    "missing_modality": ("zero", "mean", "error"),
    "unknown_items": ("error", "ignore"),
    "exclude": ("all", "train", "none"),
    "unseen-items": ("content", "leave-out", "as-trained"),
}


def models() -> list[str]:
    """The plugin's models and RecBole's general recommenders."""
    found = {path.stem for path in (_own_properties() / "model").glob("*.yaml")}
    recbole = _recbole()
    if recbole is not None:
        for path in (recbole / "model/general_recommender").glob("*.py"):
            classes = _CLASS.findall(path.read_text(encoding="utf-8"))
            found |= {name for name in classes if name.lower() == path.stem}
    return sorted(found)


def presets() -> dict[str, list[str]]:
    """Presets by model."""
    found: dict[str, list[str]] = {}
    for path in sorted((_own_properties() / "preset").glob("*/*.yaml")):
        found.setdefault(path.parent.name, []).append(path.stem)
    return found


def settings() -> list[str]:
    """Settings of RecBole and of the plugin, by their property files."""
    files = [*_own_properties().glob("*.yaml"), *(_own_properties() / "model").glob("*.yaml")]
    recbole = _recbole()
    if recbole is not None:
        files += [recbole / "properties/overall.yaml", recbole / "properties/dataset/sample.yaml"]
    found = {"config_files", "resume"}
    for path in files:
        found.update(_SETTING.findall(path.read_text(encoding="utf-8")))
    return sorted(found - _NOT_SETTINGS)


def options(page: str) -> list[str]:
    """Options that the help page of a command names."""
    return sorted(set(_OPTION.findall(page)) - {"help"})


def commands() -> list[str]:
    """Names of the commands."""
    return list(COMMANDS)


def datasets() -> list[str]:
    """Datasets that need no download."""
    return list(BUILT_IN)


def _own_properties() -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / "properties"
    return inside if inside.is_dir() else package.parent / "properties"


def _recbole() -> Path | None:
    """Folder of RecBole, which is found and not imported."""
    spec = find_spec("recbole")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
