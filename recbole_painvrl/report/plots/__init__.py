"""Figures in files; everything below needs matplotlib, which this module imports."""

from __future__ import annotations

import os

# A notebook sets its backend for its children, where it may not be installed; matplotlib then
# fails to import. Figures that are written to files need no backend.
_BACKEND = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib  # noqa: F401
finally:
    if _BACKEND is not None:
        os.environ["MPLBACKEND"] = _BACKEND

# Okabe and Ito's palette, whose colours colour-blind readers can distinguish.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6D00", "#7F7F7F")
MARKERS = "osD^vPX*"
# Without dates, so that the same figure gives the same bytes.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
