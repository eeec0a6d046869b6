"""How long a command takes before it works: help pages, and a run until its first training step.

``python -m benchmarks.startup``: processor time of the help pages, seconds from the command to the
first step of PaInvRL's backbone on ml-trailers, on one core. The dataset is made before.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    "run_recbole.py --help": [str(ROOT / "run_recbole.py"), "--help"],
    "-m recbole_painvrl --help": ["-m", "recbole_painvrl", "--help"],
}
# Leaves at the first step of an optimizer. The command line is that of run_recbole.py.
FIRST_STEP = """
import os, runpy, sys
import torch
made = torch.optim.Optimizer.__init__
def make(self, *arguments, **named):
    made(self, *arguments, **named)
    self.register_step_post_hook(lambda *_: os._exit(0))
torch.optim.Optimizer.__init__ = make
sys.orig_argv = [sys.executable, sys.argv[0]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def processor_seconds(arguments: Sequence[str], folder: Path) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _call(arguments, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def seconds_to_first_step(folder: Path) -> float:
    """From the start of the process to its first training step."""
    started = time.perf_counter()
    settings = ["--model=PaInvRL", "--dataset=ml-trailers", f"--run_name={time.time_ns()}"]
    script = folder / "first_step.py"
    script.write_text(FIRST_STEP.replace("sys.argv[0]", repr(str(ROOT / "run_recbole.py"))))
    _call([str(script), *settings], folder)
    return time.perf_counter() - started


def _call(arguments: Sequence[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{done.stderr}error: {' '.join(arguments)} ended with {done.returncode}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the median and the range of every time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(argv)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds_to_first_step(folder)
        rows = {
            f"{page}, processor": [processor_seconds(words, folder) for _ in range(options.repeats)]
            for page, words in PAGES.items()
        }
        rows["PaInvRL on ml-trailers, to the first step"] = [
            seconds_to_first_step(folder) for _ in range(options.repeats)
        ]
    print("| seconds | median | lowest | highest |\n|---|---|---|---|")
    for what, values in rows.items():
        print(
            f"| {what} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |"
        )


if __name__ == "__main__":
    main()
