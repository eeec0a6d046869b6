"""Curves carry their spread, and the files are what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from recbole_painvrl.report.contents import Number
from recbole_painvrl.report.curves import Point, curves, save


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
