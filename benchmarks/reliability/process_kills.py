"""Runs of several processes, one of which is killed; resumed, they must equal a whole run.

    python -m benchmarks.reliability.process_kills --runs 30

Half of the kills are at a random moment (SIGKILL, or SIGTERM, after which all save), half inside a
save. After every kill the manifest must name files that are there and readable.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, print_table
from benchmarks.reliability.runs import (
    POINTS,
    SaveHook,
    arguments,
    differences,
    make_data,
    outcome,
    save_often,
    start,
    unreadable,
    warm_up,
)

_CASES = ("UltraGCN", "VBPR", "PaInvRL", "InvRL")
_TIMEOUT = 60.0
# Number of digits with which a port is written.
_DIGITS = 5


def _as_rank(rank: int, size: int, port: int) -> None:
    """Environment and patience of a process that torchrun would have started.

    Args:
        rank: number of the process.
        size: number of processes.
        port: pipe from which the port of the store is read.
    """
    from recbole_painvrl.parallel import launch

    launch._PATIENCE = launch._PEER_PATIENCE = timedelta(seconds=1)
    for name, value in {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.read(port, _DIGITS).decode(),
        "TORCHELASTIC_USE_AGENT_STORE": True,
    }.items():
        os.environ[name] = str(value)


class Bench:
    """Runs of some processes in a folder.

    Args:
        folder: for data and runs.
        size: number of processes.
        rng: chooses what to kill, and when.
    """

    def __init__(self, folder: Path, size: int, rng: random.Random) -> None:
        self.folder, self.size, self.rng = folder, size, rng
        self._log = folder / "log"
        make_data(folder / "data")
        self.expected: dict[str, tuple[dict[str, Any], float]] = {}

    def trial(self, case: str, number: int) -> tuple[str, list[str]]:
        """Kind of the kill, and what was wrong afterwards."""
        if case not in self.expected:
            folder = self.folder / f"whole-{case}"
            began = time.perf_counter()
            codes = [_ended(one) for one in self._start(self._argv(case, folder))]
            if any(codes):
                raise SystemExit(f"{case}: the run failed, see {self._log}")
            self.expected[case] = outcome(folder), time.perf_counter() - began
        expected, seconds = self.expected[case]
        folder = self.folder / f"killed-{number}"
        kind = self._kill(self._argv(case, folder), folder, seconds)
        wrong = [] if not folder.is_dir() else [*_manifest(folder), *unreadable(folder)]
        if not (folder / "result.json").is_file():
            begun = (folder / "config.yaml").is_file()
            argv = [f"--resume={folder}", "--show_progress=False"]
            if not begun:
                shutil.rmtree(folder, ignore_errors=True)
            processes = self._start(argv if begun else self._argv(case, folder))
            codes = [_ended(one) for one in processes]
            if any(codes):
                return kind, [*wrong, f"exit codes {codes} after resuming, see {self._log}"]
        wrong += differences(expected, outcome(folder))
        if not wrong:
            shutil.rmtree(folder)
        return kind, wrong

    def _argv(self, case: str, folder: Path) -> list[str]:
        return arguments(case, self.folder / "data", folder)

    def _start(
        self, argv: Sequence[str], victim: int = -1, hook: Callable[[], None] | None = None
    ) -> list[ForkProcess]:
        from torch import distributed

        stores: Any = distributed
        readable, writable = os.pipe()
        processes = []
        for rank in range(self.size):
            hooks: list[Callable[[], None]] = [save_often]
            hooks.append(partial(_as_rank, rank, self.size, readable))
            if rank == victim and hook is not None:
                hooks.append(hook)
            processes.append(start(argv, self._log, *hooks))
        # Made after the forks, since its thread may hold a lock; kept as long as the processes run.
        self._store = stores.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(writable, f"{self._store.port:0{_DIGITS}}".encode() * self.size)
        os.close(readable)
        os.close(writable)
        return processes

    def _kill(self, argv: Sequence[str], folder: Path, seconds: float) -> str:
        victim = self.rng.randrange(self.size)
        hook = SaveHook(self.rng.randint(1, 8), self.rng.choice(POINTS))
        in_save = self.rng.random() < 0.5
        processes = self._start(argv, victim, hook if in_save else None)
        process, kind = processes[victim], f"in a save, {hook.point}"
        if in_save:
            limit = time.monotonic() + _TIMEOUT
            while process.is_alive() and not hook.stopped.wait(0.01) and time.monotonic() < limit:
                pass
            process.kill()
        else:
            process.join(self.rng.uniform(0.2, 1.0) * seconds)
            term = self.rng.random() < 0.4
            kind = f"random moment, {'SIGTERM' if term else 'SIGKILL'}"
            (process.terminate if term else process.kill)()
        for one in processes:
            _ended(one)
        return f"{kind}, rank {victim}"


def _ended(process: ForkProcess) -> int | None:
    process.join(_TIMEOUT)
    if process.is_alive():
        process.kill()
        process.join()
        return -1
    return process.exitcode


def _manifest(folder: Path) -> list[str]:
    """Files that the manifest names and that are missing."""
    path = folder / "checkpoint" / "last.json"
    names = json.loads(path.read_text(encoding="utf-8"))["shards"] if path.is_file() else []
    return [f"missing: {name}" for name in names if not (path.parent / name).is_file()]


def main(argv: Sequence[str] | None = None) -> int:
    """Kill the runs and print the table; returns the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=30, help="number of runs to kill")
    parser.add_argument("--processes", type=int, default=2, help="processes of a run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--cases", nargs="+", default=list(_CASES), choices=list(_CASES))
    given = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="process-kills-"))
    warm_up()
    bench = Bench(folder, given.processes, random.Random(given.seed))
    rows, n_wrong = [], 0
    for number in range(given.runs):
        case = given.cases[number % len(given.cases)]
        kind, wrong = bench.trial(case, number)
        rows.append((number + 1, case, kind, "; ".join(wrong) or "equal"))
        n_wrong += bool(wrong)
    print_table(("run", "model", "kill", "after resuming"), rows)
    print(
        f"{given.runs} runs of {given.processes} processes killed: {n_wrong} differing or damaged"
    )
    if not n_wrong:
        shutil.rmtree(folder)
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
