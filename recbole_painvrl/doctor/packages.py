"""Python, required packages and extras."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

from recbole_painvrl._compat.versions import INSTALL_RECBOLE
from recbole_painvrl.doctor.findings import Finding
from recbole_painvrl.doctor.requirements import Requirement, requirements

# Extra -> what it is for; `dev` is for those who change the code.
_PURPOSES = {
    "plot": "figures of `report`, `ablate` and `tune`",
    "tune": "`tune`, and grids shared by several machines",
    "mtl": "torchjd, for comparing the Pareto weights",
    "text": "sentence vectors of `dataset_prep extract`",
    "image": "picture vectors of `dataset_prep extract`",
    "hdf5": "features in HDF5 files, for `dataset_prep`",
    "resnet": "ResNet vectors of `dataset_prep extract`",
}
_UNSEEN = frozenset({"dev"})


def check_python() -> list[Finding]:
    """The interpreter."""
    _, versions = requirements()
    found = platform.python_version()
    if Requirement("Python", versions).is_met_by(found):
        return [Finding("ok", f"Python {found}")]
    text = f"Python {found}: {versions} is needed"
    return [Finding("FAIL", text, "make the environment with such a Python: python3 -m venv .venv")]


def check_required() -> list[Finding]:
    """Every package without which nothing runs."""
    return [_recbole(), *(_required(one) for one in requirements()[0] if one.extra is None)]


def check_extras() -> list[Finding]:
    """Every extra: present, or what to type for it."""
    extras: dict[str, list[Requirement]] = {}
    for one in requirements()[0]:
        if one.extra is not None and one.extra not in _UNSEEN:
            extras.setdefault(one.extra, []).append(one)
    return [_extra(name, members) for name, members in extras.items()]


def _recbole() -> Finding:
    """RecBole, which no metadata can require; see setup.py."""
    version = installed("recbole")
    if version == "1.2.1":
        return Finding("ok", f"recbole {version}")
    found = "is not installed" if version is None else version
    return Finding("FAIL", f"recbole {found}, 1.2.1 is needed", f"type: {INSTALL_RECBOLE}")


def _required(one: Requirement) -> Finding:
    version = installed(one.name)
    advice = f"type: pip install '{one}'"
    if version is None:
        return Finding("FAIL", f"{one.name} is not installed, {one} is needed", advice)
    if not one.is_met_by(version):
        return Finding("FAIL", f"{one.name} {version}: {one} is needed", advice)
    return Finding("ok", f"{one.name} {version}")


def _extra(name: str, members: Iterable[Requirement]) -> Finding:
    wrong, right = [], []
    for one in members:
        version = installed(one.name)
        if version is None or not one.is_met_by(version):
            wrong.append((one, version))
        else:
            right.append(f"{one.name} {version}")
    purpose = _PURPOSES.get(name, "")
    if not wrong:
        return Finding("ok", f"{name}: {', '.join(right)}")
    lacks = ", ".join(f"{one.name} {version or 'absent'}" for one, version in wrong)
    words = " ".join(f"'{one}'" for one, _ in wrong)
    return Finding("note", f"{name}: {lacks} ({purpose})", f"type: pip install {words}")


def installed(name: str) -> str | None:
    """Version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
