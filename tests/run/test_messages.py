"""What a run says to the person before it: at its start, when stopped, when misunderstood."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import run_command, run_main

from recbole_painvrl.cli.run import main
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.locks import LOCK, run_lock
from recbole_painvrl.run.program import shell_command
from recbole_painvrl.training.base import RunTrainer


def stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def terminate(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


@pytest.mark.parametrize("end", [stop, terminate], ids=["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_stopped_is_named_with_the_command_that_resumes_it(
    end: Callable[..., None], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunTrainer, "_train_epoch", end)
    run = run_main(tiny_data, tmp_path, "UltraGCN", name="x")
    assert run.code == 1
    command = run.err.strip().splitlines()[-1]
    assert command == f"stopped; go on with: {shell_command(resume=run.folder)}"
    assert f"run folder: {run.folder}" in run.err
    assert not (run.folder / LOCK).exists()


def test_a_path_for_a_name(tiny_data: Path, tmp_path: Path) -> None:
    as_path = run_command(
        "--model=BPR", f"--dataset={tiny_data / 'tiny'}", f"--output_dir={tmp_path}", name="x"
    )
    own_folder = run_command(
        "--model=BPR", "--dataset=tiny", f"--data_path={tiny_data / 'tiny'}",
        f"--output_dir={tmp_path}", name="x",
    )  # fmt: skip
    for run in (as_path, own_folder):
        assert run.code == 2
        assert f"type `--data_path={tiny_data} --dataset=tiny`" in run.err


def test_two_processes_never_write_one_run(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunTrainer, "_save_checkpoint", stop)
        run = run_main(tiny_data, tmp_path, "UltraGCN", name="x")
    resume = [f"--resume={run.folder}", "--show_progress=False"]
    with run_lock(run.folder):
        assert main(resume) == 2
        assert f"process {os.getpid()} on " in capsys.readouterr().err
    assert main(resume) == 0


def test_data_that_change_while_they_are_read_are_refused(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run had the hash of the new data in its result, and learnt from the old."""
    original = ModalityDataset._load_features

    def load(self: ModalityDataset) -> Any:
        features = original(self)
        (path,) = (own_data / "tiny").glob("*.train.inter")
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
        return features

    monkeypatch.setattr(ModalityDataset, "_load_features", load)
    run = run_main(own_data, tmp_path, "BPR", name="x")
    assert run.code == 2
    assert "tiny: changed while the run read it; start again" in run.err
    assert not run.folder.exists()
