"""PaInvRL and its peers as a RecBole plugin; importing the package registers the models."""

from __future__ import annotations

from recbole_painvrl import compat

__all__ = ["__version__"]
__version__ = "0.1.0"


def _start() -> None:
    # Versions first: on an unsuitable stack RecBole itself fails with a message that helps nobody.
    compat.check_versions()
    from recbole_painvrl.registry import register

    register()


_start()
