"""Plots of the numbers of interactions of users and items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.errors import UserError

Degrees = npt.NDArray[np.int64]

_FEW = 30
# A wider range is plotted on logarithmic axes.
_WIDE = 20
_STYLES: dict[str, dict[str, Any]] = {
    "users": {"color": "#0072b2"},
    "items": {"color": "#d55e00", "linestyle": "--"},
}


def check_plot(path: Path) -> None:
    """Raise :class:`UserError` if the plot cannot be written."""
    try:
        from recbole_painvrl.report.plots.curves import blank
    except ImportError as error:
        raise UserError("--plot: needs matplotlib; type `pip install matplotlib`") from error
    kinds = blank(1, 1).canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise UserError(f"--plot {path}: not a picture format; use .png, .pdf or .svg")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--plot {path}: no such folder; make {path.parent} first")


def plot_degrees(path: Path, name: str, users: Degrees, items: Degrees) -> None:
    """Plot the distribution of the degrees, and how concentrated the interactions are."""
    from matplotlib.ticker import PercentFormatter

    from recbole_painvrl.report.plots.curves import blank

    figure = blank(9, 3.8)
    left, right = figure.subplots(1, 2)
    for label, degrees in (("users", users), ("items", items)):
        known = degrees[degrees > 0]
        shown = f"{len(known):,} {label}, median {np.median(known):,.0f}"
        values, fractions = at_least(known)
        mark = "o" if len(values) <= _FEW else ""
        left.plot(values, fractions, label=shown, marker=mark, markersize=4, **_STYLES[label])
        right.plot(*concentration(known), label=label, **_STYLES[label])
    _scale(left)
    left.set(xlabel="interactions", ylabel="fraction with at least as many")
    right.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="equal")
    right.xaxis.set_major_formatter(PercentFormatter(1.0))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    right.set(xlim=(0, 1), ylim=(0, 1.01))
    right.set(xlabel="most active users, most popular items", ylabel="fraction of the interactions")
    for axes, corner in ((left, "lower left"), (right, "lower right")):
        axes.grid(alpha=0.3)
        axes.legend(loc=corner, frameon=False)
    figure.suptitle(f"{name}: {int(items.sum()):,} interactions")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"--plot {path}: cannot be written ({error.strerror or error})") from error
    print(f"degree plots written to {path}")


def at_least(degrees: Degrees) -> tuple[Degrees, npt.NDArray[np.float64]]:
    """Each degree that occurs, and the fraction of users or items with at least that degree."""
    values, first = np.unique(np.sort(degrees), return_index=True)
    return values, 1 - first / len(degrees)


def concentration(degrees: Degrees) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fraction of users or items, most active first, and their fraction of the interactions."""
    held = np.cumsum(np.sort(degrees)[::-1]) / degrees.sum()
    fraction = np.arange(1, len(degrees) + 1) / len(degrees)
    return np.concatenate([[0.0], fraction]), np.concatenate([[0.0], held])


def _scale(axes: Any) -> None:
    """Use logarithmic axes for wide ranges."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    whole = FuncFormatter(lambda x, _: f"{x:,.0f}")
    percent = FuncFormatter(lambda x, _: f"{100 * x:.4g}%")
    for axis, set_scale, formatter in (
        (axes.xaxis, axes.set_xscale, whole),
        (axes.yaxis, axes.set_yscale, percent),
    ):
        low, high = axis.get_data_interval()
        if high > _WIDE * low:
            set_scale("log")
            axis.set_minor_formatter(NullFormatter())
        elif formatter is whole:
            axis.set_major_locator(MaxNLocator(integer=True))
        axis.set_major_formatter(formatter)
