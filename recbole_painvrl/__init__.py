"""PaInvRL and its peers as a RecBole plugin; importing the package registers the models."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_painvrl._compat import mend_libraries, versions

if TYPE_CHECKING:
    from recbole_painvrl.inference.loading import load_run
    from recbole_painvrl.specs import ModelSpec, register_model

_WHERE = {
    "ModelSpec": "recbole_painvrl.specs",
    "load_run": "recbole_painvrl.inference.loading",
    "register_model": "recbole_painvrl.specs",
}

__all__ = ["ModelSpec", "__version__", "load_run", "register_model"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that importing the package stays quick.
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def start() -> None:
    """Make the models known to RecBole; repeating it is harmless.

    Raises:
        versions.IncompatibleError: an installed version cannot work.
    """
    # Versions first: on an unsuitable stack RecBole itself fails with a message that helps nobody.
    versions.check_versions()
    # Before anything imports RecBole.
    mend_libraries()
    from recbole_painvrl.registry import register

    register()


def _is_command_line() -> bool:
    """Whether this process is a command of ours: a module, ``recbole-painvrl`` or our script."""
    if not hasattr(sys, "orig_argv"):
        # This Python is too old for a run; `doctor` reports it.
        return True
    words = sys.orig_argv
    module = sys.argv[:1] == ["-m"] and "-m" in words and words[words.index("-m") + 1 :]
    if module:
        return module[0] in (__name__, f"{__name__}.cli")
    if Path(*sys.argv[:1]).parts[-2:] == ("dataset_prep", "__main__.py"):
        return True
    if len(words) < 2:
        return False
    # A script of RecBole's has the same name, and imports us to know the models.
    ours = Path(__file__).resolve().parents[1] / "run_recbole.py"
    return Path(words[1]).name == "recbole-painvrl" or Path(words[1]).resolve() == ours


# Commands start what they need: help, completion, `doctor` and data preparation work on any stack.
if not _is_command_line():
    start()
