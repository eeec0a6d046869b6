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
GROUP = "recbole_painvrl.models"
_PATHS = frozenset({"config_files", "resume", "data_path", "output_dir"})


def models() -> list[str]:
    """The plugin's models, RecBole's general recommenders, and those of installed packages."""
    found = {path.stem for path in (_own_properties() / "model").glob("*.yaml")}
    found |= {one.name for one in _installed()}
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
    """Settings of RecBole, of the plugin and of installed models, from their property files."""
    files = [*_own_properties().glob("*.yaml")]
    files += [path for folder in _all_properties() for path in (folder / "model").glob("*.yaml")]
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
        own = folder.iterdir() if folder.is_dir() else ()
        found = {path.name for path in own if path.is_dir() and not path.name.startswith(".")}
        words = sorted({*BUILT_IN, *found})
    elif name == "preset":
        places = [
            Path(folder, "preset", str(ctx.params.get("model"))) for folder in _all_properties()
        ]
        words = sorted({path.stem for place in places for path in place.glob("*.yaml")})
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


def _installed() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=GROUP)


def _all_properties() -> list[Path]:
    """The plugin's property folder, and those beside the modules of installed models."""
    found = [_own_properties()]
    for point in _installed():
        package, *inner = point.value.partition(":")[0].strip().split(".")
        # Of a top-level name alone, which imports nothing.
        spec = find_spec(package)
        for root in () if spec is None else spec.submodule_search_locations or ():
            folder = Path(root).joinpath(*inner)
            found += [place / "properties" for place in (folder, *folder.parents[: len(inner)])]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _recbole() -> Path | None:
    """Folder of RecBole, located without importing it."""
    spec = find_spec("recbole")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
