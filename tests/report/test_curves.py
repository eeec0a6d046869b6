"""Curves with their deviation over seeds, in files of every format."""

from __future__ import annotations

from pathlib import Path

import pytest
from forks import fresh

from recbole_painvrl.report.plots.curves import Point, curves, save
from recbole_painvrl.report.tables import Number


def test_a_band_shows_one_deviation_and_every_seed_is_there(tmp_path: Path) -> None:
    points = [Point(20, Number([0.3, 0.5])), Point(10, Number([0.1, 0.3]))]
    figure = curves({"OOD": {"A": points, "B": points}}, "K", {"OOD": "Recall@K"}, "note")
    (axes,) = figure.axes
    line = axes.get_lines()[0]
    assert list(line.get_xdata()) == [10, 20]
    assert list(line.get_ydata()) == pytest.approx([0.2, 0.4])
    band = axes.collections[0].get_paths()[0].get_extents()
    sd = 0.1 * 2**0.5
    assert (band.ymin, band.ymax) == pytest.approx((0.2 - sd, 0.4 + sd))
    dots = [value for one in axes.get_lines()[1:3] for value in one.get_ydata()]
    assert sorted(dots) == [0.1, 0.3, 0.3, 0.5]
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for path in save(figure, tmp_path, "x"):
        assert path.read_bytes().startswith(starts[path.suffix[1:]])


def test_one_seed_has_no_spread() -> None:
    (axes,) = curves({"OOD": {"A": [Point(1, Number([0.4]))]}}, "K", {"OOD": "R"}, "note").axes
    band = axes.collections[0].get_paths()[0].get_extents()
    assert band.ymin == band.ymax == pytest.approx(0.4)


def test_a_dollar_sign_in_the_note_is_no_formula(tmp_path: Path) -> None:
    """Such as the variant of the data; after all runs there was a traceback, and no figure."""
    figure = curves({"OOD": {"A": [Point(1, Number([0.4]))]}}, "K", {"OOD": "R"}, r"a $x_ $\y b")
    save(figure, tmp_path, "x")


def test_the_backend_of_the_environment_does_not_matter(tmp_path: Path) -> None:
    """A notebook sets one for its children, which need not have it."""
    backend = "module://matplotlib_inline.backend_inline"
    program = """
import os, sys
from pathlib import Path
import numpy as np
from dataset_prep.plot import check_plot, plot_degrees
from recbole_painvrl.report.plots.curves import blank, save
from recbole_painvrl.report.plots.style import Figures, house_style
folder = Path(sys.argv[1])
check_plot(folder / "degrees.png")
plot_degrees(folder / "degrees.png", "x", np.arange(1, 9), np.arange(1, 9))
save(blank(2, 2), folder, "blank")
with house_style():
    Figures(folder / "page", "b1", []).sketch().finish("panel", "nothing", "x")
print(os.environ["MPLBACKEND"])
"""
    done = fresh(["-c", program, str(tmp_path)], tmp_path, MPLBACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == backend
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.p*")}
    assert names == {
        "blank.pdf", "blank.png", "degrees.png", "page/b1-panel.pdf", "page/b1-panel.png",
    }  # fmt: skip
