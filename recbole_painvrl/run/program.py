"""The command line of a run, as the user can type it in the same place."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from recbole_painvrl.parallel import launch

_MODULE = ["-m", "recbole_painvrl", "run"]


def program() -> list[str]:
    """Words that start a run: what was called, as it can be called again."""
    called = sys.argv[0]
    name = Path(called).name
    script = _MODULE
    if name == "run_recbole.py":
        # The path is needed where the script is in another folder.
        script = [name if Path(called).parent.resolve() == Path.cwd() else called]
    if launch.world_size() > 1:
        return [*launch.command(), *script]
    if name == "recbole-painvrl" and _is_found(name):
        return [name, "run"]
    if _is_found("python"):
        return ["python", *script]
    path, here = Path(sys.executable), Path.cwd()
    return [str(path.relative_to(here) if path.is_relative_to(here) else path), *script]


def shell_command(**settings: object) -> str:
    """One line for a shell: a run with these settings."""
    return shlex.join([*program(), *(f"--{name}={value}" for name, value in settings.items())])


def _is_found(name: str) -> bool:
    """Whether a shell finds the program of this Python under its plain name."""
    found = shutil.which(name)
    return found is not None and Path(found).parent == Path(sys.executable).parent
