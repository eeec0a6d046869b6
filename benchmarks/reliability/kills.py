"""Kills runs at random moments, resumes them and compares with runs that nobody touched.

    python -m benchmarks.reliability.kills --runs 100

Half of the runs are stopped at a moment uniform over the run's time, by SIGKILL or (two in five)
by SIGTERM, half are killed inside a save: with half of the file written, before its fsync, before
it is put in place, or just after. One in five is stopped once more while it resumes. Unreadable
files and differing results are counted; the exit code is 1 if there is one.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, head, row
from benchmarks.reliability.runs import (
    CASES,
    POINTS,
    arguments,
    differences,
    fork,
    limit_saving,
    make_data,
    outcome,
    run,
    stage_reached,
    unreadable,
    wait,
    warm_up,
    watch_saves,
)

_PATIENCE = 300.0
_TWICE, _TERM, _IN_SAVE = 0.2, 0.4, 0.5
_OFTEN, _USUAL, _RARELY = 1e9, 0.05, 1e-9


@dataclass
class Whole:
    """A run that nobody touched: its outcome, stages, saves, and seconds after its first file."""

    outcome: dict[str, Any]
    stages: list[str]
    saves: int
    seconds: float


@dataclass
class Trial:
    """One kill: where it fell, and what was wrong afterwards."""

    case: str
    kind: str
    stage: str
    kills: int = 1
    unreadable: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Bench:
    """Runs of every case in one folder, each trial with its own copy of the data.

    Args:
        folder: where everything is written.
        rng: source of the moments.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        make_data(folder / "data")
        self.whole: dict[str, Whole] = {}

    def uninterrupted(self, case: str) -> Whole:
        """The run of a case that nobody touches, made once."""
        if case not in self.whole:
            place, argv = self._place(case, "whole")
            reading, writing = os.pipe()

            def hooks() -> None:
                limit_saving(_OFTEN)
                watch_saves(writing)

            child = fork(argv, place / "log", hooks)
            os.close(writing)
            _await(place, child)
            start, saves = time.monotonic(), 0
            while content := os.read(reading, 1024):
                saves += len(content)
            os.close(reading)
            code, seconds = wait(child), time.monotonic() - start
            if code:
                raise RuntimeError(f"{case}: {(place / 'log').read_text()}")
            folder = place / "runs" / "run"
            result = json.loads((folder / "result.json").read_text())
            names = [stage["name"] for stage in result["stages"]]
            self.whole[case] = Whole(outcome(folder), names, saves, seconds)
        return self.whole[case]

    def trial(self, case: str, number: int) -> Trial:
        """Kill a run of a case, resume it and compare."""
        whole, kind = self.uninterrupted(case), None
        while kind is None:
            place, argv = self._place(case, f"trial {number}")
            in_save = self.rng.random() < _IN_SAVE
            kill = self._kill_in_save if in_save else self._kill_at_random
            kind = kill(argv, place, whole)
        folder = place / "runs" / "run"
        trial = Trial(case, kind, stage_reached(folder, whole.stages), 1, unreadable(folder))
        if (folder / "config.yaml").is_file() and self.rng.random() < _TWICE:
            again = self._kill_at_random(_resume(folder), place, whole)
            trial.kills += again is not None
            trial.unreadable += unreadable(folder)
        self._finish(trial, argv, place)
        if not trial.differing and not trial.unreadable:
            shutil.rmtree(place)
        return trial

    def _finish(self, trial: Trial, argv: Sequence[str], place: Path) -> None:
        """Resume, or start again where nothing had been written, and compare."""
        folder, log = place / "runs" / "run", place / "log"
        complete = (folder / "result.json").is_file()
        if not (folder / "config.yaml").is_file():
            if run(_resume(folder), log) != 2:
                trial.differing.append("resuming nothing was not refused")
            shutil.rmtree(folder, ignore_errors=True)
            code = run(argv, log)
        else:
            code = 0 if complete else run(_resume(folder), log)
        if code:
            trial.differing.append(f"exit code {code}, see {log}")
            return
        trial.differing += differences(self.whole[trial.case].outcome, outcome(folder))
        # Killed between its result and its end, a run leaves its lock; nothing is left to do.
        hidden = {path.name for path in folder.rglob(".*")} - ({".lock"} if complete else set())
        trial.differing += [f"left behind: {name}" for name in sorted(hidden)]

    def _kill_in_save(self, argv: Sequence[str], place: Path, whole: Whole) -> str | None:
        """Kind of the kill; None where the save never came."""
        save, point = self.rng.randint(1, whole.saves), self.rng.choice(POINTS)
        reading, writing = os.pipe()

        def hooks() -> None:
            limit_saving(_OFTEN)
            watch_saves(writing, save, point)

        child = fork(argv, place / "log", hooks)
        os.close(writing)
        ready = select.select([reading], [], [], _PATIENCE)[0]
        stopped = bool(ready) and os.read(reading, 1) != b""
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        wait(child)
        return f"in a save, {point}" if stopped else None

    def _kill_at_random(self, argv: Sequence[str], place: Path, whole: Whole) -> str | None:
        """Kind of the kill; None where the run was over before its moment came."""
        chosen = signal.SIGTERM if self.rng.random() < _TERM else signal.SIGKILL
        # What SIGTERM finds unsaved it must save; after SIGKILL only what was saved is there.
        rarely = chosen == signal.SIGTERM and self.rng.random() < 0.5
        fraction = _RARELY if rarely else self.rng.choice((_OFTEN, _USUAL))
        child = fork(argv, place / "log", lambda: limit_saving(fraction))
        _await(place, child)
        time.sleep(self.rng.uniform(0, whole.seconds))
        if os.waitpid(child, os.WNOHANG)[0]:
            return None
        os.kill(child, chosen)
        wait(child)
        complete = (place / "runs" / "run" / "result.json").is_file()
        return None if complete else f"random moment, {chosen.name}"

    def _place(self, case: str, name: str) -> tuple[Path, list[str]]:
        """A new folder with data of its own, and the command line of a run in it."""
        place = self.folder / case.replace(", ", "-") / name.replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "data", place / "data")
        return place, arguments(case, place / "data", place / "runs", "run")


def _await(place: Path, child: int) -> None:
    """Until the run has its configuration on disk."""
    limit = time.monotonic() + _PATIENCE
    while not (place / "runs" / "run" / "config.yaml").is_file() and time.monotonic() < limit:
        time.sleep(0.002)


def _resume(folder: Path) -> list[str]:
    return [f"--resume={folder}", "--show_progress=False"]


def table(trials: Sequence[Trial]) -> str:
    """Counts by model, by kind of kill and by stage, as Markdown."""
    lines = []
    keys: dict[str, Callable[[Trial], str]] = {
        "model": lambda trial: trial.case,
        "kill": lambda trial: trial.kind,
        "stopped in": lambda trial: trial.stage,
    }
    for title, key in keys.items():
        lines.append(head(title, "runs", "unreadable files", "differing results"))
        for name, count in sorted(Counter(map(key, trials)).items()):
            lines.append(row(name, count, *_wrong([one for one in trials if key(one) == name])))
        lines.append("")
    bad, other = _wrong(trials)
    kills = sum(trial.kills for trial in trials)
    lines.append(
        f"{len(trials)} runs, {kills} kills: {bad} unreadable files, {other} differing results"
    )
    return "\n".join(lines)


def _wrong(trials: Sequence[Trial]) -> tuple[int, int]:
    """Unreadable files and differing results."""
    unread = sum(len(trial.unreadable) for trial in trials)
    return unread, sum(bool(trial.differing) for trial in trials)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if nothing was unreadable and nothing differed."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=100, help="runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    warm_up()
    bench, trials = Bench(folder, random.Random(given.seed)), []
    for number in range(given.runs):
        trial = bench.trial(given.cases[number % len(given.cases)], number)
        trials.append(trial)
        print(f"{number + 1}/{given.runs} {trial.case}: {trial.kind}; {trial.stage}", flush=True)
        for line in (*trial.unreadable, *trial.differing):
            print(f"    WRONG: {line}", flush=True)
    print(f"\n{table(trials)}")
    failed = any(_wrong(trials))
    if failed:
        print(f"the runs that went wrong are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
