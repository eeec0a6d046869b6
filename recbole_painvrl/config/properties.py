"""Folders of the property files, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

from recbole_painvrl.specs import spec_of


def properties_root() -> Path:
    """Folder of overall.yaml, ``model``, ``preset``, ``dataset`` and ``search``.

    Raises :class:`FileNotFoundError` if the installation is incomplete.
    """
    package = Path(__file__).resolve().parent.parent
    # They are inside an installed package, and beside the package in a checkout.
    for root in (package / "properties", package.parent / "properties"):
        if (root / "overall.yaml").is_file():
            return root
    raise FileNotFoundError(
        f"{package}: the property files are missing; install recbole-painvrl again"
    )


def properties_of(model: str) -> Path:
    """The same folder for a model, which may be of another package."""
    spec = spec_of(model)
    return properties_root() if spec is None or spec.properties is None else spec.properties


def preset_names(model: str) -> list[str]:
    """Presets of a model, sorted; empty for a model without any."""
    return sorted(path.stem for path in (properties_of(model) / "preset" / model).glob("*.yaml"))
