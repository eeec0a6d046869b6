"""The scripts that measure speed: what they compute, and that they run on small shapes."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from recbole.data.dataset import Dataset  # noqa: F401  (a slow import, before times are faked)

from benchmarks import growth, speed
from benchmarks.common import alternately
from benchmarks.speed import Row
from benchmarks.steps import SHAPES, RandomData, Shape


def test_steps_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    now = 0.0
    cost = {"a": iter([9.0, 1.0, 5.0, 2.0]), "b": iter([9.0, 4.0, 3.0, 8.0])}

    def step(name: str) -> None:
        nonlocal now
        order.append(name)
        now += next(cost[name])

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    medians = alternately({name: lambda name=name: step(name) for name in "ab"}, 3)  # type: ignore[misc]
    assert order == ["a", "b"] * 4
    assert medians == {"a": 2.0, "b": 4.0}


def test_ratios_are_how_many_times_better() -> None:
    assert Row("x", 2.0, 8.0, 4.0).cells()[-2:] == ("4.00", "4 (met)")
    assert Row("x", 30.0, 10.0, 4.0, "M", True).cells()[-2:] == ("3.00", "4 (missed)")


def test_random_data_have_the_shape() -> None:
    data = RandomData(Shape(50, 30, (4, 3), 400))
    assert data.num("user_id") == 51
    assert data.features.matrix.shape == (31, 7)
    assert set(data.users.tolist()) == set(range(1, 51))
    assert 1 <= int(data.items.min()) <= int(data.items.max()) <= 30
    assert data.inter_matrix().nnz == len(data.users)
    counts = torch.bincount(data.items, minlength=31)[1:]
    assert counts[:5].sum() > 2 * counts[-5:].sum()


@pytest.mark.filterwarnings("ignore")
def test_speed_runs_and_prints_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speed.main(["--quick", "--repeats", "1", "--shapes", "movielens"])
    out = capsys.readouterr().out
    assert out.startswith("processor: ")
    lines = [line for line in out.splitlines() if line.startswith("| movielens")]
    assert len(lines) == 14
    assert all("met)" in line or "missed)" in line for line in lines)
    assert not list(tmp_path.iterdir()), "nothing is left where it was started"


def test_exponents_of_planted_curves(tmp_path: Path) -> None:
    rows = [
        {"size": name, "fraction": x, **dict.fromkeys(growth.MEASURED, 3 * x**power)}
        for name, power in (("items", 1.0), ("columns", 0.0), ("interactions", 2.0))
        for x in (0.25, 0.5, 1.0)
    ]
    frame = pd.DataFrame(rows)
    lines = growth.exponents(frame).splitlines()
    assert [line.split("|")[1:3] for line in lines[2:]] == [
        [" items ", " 1.00 "],
        [" columns ", " 0.00 "],
        [" interactions ", " 2.00 "],
    ]
    growth.draw(frame, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_one_size_of_the_growth_curves() -> None:
    small = SHAPES["tiktok"].quick()
    values = growth.measure(growth.resized(small, "items", 0.5), 1)
    assert set(values) == set(growth.MEASURED)
    assert all(value > 0 for value in values.values())
    assert growth.resized(small, "environments", 0.5).n_environments == 2
