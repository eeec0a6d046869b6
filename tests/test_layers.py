"""Imports of the package go one way: from the command line down to the mathematics."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import recbole_painvrl

ROOT = Path(recbole_painvrl.__file__).parent
# From the top down; what stands on one line does not import from one another.
LAYERS = [
    {"__main__", "__init__", "testing"},
    {"cli"},
    {"experiments", "doctor"},
    {"tuning"},
    {"report", "inference"},
    {"run"},
    {"models"},
    {"training"},
    {"registry"},
    {"evaluation"},
    {"data"},
    {"config"},
    {"specs"},
    {"environments"},
    {"functional", "_compat"},
    {"locks", "parallel", "reading", "seeds"},
    {"atomic", "quoting"},
    {"errors"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "recbole_painvrl":
            names = [f"recbole_painvrl.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
        else:
            continue
        yield from (name for name in names if name.startswith("recbole_painvrl."))


def test_no_import_goes_up() -> None:
    upwards = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).with_suffix("").parts[0]
        for name in imported(path):  # what is no module is a public name of the package itself
            other = name.split(".")[1]
            public = not (ROOT / other).is_dir() and not (ROOT / f"{other}.py").is_file()
            if not public and other != own and LEVEL[other] <= LEVEL[own]:
                upwards.append(f"{path.relative_to(ROOT)} imports {name}")
    assert upwards == []
