"""What the package requires, from its metadata or from setup.py, and whether a version meets it."""

from __future__ import annotations

import ast
import importlib.metadata
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISTRIBUTION = "recbole-painvrl"
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9._-]+)\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_SPECIFIER = re.compile(r"(==|!=|>=|<=|<|>)\s*([^\s,]+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
    ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Requirement:
    """A distribution, the versions that are known to work, and the extra that needs it."""

    name: str
    versions: str
    extra: str | None = None

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"

    def is_met_by(self, version: str) -> bool:
        """Whether an installed version is among those that work."""
        own = _numbers(version)
        for sign, bound in _SPECIFIER.findall(self.versions):
            other = _numbers(bound)
            width = max(len(own), len(other))
            if not _COMPARE[sign](_padded(own, width), _padded(other, width)):
                return False
        return True


def requirements() -> tuple[list[Requirement], str]:
    """All requirements, with extras, and the Python versions (``>=3.11,<3.15``).

    Those of the checkout where there is one, else those of the installed package.
    """
    setup = Path(__file__).resolve().parents[2] / "setup.py"
    if setup.is_file():
        return read_setup(setup.read_text(encoding="utf-8"))
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    lines = importlib.metadata.requires(DISTRIBUTION) or []
    return [parse(line) for line in lines], metadata["Requires-Python"] or ""


def read_setup(text: str) -> tuple[list[Requirement], str]:
    """The same from the source of setup.py, which is read and not run."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    call = next(node for node in calls if isinstance(node.func, ast.Name) and _is_setup(node.func))
    given = {word.arg: word.value for word in call.keywords}
    found = [parse(line) for line in ast.literal_eval(given["install_requires"])]
    for extra, lines in ast.literal_eval(given["extras_require"]).items():
        found += [parse(f"{line}; extra == '{extra}'") for line in lines]
    return found, str(ast.literal_eval(given["python_requires"]))


def parse(line: str) -> Requirement:
    """A line of metadata: ``numpy>=1.24,<2`` or ``optuna>=4; extra == 'tune'``."""
    match = _REQUIREMENT.match(line)
    if match is None:
        raise ValueError(f"not a requirement: {line!r}")
    name, versions, marker = match.groups()
    extra = _EXTRA.search(marker or "")
    return Requirement(name, versions.strip().replace(" ", ""), extra[1] if extra else None)


def _is_setup(function: ast.Name) -> bool:
    return function.id == "setup"


def _numbers(version: str) -> tuple[int, ...]:
    """``"1.13.0rc1"`` -> ``(1, 13, 0)``; local parts (``+cpu``) do not count."""
    found = []
    for part in version.partition("+")[0].split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        found.append(int(digits[0]))
    return tuple(found)


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
