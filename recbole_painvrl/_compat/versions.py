"""Which installed versions RecBole 1.2.1 works with, before it is imported."""

from __future__ import annotations

import importlib.metadata

from recbole_painvrl.errors import UserError

# Without its own requirements: they ask for a ray that has no wheel for Python 3.12 and later.
INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"

# Lowest version that was tried and the first major version that was not, with what to type.
_TRIED: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    # The hooks rest on private names of 1.2.1.
    "recbole": ((1, 2, 1), (1, 2, 2), INSTALL_RECBOLE),
    "numpy": ((1, 24), (3,), "pip install 'numpy>=1.24,<3'"),
    # pandas 3 announces the end of `inplace`, by which RecBole drops columns.
    "pandas": ((2,), (4,), "pip install 'pandas>=2,<4'"),
    "scipy": ((1, 10), (2,), "pip install 'scipy>=1.10,<2'"),
}


class IncompatibleError(UserError, ImportError):
    """An installed version with which RecBole 1.2.1 cannot work."""


def incompatibilities() -> list[str]:
    """One line for every distribution that is missing or cannot work, saying what to type."""
    found = []
    for name, (lowest, above, advice) in _TRIED.items():
        version = installed(name)
        if version is None:
            found.append(f"{name} is not installed; type: {advice}")
        elif not lowest <= _numbers(version) < above:
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


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: ``"1.12.0rc1"`` -> ``(1, 12)``."""
    numbers = []
    for part in version.partition("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
