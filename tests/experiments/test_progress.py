"""Time left of a grid, and its line on a terminal."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grid_support import MakeRuns

from recbole_painvrl.experiments.progress import LiveLine, clock, estimate, planned, stage
from recbole_painvrl.experiments.runs import GridRun


@pytest.fixture
def done() -> Callable[[GridRun, float], None]:
    def write(run: GridRun, seconds: float) -> None:
        run.folder.mkdir(parents=True)
        result = {"metrics": {}, "seconds": seconds}
        (run.folder / "result.json").write_text(json.dumps(result))

    return write


def test_time_left_is_that_of_complete_runs_of_the_same_model(
    make_runs: MakeRuns, done: Callable[[GridRun, float], None]
) -> None:
    runs = make_runs("Slow", "Fast", seeds=3)
    assert estimate(runs, 1).seconds is None
    assert estimate(runs, 1).runs == 6
    assert "not known until one run is complete" in planned(runs, 1)[-1]
    done(runs[0], 100)
    only = estimate(runs, 1)
    assert only.seconds == pytest.approx(5 * 100)
    assert only.unknown == ("Fast",)
    assert "with the mean of the others for Fast" in planned(runs, 1)[-1]
    done(runs[3], 10)
    assert estimate(runs, 1).seconds == pytest.approx(2 * 100 + 2 * 10)
    assert estimate(runs, 2).seconds == pytest.approx(110)
    assert estimate(runs, 8).seconds == pytest.approx(100), "the longest is not divided"
    assert planned(runs, 1)[-1] == "time left: about 3:40"
    for one in (*runs[1:3], *runs[4:]):
        done(one, 1)
    assert estimate(runs, 1).runs == 0
    assert planned(runs, 1)[-1].startswith("6 runs, 6 done, 0 left")


def test_a_running_run_counts_with_the_rest_of_its_time(
    make_runs: MakeRuns, done: Callable[[GridRun, float], None]
) -> None:
    first, second, third = make_runs("A", seeds=3)
    done(first, 100)
    runs = [first, second, third]
    assert estimate(runs, 1, {second: 30}).seconds == pytest.approx(70 + 100)
    late = estimate(runs, 1, {second: 500})
    assert (late.seconds, late.is_least) == (pytest.approx(100), True)
    assert estimate(runs, 2, {second: 30, third: 90}).seconds == pytest.approx(70)
    overdue = estimate(runs, 2, {second: 101, third: 500})
    assert (overdue.runs, overdue.seconds) == (2, None), "0 seconds would be a wrong promise"


def test_failed_runs_are_neither_done_nor_left(
    make_runs: MakeRuns, done: Callable[[GridRun, float], None]
) -> None:
    runs = make_runs("A", seeds=3)
    done(runs[0], 100)
    runs[1].fail("no luck", resumable=False)
    assert (estimate(runs, 1).runs, estimate(runs, 1).seconds) == (1, pytest.approx(100))
    assert planned(runs, 1)[-2].startswith("3 runs, 1 done, 1 left")
    *_, said, left = planned(runs, 1, retry_failed=True)
    assert said.startswith("3 runs, 1 done, 2 left")
    assert left == "time left: about 3:20"


def test_a_model_without_a_complete_run_takes_the_mean_of_the_others(
    make_runs: MakeRuns, done: Callable[[GridRun, float], None]
) -> None:
    """Every model counts once, however many of its runs are complete."""
    runs = make_runs("Slow", "Fast", "New", seeds=2)
    for one, seconds in zip(runs[:3], (100, 200, 30), strict=True):
        done(one, seconds)
    found = estimate(runs, 1)
    assert found.seconds == pytest.approx(30 + 2 * (150 + 30) / 2)
    assert found.unknown == ("New",)


def test_clock() -> None:
    assert [clock(seconds) for seconds in (9, 125, 3725)] == ["0:09", "2:05", "1:02:05"]


def test_the_stage_is_that_of_the_last_epoch_in_the_log(tmp_path: Path) -> None:
    assert stage(tmp_path) == ""
    lines = ["2026 DEBUG backbone epoch 9: loss 1", "2026 DEBUG mask 1 epoch 2: {'l_erm': 3}"]
    for number, expected in enumerate(("backbone epoch 9", "mask 1 epoch 2"), 1):
        (tmp_path / "train.log").write_text("\n".join(lines[:number]) + "\n")
        assert stage(tmp_path) == expected


def test_the_stage_of_a_long_log_is_its_last(tmp_path: Path) -> None:
    lines = [f"2026 DEBUG backbone epoch {number}: loss 1" for number in range(1, 2000)]
    (tmp_path / "train.log").write_text("\n".join(lines) + "\n")
    assert stage(tmp_path) == "backbone epoch 1999"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_fits_and_makes_room(
    make_runs: MakeRuns,
    done: Callable[[GridRun, float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    runs, terminal = make_runs("A", "B", seeds=1), Terminal()
    done(runs[0], 30)
    runs[1].folder.mkdir(parents=True)
    (runs[1].folder / "train.log").write_text("2026 DEBUG final epoch 4: loss 1\n")
    live = LiveLine(runs, 1, terminal)
    live.begin(runs[1])
    live.show([runs[1]])
    shown = terminal.getvalue().removeprefix("\r\033[K")
    assert shown.startswith("[1/2] 0:00 elapsed, about 0:30 left; B-toy-seed0 final epoch 4")
    assert len(shown) < 70
    live.say("B done")
    assert terminal.getvalue().endswith("\r\033[KB done\n")
    live.say("and nothing to clear")
    assert terminal.getvalue().endswith("B done\nand nothing to clear\n")
    silent = LiveLine(runs, 1, io.StringIO())
    silent.show(runs)
    assert not silent.active


def test_the_line_counts_no_run_whose_process_has_not_ended(
    make_runs: MakeRuns, done: Callable[[GridRun, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    runs, terminal = make_runs("A", seeds=2), Terminal()
    live = LiveLine(runs, 1, terminal)
    live.begin(runs[1])
    done(runs[0], 0.001)
    done(runs[1], 0.001)
    time.sleep(0.01)
    live.show([runs[1]])
    shown = terminal.getvalue()
    assert "[1/2] 0:00 elapsed, time left not known; A-toy-seed1" in shown
    live.show([])
    assert terminal.getvalue() == shown, "all have ended, there is nothing to wait for"
