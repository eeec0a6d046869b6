"""A short version of ``python -m benchmarks.reliability.kills``, and proof that it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# One process, whose imports both need. What a resumed run does wrong in the second part: the order
# of the batches starts over.
SCRIPT = """
from benchmarks.reliability import kills
from recbole_painvrl.evaluation import planted
# The control of the planted scores takes longer than these runs.
planted._SHUFFLES = 2
print("exit code", kills.main(["--runs", "3", "--cases", "PaInvRL", "MMSSL", "LightGCN"]))
from recbole_painvrl.training.pipeline import Pipeline
restore = Pipeline.begin
def begin(self, context):
    before = context.train_data.generator.get_state()
    restore(self, context)
    context.train_data.generator.set_state(before)
Pipeline.begin = begin
kills._IN_SAVE, kills._TWICE = 1.0, 0.0
print("forgetful")
print("exit code", kills.main(["--runs", "2", "--seed", "3", "--cases", "BPR"]))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the two parts print."""
    place = tmp_path_factory.mktemp("kills")
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(place.glob("kills-*"))) == 1, "only what went wrong is kept"
    whole, _, forgetful = done.stdout.partition("forgetful\n")
    return whole, forgetful


def test_killed_runs_end_as_the_others(printed: tuple[str, str]) -> None:
    *_, summary, code = printed[0].splitlines()
    assert summary.endswith("0 unreadable files, 0 differing results"), printed[0]
    assert code == "exit code 0"


def test_a_resume_that_forgets_is_found(printed: tuple[str, str]) -> None:
    assert printed[1].endswith("exit code 1\n"), printed[1]
    assert "0 unreadable files" in printed[1]
    assert "WRONG: best.safetensors" in printed[1]
