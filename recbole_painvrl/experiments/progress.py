"""How far a grid is: time left by the runs that are complete, and a line that is drawn anew."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from recbole_painvrl.experiments.runs import ENDED, GridRun

# Bytes of a log in which its last epoch is looked for.
_TAIL = 4096
_EPOCH = re.compile(rb"(?:DEBUG|INFO) ((?:[a-z]+ ?)+\d* epoch \d+):")


@dataclass(frozen=True)
class Estimate:
    """Time that the open runs take.

    Attributes:
        runs: number of open runs.
        seconds: of all of them together, on as many workers; None without a complete run, and
            where all that is left has been running for longer than the complete runs.
        unknown: models of which none is complete, counted with the mean of the others.
        is_least: whether ``seconds`` is a lower bound, since a run takes longer than expected.
    """

    runs: int
    seconds: float | None
    unknown: tuple[str, ...]
    is_least: bool = False


def estimate(
    runs: Sequence[GridRun],
    workers: int,
    running: Mapping[GridRun, float] | None = None,
    ended: Collection[str] = ENDED,
) -> Estimate:
    """Time left, from the mean time of the complete runs of each model.

    Args:
        runs: distinct runs.
        workers: number of parallel runs.
        running: seconds so far of every run whose process has not ended.
        ended: states in which nothing is left to do.
    """
    running = running or {}
    times: dict[str, list[float]] = defaultdict(list)
    for one in runs:
        if one.state() == "done":
            times[one.model].append(float(one.result().get("seconds") or 0.0))
    means = {model: sum(values) / len(values) for model, values in times.items()}
    left = [one for one in runs if one in running or one.state() not in ended]
    if not means:
        return Estimate(len(left), None, tuple(dict.fromkeys(one.model for one in left)))
    usual = sum(means.values()) / len(means)
    rest = [max(means.get(one.model, usual) - running.get(one, 0.0), 0.0) for one in left]
    unknown = tuple(dict.fromkeys(one.model for one in left if one.model not in means))
    if left and not any(rest):
        return Estimate(len(left), None, unknown)
    # The longest run is not divided among the workers.
    seconds = max(sum(rest) / workers, max(rest, default=0.0))
    return Estimate(len(left), seconds, unknown, is_least=0.0 in rest)


def planned(runs: Sequence[GridRun], workers: int, retry_failed: bool = False) -> list[str]:
    """What `--dry-run` says: the runs, and how long they take.

    Args:
        runs: distinct runs.
        workers: number of parallel runs.
        retry_failed: whether failed runs are repeated.
    """
    states = [one.state() for one in runs]
    lines = [f"{one.folder.name}: {state}" for one, state in zip(runs, states, strict=True)]
    left = estimate(runs, workers, ended=("done",) if retry_failed else ENDED)
    done = states.count("done")
    lines.append(f"{len(runs)} runs, {done} done, {left.runs} left; nothing was started")
    if not left.runs:
        return lines
    if left.seconds is None:
        return [*lines, "time left: not known until one run is complete; begin with `--seeds 0,`"]
    guess = f", with the mean of the others for {', '.join(left.unknown)}" if left.unknown else ""
    shared = f" with {workers} workers" if workers > 1 else ""
    return [*lines, f"time left: about {clock(left.seconds)}{shared}{guess}"]


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def stage(folder: Path) -> str:
    """The stage and epoch that a run has reached, from its log; empty before the first."""
    try:
        with open(folder / "train.log", "rb") as stream:
            stream.seek(max(0, (folder / "train.log").stat().st_size - _TAIL))
            found = _EPOCH.findall(stream.read())
    except OSError:
        return ""
    return found[-1].decode() if found else ""


def say(line: str, stream: TextIO | None = None) -> None:
    """A line about the work; results go to stdout."""
    stream = stream or sys.stderr
    # In one write: runs report from several threads.
    stream.write(f"{line}\n")
    stream.flush()


class LiveLine:
    """One line on a terminal that is drawn anew; nothing where the output is no terminal.

    Args:
        runs: distinct runs of the grid.
        workers: number of parallel runs.
        stream: the terminal; None for stderr.
    """

    def __init__(self, runs: Sequence[GridRun], workers: int, stream: TextIO | None = None) -> None:
        self._runs, self._workers, self._stream = runs, workers, stream or sys.stderr
        self._start, self._shown = time.monotonic(), False
        self._began: dict[GridRun, float] = {}
        self.active = self._stream.isatty()

    def begin(self, run: GridRun) -> None:
        """A run starts or resumes."""
        self._began[run] = time.monotonic()

    def show(self, pending: Iterable[GridRun]) -> None:
        """Draw it: runs ended, elapsed and remaining time, stage of the runs that are active.

        Args:
            pending: runs whose processes have not ended; without any, nothing is drawn.
        """
        waiting, now = set(pending), time.monotonic()
        if not self.active or not waiting:
            return
        running = {one: now - start for one, start in self._began.copy().items() if one in waiting}
        left = estimate(self._runs, self._workers, running)
        rest = "time left not known"
        if left.seconds is not None:
            rest = f"{'at least' if left.is_least else 'about'} {clock(left.seconds)} left"
        words = [f"{one.folder.name.rpartition('-')[0]} {stage(one.folder)}" for one in running]
        text = (
            f"[{len(self._runs) - left.runs}/{len(self._runs)}] {clock(now - self._start)} "
            f"elapsed, {rest}; {', '.join(word.strip() for word in words)}"
        )
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\033[K{text[:width]}")
        self._stream.flush()
        self._shown = True

    def say(self, line: str) -> None:
        """Another line, which this one makes room for."""
        self.clear()
        say(line, self._stream)

    def clear(self) -> None:
        """Make room for another line."""
        if self._shown:
            self._stream.write("\r\033[K")
            self._shown = False
