"""Figures in files, one module per group; matplotlib is needed from here on."""

from __future__ import annotations

import os

# A notebook's backend, which its children inherit, need not be installed for this Python, and
# matplotlib then fails to import. Figures that go to files need none of them.
_BACKEND = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib  # noqa: F401
finally:
    if _BACKEND is not None:
        os.environ["MPLBACKEND"] = _BACKEND
