"""Names for completion, read from files without importing PyTorch or RecBole."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click

from recbole_painvrl.doctor import BUILT_IN

_SETTING = re.compile(r"^([A-Za-z]\w*):", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
# Values of settings with a fixed set of choices.
VALUES = {
    "protocol": ("random", "files", "iid_ood", "popularity", "time"),
    "select_on": ("iid", "ood", "harmonic"),
    "missing_modality": ("zero", "mean", "error"),
    "unknown_items": ("error", "ignore"),
    "split_environment_model": ("full", "content"),
    "split_variant": ("adapted", "strict"),
}
_PATHS = frozenset({"config_files", "resume", "data_path", "output_dir"})


def models() -> list[str]:
    """The plugin's models, RecBole's general recommenders, and those of installed packages."""
    found = {path.stem for path in (_own_properties() / "model").glob("*.yaml")}
    found |= {one.name for one in importlib.metadata.entry_points(group="recbole_painvrl.models")}
    recbole = _recbole()
    if recbole is not None:
        for path in (recbole / "model/general_recommender").glob("*.py"):
            classes = _CLASS.findall(path.read_text(encoding="utf-8"))
            found |= {name for name in classes if name.lower() == path.stem}
    return sorted(found)


def models_and_groups() -> list[str]:
    """Models and the groups of them that ``--models`` knows."""
    return [*models(), "all", "paper", "multimodal", "graph", "training-free"]


def settings() -> list[str]:
    """Settings of RecBole and of the plugin, from their property files."""
    files = [*_own_properties().glob("*.yaml"), *(_own_properties() / "model").glob("*.yaml")]
    recbole = _recbole()
    if recbole is not None:
        files += [recbole / "properties/overall.yaml", recbole / "properties/dataset/sample.yaml"]
    found = {"model", "dataset", "config_files", "resume"}
    for path in files:
        found.update(_SETTING.findall(path.read_text(encoding="utf-8")))
    return sorted(found)


@cache
def setting_options() -> list[click.Option]:
    """An option for every setting, with its values."""
    return [
        click.Option(
            [f"--{name}"],
            type=click.Path() if name in _PATHS else None,
            shell_complete=None if name in _PATHS else complete,
        )
        for name in settings()
    ]


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Values of the setting or argument that a parameter is named after."""
    name = param.name
    words: Sequence[str] = VALUES.get(str(name), ())
    if name == "model":
        words = models()
    elif name == "dataset":
        folder = Path(ctx.params.get("data_path") or "dataset")
        own = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        words = sorted({*BUILT_IN, *own})
    elif name == "preset":
        presets = (_own_properties() / "preset" / str(ctx.params.get("model"))).glob("*.yaml")
        words = sorted(path.stem for path in presets)
    return [word for word in words if word.startswith(incomplete)]


def listed(words: Callable[[], Sequence[str]]) -> Callable[..., list[str]]:
    """Completion of the last element of a list such as ``A,B``."""

    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words() if word.startswith(last)]

    return completed


def _own_properties() -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / "properties"
    return inside if inside.is_dir() else package.parent / "properties"


def _recbole() -> Path | None:
    """Folder of RecBole, located without importing it."""
    spec = find_spec("recbole")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
