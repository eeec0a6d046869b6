"""Every stage of result.json has its values per epoch, also after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import SHORT_STAGES, Killed, kill_at, run_main

from recbole_painvrl.cli.run import main

ARGV = (*SHORT_STAGES, "--seed=1", "--oracle=False", "--topk=[5,10]")


def histories(folder: Path) -> dict[str, list[dict[str, Any]]]:
    stages = json.loads((folder / "result.json").read_text())["stages"]
    return {stage["name"]: stage["history"] for stage in stages if stage["name"] != "form"}


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = run_main(tiny_data, tmp_path_factory.mktemp("h"), "PaInvRL", *ARGV, name="whole")
    assert run.code == 0, run.err
    return run.folder


def test_every_stage_has_its_history(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    found = histories(whole)
    assert list(found) == ["backbone", "environments 1", "mask 1", "final"]
    for name in ("backbone", "final"):
        assert [entry["epoch"] for entry in found[name]] == [1, 2]
        assert all(entry["loss"] > 0 for entry in found[name])
        assert all({"ndcg@5", "recall@10"} <= set(entry["valid"]) for entry in found[name])
    stages = {stage["name"]: stage for stage in result["stages"]}
    best = found["final"][stages["final"]["best_epoch"] - 1]
    assert best["valid"] == stages["final"]["best_valid"]
    assert found["final"][-1]["loss"] == stages["final"]["loss"]
    assert [entry["epoch"] for entry in found["mask 1"]] == [1, 2]
    assert all({"l_erm", "l_irm", "w_erm"} <= set(entry) for entry in found["mask 1"])
    rounds = found["environments 1"]
    assert rounds[-1]["sizes"] == stages["environments 1"]["sizes"]
    assert len(rounds) == stages["environments 1"]["rounds"]
    assert "history" not in (whole / "train.log").read_text()


# Before the second epoch of backbone, mask and final, where a history is half written.
@pytest.mark.parametrize("save", [2, 5, 9])
def test_a_resumed_run_has_the_same_history(
    save: int, whole: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(save, False, patch)
        with pytest.raises(Killed):
            run_main(tiny_data, tmp_path, "PaInvRL", *ARGV, name="killed")
    folder = tmp_path / "runs" / "killed"
    assert main([f"--resume={folder}", "--show_progress=False"]) == 0
    assert histories(folder) == histories(whole)
