"""How long a command takes before it works: help pages, and a run until its first training step.

    python -m benchmarks.startup

Measures, on one core, the processor time of the help pages and the seconds from the command to the
first step of PaInvRL's backbone on ml-trailers; the dataset is generated before.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, Process, command_line, run_process, table

SCRIPT = str(ROOT / "run_recbole.py")
PAGES = {
    "run_recbole.py --help": [SCRIPT, "--help"],
    "-m recbole_painvrl --help": ["-m", "recbole_painvrl", "--help"],
}
# Ends the process at the first step of an optimizer.
FIRST_STEP = f"""
import os, runpy, sys
import torch
original = torch.optim.Optimizer.__init__
def init(self, *arguments, **named):
    original(self, *arguments, **named)
    self.register_step_post_hook(lambda *_: os._exit(0))
torch.optim.Optimizer.__init__ = init
sys.orig_argv = [sys.executable, {SCRIPT!r}]
runpy.run_path({SCRIPT!r}, run_name="__main__")
"""


def main() -> None:
    """Print median, lowest and highest of every time."""
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    os.environ["OMP_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "first_step.py").write_text(FIRST_STEP)

        def call(*words: str) -> Process:
            found = run_process([sys.executable, *words], quiet=True, cwd=folder)
            if found.code:
                raise SystemExit(f"error: {' '.join(words)} ended with {found.code}")
            return found

        def first_step() -> float:
            run = ("--model=PaInvRL", "--dataset=ml-trailers", f"--run_name={time.time_ns()}")
            return call("first_step.py", *run).seconds

        first_step()
        times = {
            f"{page}, processor": [call(*words).processor_seconds for _ in range(repeats)]
            for page, words in PAGES.items()
        }
        times["PaInvRL on ml-trailers, to the first step"] = [first_step() for _ in range(repeats)]
    rows = (
        (what, *(f"{one:.2f}" for one in (statistics.median(values), min(values), max(values))))
        for what, values in times.items()
    )
    print(table(("seconds", "median", "lowest", "highest"), rows))


if __name__ == "__main__":
    main()
