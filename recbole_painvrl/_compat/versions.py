"""Which installed versions RecBole 1.2.1 works with, before it is imported."""

from __future__ import annotations

import importlib.metadata

from recbole_painvrl.errors import UserError

# Without its own requirements: they ask for a ray that has no wheel for Python 3.12 and later.
INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"

# From the lowest version that was tried to the first major version that was not.
_TRIED = {
    # The hooks rest on private names of 1.2.1.
    "recbole": ">=1.2.1,<1.2.2",
    "numpy": ">=1.24,<3",
    # pandas 3 announces the end of `inplace`, by which RecBole drops columns.
    "pandas": ">=2,<4",
    "scipy": ">=1.10,<2",
}


class IncompatibleError(UserError, ImportError):
    """An installed version with which RecBole 1.2.1 cannot work."""


def incompatibilities() -> list[str]:
    """One line for every distribution that is missing or cannot work, saying what to type."""
    from packaging.specifiers import SpecifierSet

    found = []
    for name, tried in _TRIED.items():
        version = installed(name)
        advice = INSTALL_RECBOLE if name == "recbole" else f"pip install '{name}{tried}'"
        if version is None:
            found.append(f"{name} is not installed; type: {advice}")
        elif not SpecifierSet(tried).contains(version, prereleases=True):
            found.append(f"{name} {version} does not work here; type: {advice}")
    return found


def check_versions() -> None:
    """Raise :class:`IncompatibleError` with one line if something installed cannot work."""
    found = incompatibilities()
    if found:
        more = f" (and {len(found) - 1} more: {'; '.join(found[1:])})" if found[1:] else ""
        raise IncompatibleError(found[0] + more)


def installed(name: str) -> str | None:
    """Version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
