"""Hashes of the code that the results of a run depend on."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.config.lookup import model_class
from recbole_painvrl.specs import spec_of

# These packages start runs or read finished ones; they do not change what a run computes.
_NO_INFLUENCE = ("cli", "doctor", "experiments", "inference", "report", "testing", "tuning")


def code_hash(package: Path | None = None) -> str:
    """SHA-256 of the package's version and of every source file that a run's results depend on."""
    from recbole_painvrl import __version__

    root = package or Path(__file__).resolve().parent.parent
    total = hashlib.sha256(__version__.encode())
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        # Editors leave links to nowhere beside a file that is open.
        if name.parts[0] not in _NO_INFLUENCE and path.is_file():
            total.update(f"{name.as_posix()}\t".encode() + path.read_bytes() + b"\n")
    return total.hexdigest()


def code_of(model: str, code: str) -> str:
    """Hash of the code of a model, including its package if that is another one.

    Args:
        model: its name.
        code: :func:`code_hash`.
    """
    spec = spec_of(model)
    if spec is None or spec.properties is None:
        return code
    total = hashlib.sha256(code.encode())
    try:
        own = Path(inspect.getfile(spec.model))
    except (OSError, TypeError):
        # Defined in a notebook.
        return code
    package = sys.modules[spec.model.__module__.partition(".")[0]]
    # A module may use all of its package.
    folders = [Path(folder) for folder in getattr(package, "__path__", ())]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    for path in files or [own]:
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def run_code(config: ConfigLike, code: str) -> str:
    """Hash of the code of a run: the package's, its model's, and that of another final model.

    Args:
        config: of the run.
        code: :func:`code_hash`.
    """
    found = code_of(model_class(config["model"]).__name__, code)
    final = config["final_model"]
    return found if final is None else code_of(str(final), found)
