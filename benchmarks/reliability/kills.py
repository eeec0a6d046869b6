"""Kills runs at random moments, resumes them and compares with runs that nobody touched.

    python -m benchmarks.reliability.kills --runs 100

Half of the runs get SIGKILL (one in ten SIGTERM) at a moment uniform over the run's time, half
inside a save: with half of the file written, before its fsync, before it is put in place, or just
after. One in five is killed once more while it resumes. Unreadable files and differing results
are counted; there must be none, and the exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
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

from benchmarks.reliability.runs import (
    CASES,
    arguments,
    differences,
    fork,
    make_data,
    outcome,
    run,
    stage_reached,
    unreadable,
    wait,
    warm_up,
)
from benchmarks.reliability.saves import (
    LOCK,
    POINTS,
    count_saves,
    save_every_epoch,
    save_once_a_stage,
    stop_in_save,
)

_PATIENCE = 300.0
_TWICE, _TERM, _IN_SAVE = 0.2, 0.4, 0.5


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
        self.data = folder / "data"
        make_data(self.data)
        self.whole: dict[str, Whole] = {}

    def uninterrupted(self, case: str) -> Whole:
        """The run of a case that nobody touches, made once."""
        if case not in self.whole:
            place = self._place(case, "whole")
            reading, writing = os.pipe()
            child = fork(self._arguments(case, place), place / "log", lambda: _every(writing))
            os.close(writing)
            self._await(place / "runs" / "run" / "config.yaml", child)
            start = time.monotonic()
            saves = 0
            while content := os.read(reading, 1024):
                saves += len(content)
            os.close(reading)
            code, seconds = wait(child), time.monotonic() - start
            if code:
                raise RuntimeError(f"{case}: {(place / 'log').read_text()}")
            run_folder = place / "runs" / "run"
            result = json.loads((run_folder / "result.json").read_text())
            names = [stage["name"] for stage in result["stages"]]
            self.whole[case] = Whole(outcome(run_folder), names, saves, seconds)
        return self.whole[case]

    def trial(self, case: str, number: int) -> Trial:
        """Kill a run of a case, resume it and compare."""
        whole = self.uninterrupted(case)
        while True:
            place = self._place(case, f"trial {number}")
            killed = (
                self._kill_in_save(case, place, whole)
                if self.rng.random() < _IN_SAVE
                else self._kill_at_random(self._arguments(case, place), place, whole)
            )
            if killed is not None:
                break
            # It was over before its moment came.
            shutil.rmtree(place)
        folder = place / "runs" / "run"
        trial = Trial(case, killed, stage_reached(folder, whole.stages), 1, unreadable(folder))
        if (folder / "config.yaml").is_file() and self.rng.random() < _TWICE:
            again = self._kill_at_random(_resume(folder), place, whole)
            trial.kills += again is not None
            trial.unreadable += unreadable(folder)
        self._finish(case, place, trial)
        if not trial.differing and not trial.unreadable:
            shutil.rmtree(place)
        return trial

    def _finish(self, case: str, place: Path, trial: Trial) -> None:
        """Resume, or start again where nothing had been written, and compare."""
        folder = place / "runs" / "run"
        complete = (folder / "result.json").is_file()
        if not (folder / "config.yaml").is_file():
            if run(_resume(folder), place / "log") != 2:
                trial.differing.append("resuming nothing was not refused")
            shutil.rmtree(folder, ignore_errors=True)
            code = run(self._arguments(case, place), place / "log")
        elif complete:
            code = 0
        else:
            code = run(_resume(folder), place / "log")
        if code:
            trial.differing.append(f"exit code {code}, see {place / 'log'}")
            return
        trial.differing += differences(self.whole[case].outcome, outcome(folder))
        # Killed between its result and its end, a run leaves its lock; nothing is left to do.
        hidden = {path.name for path in folder.rglob(".*")} - ({LOCK} if complete else set())
        trial.differing += [f"left behind: {name}" for name in sorted(hidden)]

    def _kill_in_save(self, case: str, place: Path, whole: Whole) -> str | None:
        save, point = self.rng.randint(1, whole.saves), self.rng.choice(POINTS)
        reading, writing = os.pipe()

        def hooks() -> None:
            save_every_epoch()
            stop_in_save(save, point, writing)

        child = fork(self._arguments(case, place), place / "log", hooks)
        os.close(writing)
        ready = select.select([reading], [], [], _PATIENCE)[0]
        stopped = bool(ready) and os.read(reading, 1) != b""
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        wait(child)
        return f"in a save, {point}" if stopped else None

    def _kill_at_random(self, argv: Sequence[str], place: Path, whole: Whole) -> str | None:
        chosen = signal.SIGTERM if self.rng.random() < _TERM else signal.SIGKILL
        often = self.rng.random() < 0.5
        # What SIGTERM finds unsaved it must save; after SIGKILL only what was saved is there.
        rare = chosen == signal.SIGTERM and not often
        hooks = [save_every_epoch] * often + [save_once_a_stage] * rare
        child = fork(argv, place / "log", *hooks)
        self._await(place / "runs" / "run" / "config.yaml", child)
        time.sleep(self.rng.uniform(0, whole.seconds))
        if os.waitpid(child, os.WNOHANG)[0]:
            return None
        os.kill(child, chosen)
        wait(child)
        if (place / "runs" / "run" / "result.json").is_file():
            return None
        return f"random moment, {chosen.name}"

    def _await(self, path: Path, child: int) -> None:
        """Until the run has its configuration on disk."""
        limit = time.monotonic() + _PATIENCE
        while not path.is_file() and time.monotonic() < limit:
            time.sleep(0.002)

    def _place(self, case: str, name: str) -> Path:
        place = self.folder / case.replace(", ", "-") / name.replace(" ", "-")
        shutil.copytree(self.data, place / "data")
        return place

    def _arguments(self, case: str, place: Path) -> list[str]:
        return arguments(case, place / "data", place / "runs", "run")


def _resume(folder: Path) -> list[str]:
    return [f"--resume={folder}", "--show_progress=False"]


def _every(pipe: int) -> None:
    save_every_epoch()
    count_saves(pipe)


def table(trials: Sequence[Trial]) -> str:
    """Counts by model, by kind of kill and by stage, as Markdown."""
    lines = []
    keys: dict[str, Callable[[Trial], str]] = {
        "model": lambda trial: trial.case,
        "kill": lambda trial: trial.kind,
        "stopped in": lambda trial: trial.stage,
    }
    for title, key in keys.items():
        lines += [f"| {title} | runs | unreadable files | differing results |", "|---|---|---|---|"]
        groups = Counter(key(trial) for trial in trials)
        for name, count in sorted(groups.items()):
            of_group = [trial for trial in trials if key(trial) == name]
            bad = sum(len(trial.unreadable) for trial in of_group)
            other = sum(bool(trial.differing) for trial in of_group)
            lines.append(f"| {name} | {count} | {bad} | {other} |")
        lines.append("")
    kills = sum(trial.kills for trial in trials)
    bad = sum(len(trial.unreadable) for trial in trials)
    other = sum(bool(trial.differing) for trial in trials)
    lines.append(
        f"{len(trials)} runs, {kills} kills: {bad} unreadable files, {other} differing results"
    )
    return "\n".join(lines)


def measure(folder: Path, runs: int, seed: int, cases: Sequence[str]) -> list[Trial]:
    """The trials, over the cases by turns."""
    warm_up()
    bench = Bench(folder, random.Random(seed))
    trials = []
    for number in range(runs):
        trial = bench.trial(cases[number % len(cases)], number)
        trials.append(trial)
        print(f"{number + 1}/{runs} {trial.case}: {trial.kind}; {trial.stage}", flush=True)
        for line in (*trial.unreadable, *trial.differing):
            print(f"    WRONG: {line}", flush=True)
    return trials


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if nothing was unreadable and nothing differed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    trials = measure(folder, given.runs, given.seed, given.cases)
    print(f"\n{table(trials)}")
    failed = any(trial.unreadable or trial.differing for trial in trials)
    if failed:
        print(f"the runs that went wrong are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
