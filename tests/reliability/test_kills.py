"""A short run of ``python -m benchmarks.reliability.kills``, and proof that it can fail."""

from __future__ import annotations

from pathlib import Path

from forks import ROOT, fresh

# One process, since both parts need the same slow imports. In the second part a resumed run is
# wrong: the order of its batches starts over.
SCRIPT = """
from benchmarks.reliability import kills
from recbole_painvrl.evaluation import planted
# More shuffles would take longer than these runs.
planted._SHUFFLES = 2
print("exit code", kills.main(["--runs", "2", "--cases", "PaInvRL", "MMSSL", "LightGCN"]))
from recbole_painvrl.training.pipeline import Pipeline
restore = Pipeline.begin
def begin(self, context):
    before = context.train_data.generator.get_state()
    restore(self, context)
    context.train_data.generator.set_state(before)
Pipeline.begin = begin
kills._IN_SAVE, kills._TWICE = 1.0, 0.0
print("wrong resume")
print("exit code", kills.main(["--runs", "2", "--seed", "3", "--cases", "BPR"]))
"""


def test_killed_runs_equal_uninterrupted_ones_and_a_wrong_resume_is_found(tmp_path: Path) -> None:
    done = fresh(["-c", SCRIPT], ROOT, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    right, _, wrong = done.stdout.partition("wrong resume\n")
    *_, summary, code = right.splitlines()
    assert summary.endswith("0 unreadable files, 0 differing results"), right
    assert code == "exit code 0"
    assert wrong.endswith("exit code 1\n"), wrong
    assert "0 unreadable files" in wrong and "WRONG: best.safetensors" in wrong
    assert len(list(tmp_path.glob("kills-*"))) == 1, "only folders of failed runs are kept"
