"""Checks of Python, required packages and extras against the requirements of the package."""

from __future__ import annotations

import ast
import importlib.metadata
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_painvrl._compat.versions import INSTALL_RECBOLE, installed
from recbole_painvrl.doctor.system import Finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Extra -> its purpose; `dev` is for developers.
_PURPOSES = {
    "plot": "figures of `report`, `ablate` and `tune`",
    "tune": "`tune`",
    "cluster": "`--engine=dask:ADDRESS` of `benchmark`, `ablate` and `tune`",
    "mtl": "torchjd, for comparing the Pareto weights",
    "text": "sentence vectors of `dataset_prep extract`",
    "image": "picture vectors of `dataset_prep extract`",
    "hdf5": "features in HDF5 files, for `dataset_prep`",
    "resnet": "ResNet vectors of `dataset_prep extract`",
}


def requirements() -> dict[str, list[Requirement]]:
    """Requirements under ``""``, under the name of each extra, and under ``python``.

    They are read from setup.py in a checkout, which is not run, else from the metadata.
    """
    from packaging.requirements import Requirement

    setup = Path(__file__).resolve().parents[2] / "setup.py"
    if setup.is_file():
        calls = (n for n in ast.walk(ast.parse(setup.read_text())) if isinstance(n, ast.Call))
        call = next(n for n in calls if getattr(n.func, "id", "") == "setup")
        given = {word.arg: word.value for word in call.keywords}
        python = ast.literal_eval(given["python_requires"])
        lines = {"": ast.literal_eval(given["install_requires"])}
        lines.update(ast.literal_eval(given["extras_require"]))
    else:
        metadata = importlib.metadata.metadata("recbole-painvrl")
        python = metadata["Requires-Python"]
        lines = {extra: [] for extra in ("", *(metadata.get_all("Provides-Extra") or []))}
        for line in importlib.metadata.requires("recbole-painvrl") or []:
            marker = Requirement(line).marker
            extra = next((e for e in lines if e and marker and marker.evaluate({"extra": e})), "")
            lines[extra].append(line.partition(";")[0])
    return {
        "python": [Requirement(f"python{python}")],
        **{extra: [Requirement(line) for line in found] for extra, found in lines.items()},
    }


def check_python() -> list[Finding]:
    """Check the version of Python."""
    (needed,) = requirements()["python"]
    found = platform.python_version()
    if needed.specifier.contains(found, prereleases=True):
        return [Finding("ok", f"Python {found}")]
    text = f"Python {found}: {needed.specifier} is needed"
    return [
        Finding("FAIL", text, "create the environment with such a Python: python3 -m venv .venv")
    ]


def check_required() -> list[Finding]:
    """Check the required packages, and RecBole, which the metadata do not require."""
    version = installed("recbole")
    recbole = Finding("ok", f"recbole {version}")
    if version != "1.2.1":
        found = "is not installed" if version is None else version
        text = f"recbole {found}, 1.2.1 is needed"
        recbole = Finding("FAIL", text, f"type: {INSTALL_RECBOLE}")
    return [recbole, *(_required(one) for one in requirements()[""])]


def check_extras() -> list[Finding]:
    """Check the extras; a missing one is a note with the command that installs it."""
    found = []
    for extra, members in requirements().items():
        if extra not in _PURPOSES:
            continue
        versions = {str(one): f"{one.name} {installed(one.name) or 'absent'}" for one in members}
        wrong = [str(one) for one in members if not _is_met(one)]
        if wrong:
            lacks = ", ".join(versions[one] for one in wrong)
            advice = "type: pip install " + " ".join(f"'{one}'" for one in wrong)
            found.append(Finding("note", f"{extra}: {lacks} ({_PURPOSES[extra]})", advice))
        else:
            found.append(Finding("ok", f"{extra}: {', '.join(versions.values())}"))
    return found


def _is_met(one: Requirement) -> bool:
    version = installed(one.name)
    return version is not None and one.specifier.contains(version, prereleases=True)


def _required(one: Requirement) -> Finding:
    if _is_met(one):
        return Finding("ok", f"{one.name} {installed(one.name)}")
    version = installed(one.name)
    found = f"{one.name} {version}:" if version else f"{one.name} is not installed,"
    return Finding("FAIL", f"{found} {one} is needed", f"type: pip install '{one}'")
