"""Kills runs at random moments, resumes them and compares them with uninterrupted runs.

    python -m benchmarks.reliability.kills --runs 100

Half of the runs are stopped at a random moment, by SIGKILL or (two in five) by SIGTERM, half are
killed inside a save: with half of the file written, before its fsync, before its rename, or just
after it. One in five is stopped once more while it resumes. The exit code is 1 if a file is
unreadable or a result differs.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, table
from benchmarks.reliability import runs

_TIMEOUT = 300.0
# Fractions of the trials: killed twice; stopped by SIGTERM; killed inside a save.
_TWICE, _TERM, _IN_SAVE = 0.2, 0.4, 0.5
# Fraction of the time that saving may take: every epoch, the default, once per stage.
_OFTEN, _DEFAULT, _RARELY = 1e9, 0.05, 1e-9


@dataclass
class Expected:
    """Outcome, stages, number of saves and duration of an uninterrupted run."""

    outcome: dict[str, Any]
    stages: list[str]
    saves: int
    seconds: float


@dataclass
class Trial:
    """One killed run: where it was stopped, and what was wrong afterwards."""

    case: str
    kind: str
    stage: str
    kills: int = 1
    unreadable: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Bench:
    """Runs of every case below one folder, each trial with its own copy of the data."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        runs.make_data(folder / "data")
        self._expected: dict[str, Expected] = {}

    def start(
        self,
        argv: Sequence[str],
        folder: Path,
        fraction: float = _OFTEN,
        hook: runs.SaveHook | None = None,
    ) -> list[ForkProcess]:
        """Start the processes of a run; the first one has the hook, and is killed."""
        hooks: list[Callable[[], None]] = [partial(runs.save_often, fraction)]
        return [runs.start(argv, log_of(folder), *hooks, *([hook] if hook else []))]

    def expected(self, case: str) -> Expected:
        """The uninterrupted run of a case, which is run once."""
        if case not in self._expected:
            folder, argv = self._new_run(case, "uninterrupted")
            hook = runs.SaveHook()
            processes = self.start(argv, folder, hook=hook)
            _wait_for_config(folder, processes[0])
            begin = time.monotonic()
            if _exit_code(processes):
                raise RuntimeError(f"{case}: {log_of(folder).read_text()}")
            seconds = time.monotonic() - begin
            result = json.loads((folder / "result.json").read_text())
            names = [stage["name"] for stage in result["stages"]]
            found = Expected(runs.outcome(folder), names, hook.saves.value, seconds)
            self._expected[case] = found
        return self._expected[case]

    def trial(self, case: str, index: int) -> Trial:
        """Kill a run of a case, resume it and compare."""
        expected, kind = self.expected(case), None
        while kind is None:
            folder, argv = self._new_run(case, f"trial-{index}")
            in_save = self.rng.random() < _IN_SAVE
            kill = self._kill_in_save if in_save else self._kill_at_random
            kind = kill(argv, folder, expected)
        trial = Trial(
            case, kind, runs.stage_reached(folder, expected.stages), 1, runs.unreadable(folder)
        )
        if (folder / "config.yaml").is_file() and self.rng.random() < _TWICE:
            again = self._kill_at_random(_resume(folder), folder, expected)
            trial.kills += again is not None
            trial.unreadable += runs.unreadable(folder)
        trial.differing = self._finish(folder, argv, expected)
        if not trial.differing and not trial.unreadable:
            shutil.rmtree(folder.parents[1])
        return trial

    def _finish(self, folder: Path, argv: Sequence[str], expected: Expected) -> list[str]:
        """Resume, or run anew if nothing had been written; returns what differs."""
        wrong, code = [], None
        complete = (folder / "result.json").is_file()
        if not (folder / "config.yaml").is_file():
            if self._run(_resume(folder), folder) != 2:
                wrong.append("resuming an empty run folder was not refused")
            shutil.rmtree(folder, ignore_errors=True)
            code = self._run(argv, folder)
        elif not complete:
            code = self._run(_resume(folder), folder)
        if code:
            return [*wrong, f"exit code {code}, see {log_of(folder)}"]
        # A run killed between its result and its end leaves its lock.
        hidden = {path.name for path in folder.rglob(".*")} - ({".lock"} if complete else set())
        wrong += runs.differences(expected.outcome, runs.outcome(folder))
        return [*wrong, *(f"left behind: {name}" for name in sorted(hidden))]

    def _run(self, argv: Sequence[str], folder: Path) -> int:
        return _exit_code(self.start(argv, folder, _DEFAULT))

    def _kill_in_save(self, argv: Sequence[str], folder: Path, expected: Expected) -> str | None:
        """Kind of the kill; None if the run ended before that save."""
        hook = runs.SaveHook(self.rng.randint(1, expected.saves), self.rng.choice(runs.POINTS))
        processes = self.start(argv, folder, hook=hook)
        process, limit = processes[0], time.monotonic() + _TIMEOUT
        while process.is_alive() and not hook.stopped.wait(0.01) and time.monotonic() < limit:
            pass
        process.kill()
        _exit_code(processes)
        return f"in a save, {hook.point}" if hook.stopped.is_set() else None

    def _kill_at_random(self, argv: Sequence[str], folder: Path, expected: Expected) -> str | None:
        """Kind of the kill; None if the run ended before."""
        term = self.rng.random() < _TERM
        # At SIGTERM a run saves what is unsaved; after SIGKILL only what was saved is there.
        rarely = term and self.rng.random() < 0.5
        fraction = _RARELY if rarely else self.rng.choice((_OFTEN, _DEFAULT))
        processes = self.start(argv, folder, fraction)
        process = processes[0]
        _wait_for_config(folder, process)
        process.join(self.rng.uniform(0, expected.seconds))
        ended = not process.is_alive()
        if term:
            process.terminate()
        else:
            process.kill()
        _exit_code(processes)
        if ended or (folder / "result.json").is_file():
            return None
        return f"random moment, {'SIGTERM' if term else 'SIGKILL'}"

    def _new_run(self, case: str, name: str) -> tuple[Path, list[str]]:
        """A run folder beside a copy of the data, and the command line of its run."""
        place = self.folder / case.replace(", ", "-") / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "data", place / "data")
        folder = place / "runs" / "run"
        return folder, runs.arguments(case, place / "data", folder)


def log_of(folder: Path) -> Path:
    """The file with the output of a run."""
    return folder.parents[1] / "log"


def _exit_code(processes: Sequence[ForkProcess]) -> int:
    """Exit code of the first process that failed, 0 if none did; a hanging one is killed."""
    for process in processes:
        process.join(_TIMEOUT)
        process.kill()
        process.join()
    return next((process.exitcode for process in processes if process.exitcode), 0)


def _wait_for_config(folder: Path, process: ForkProcess) -> None:
    """Wait until the run has written its configuration."""
    limit = time.monotonic() + _TIMEOUT
    written = folder / "config.yaml"
    while process.is_alive() and not written.is_file() and time.monotonic() < limit:
        process.join(0.002)


def _resume(folder: Path) -> list[str]:
    return [f"--resume={folder}", "--show_progress=False"]


def tables(trials: Sequence[Trial]) -> str:
    """Counts by model, by kind of kill and by stage, as Markdown."""
    # Not before `warm_up`, since it imports NumPy.
    import pandas as pd

    sums = ["runs", "unreadable files", "differing results"]
    rows = [
        (one.case, one.kind, one.stage, 1, len(one.unreadable), bool(one.differing))
        for one in trials
    ]
    frame = pd.DataFrame(rows, columns=["model", "kill", "stopped in", *sums])
    found = [
        table((key, *sums), frame.groupby(key)[sums].sum().itertuples())
        for key in ("model", "kill", "stopped in")
    ]
    n_runs, bad, other = frame[sums].sum()
    n_kills = sum(trial.kills for trial in trials)
    whole = f"{n_runs} runs, {n_kills} kills: {bad} unreadable files, {other} differing results"
    return "\n\n".join([*found, whole])


def main(
    argv: Sequence[str] | None = None,
    doc: str | None = __doc__,
    make: type[Bench] = Bench,
    cases: Sequence[str] = tuple(runs.CASES),
) -> int:
    """Kill the runs and print the tables; returns the exit code."""
    parser = command_line(doc)
    parser.add_argument("--runs", type=int, default=100, help="number of runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--cases", nargs="+", default=cases, choices=cases)
    given = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    runs.warm_up()
    bench, trials = make(folder, random.Random(given.seed)), []
    for index in range(given.runs):
        trial = bench.trial(given.cases[index % len(given.cases)], index)
        trials.append(trial)
        print(f"{index + 1}/{given.runs} {trial.case}: {trial.kind}; {trial.stage}", flush=True)
        for line in (*trial.unreadable, *trial.differing):
            print(f"    WRONG: {line}", flush=True)
    print(f"\n{tables(trials)}")
    failed = any(trial.unreadable or trial.differing for trial in trials)
    if failed:
        print(f"the folders of the failed runs are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
