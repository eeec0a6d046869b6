"""The layers of a configuration, of which later ones override earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.properties import preset_names, properties_of, properties_root
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.specs import spec_of

DERIVED, SET_BY_RUN = "derived by RecBole", "set by the run"
# Sources of values that nobody gave; a preset, which is given, is named by a setting of its own.
_NOT_GIVEN = frozenset(
    (
        *("RecBole overall", "plugin overall", "model", "RecBole model"),
        *("RecBole dataset", "dataset", DERIVED, SET_BY_RUN),
    )
)


class Layer(NamedTuple):
    """Values from one source."""

    source: str
    values: dict[str, Any]


def is_given(source: str) -> bool:
    """Whether a value with this source is from a user: by a file, a command line or ``tune``."""
    return not (source in _NOT_GIVEN or source.startswith("preset "))


def internal_layers(model: str, dataset: str, external: Iterable[Layer] = ()) -> list[Layer]:
    """The property files of a model and a dataset, RecBole's and ours, in order of precedence.

    Args:
        model: name of the model.
        dataset: name of the dataset.
        external: the user's settings, which may name a preset.

    Raises :class:`UserError` for a preset that does not exist.
    """
    spec = find_spec("recbole")
    assert spec is not None and spec.origin is not None
    plugin, recbole = properties_root(), Path(spec.origin).parent / "properties"
    chosen, sources = merge(external)
    preset = chosen.get("preset")
    ours = spec_of(model) is not None
    root = properties_of(model) if ours else recbole
    if ours and not _of(root, "model", model).is_file():
        raise UserError(
            f"{_of(root, 'model', model)}: no such file; {model} needs one with the defaults "
            "of its settings, in the folder that its ModelSpec names as `properties`"
        )
    files = [
        ("RecBole overall", recbole / "overall.yaml"),
        ("plugin overall", plugin / "overall.yaml"),
        ("model" if ours else "RecBole model", _of(root, "model", model)),
    ]
    if preset is not None:
        files.append((f"preset {preset}", _preset_file(model, preset, sources["preset"])))
    files += [
        ("RecBole dataset", recbole / "dataset" / "sample.yaml"),
        ("RecBole dataset", _of(recbole, "dataset", dataset)),
        ("dataset", _of(plugin, "dataset", dataset)),
    ]
    return [Layer(source, read_yaml(path)) for source, path in files if path.is_file()]


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """``(values, sources)`` of layers; later ones take precedence."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        values.update(layer.values)
        sources.update(dict.fromkeys(layer.values, layer.source))
    return values, sources


def dropped_keys(layers: Iterable[Layer]) -> list[str]:
    """One line for every mapping that lacks keys of the same mapping in weaker layers.

    It replaces theirs as a whole, as in RecBole; keys that are left out have their defaults.
    """
    last: dict[str, Layer] = {}
    keys: dict[str, dict[str, str]] = {}
    for layer in layers:
        for name, value in layer.values.items():
            last[name] = layer
            if isinstance(value, Mapping):
                keys.setdefault(name, {}).update(dict.fromkeys(value, layer.source))
            else:
                # Set to something else in between, and to none on purpose.
                keys.pop(name, None)
    lines = []
    for name, sources in keys.items():
        lost = [key for key in sources if key not in last[name].values[name]]
        if lost:
            lines.append(
                f"`{name}` ({last[name].source}) replaces the whole mapping: "
                + ", ".join(f"`{key}` of {sources[key]}" for key in lost)
                + " does not apply; repeat there what is to be kept"
            )
    return lines


def _of(root: Path, kind: str, name: str) -> Path:
    # Only the last component: `../x` must not leave the folder.
    return root / kind / f"{Path(name).name}.yaml"


def _preset_file(model: str, preset: Any, source: str) -> Path:
    names = preset_names(model)
    if preset in names:
        return properties_of(model) / "preset" / model / f"{preset}.yaml"
    expected = f"one of {', '.join(names)}" if names else f"none: {model} has no presets"
    raise UserError(
        f"`preset`: found {preset!r} ({source}), expected {expected}"
        f"{did_you_mean(str(preset), names)}"
    )
