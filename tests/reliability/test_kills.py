"""A short version of ``python -m benchmarks.reliability.kills``, and proof that it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# What a resumed run does wrong here: the order of the batches starts over.
FORGETFUL = """
import sys
from benchmarks.reliability import kills
from benchmarks.reliability.runs import warm_up
warm_up()
from recbole_painvrl.training.pipeline import Pipeline
restore = Pipeline.begin
def begin(self, context):
    before = context.train_data.generator.get_state()
    restore(self, context)
    context.train_data.generator.set_state(before)
Pipeline.begin = begin
kills._IN_SAVE, kills._TWICE = 1.0, 0.0
sys.exit(kills.main(["--runs", "4", "--seed", "3", "--cases", "BPR"]))
"""


def measure(tmp_path: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *argv], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_killed_runs_end_as_the_others(tmp_path: Path) -> None:
    cases = ("--cases", "PaInvRL", "MMSSL", "LightGCN")
    done = measure(tmp_path, "-m", "benchmarks.reliability.kills", "--runs", "6", *cases)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("0 unreadable files, 0 differing results")
    assert list(tmp_path.glob("kills-*")) == []


def test_a_resume_that_forgets_is_found(tmp_path: Path) -> None:
    done = measure(tmp_path, "-c", FORGETFUL)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 unreadable files" in done.stdout
    assert "WRONG: best.safetensors" in done.stdout
