"""Every stage of result.json has its values per epoch."""

from __future__ import annotations

from pathlib import Path

from support import SHORT_STAGES, run_main

ARGV = (*SHORT_STAGES, "--seed=1", "--oracle=False", "--topk=[5,10]")


def test_every_stage_has_its_history(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "PaInvRL", *ARGV, name="x")
    assert run.code == 0, run.err
    stages = {stage["name"]: stage for stage in run.result["stages"]}
    found = {name: stage["history"] for name, stage in stages.items() if name != "form"}
    assert list(found) == ["backbone", "environments 1", "mask 1", "final"]
    for name in ("backbone", "final"):
        assert [entry["epoch"] for entry in found[name]] == [1, 2]
        assert all(entry["loss"] > 0 for entry in found[name])
        assert all({"ndcg@5", "recall@10"} <= set(entry["valid"]) for entry in found[name])
    best = found["final"][stages["final"]["best_epoch"] - 1]
    assert best["valid"] == stages["final"]["best_valid"]
    assert found["final"][-1]["loss"] == stages["final"]["loss"]
    assert [entry["epoch"] for entry in found["mask 1"]] == [1, 2]
    assert all({"l_erm", "l_irm", "w_erm"} <= set(entry) for entry in found["mask 1"])
    rounds = found["environments 1"]
    assert rounds[-1]["sizes"] == stages["environments 1"]["sizes"]
    assert len(rounds) == stages["environments 1"]["rounds"]
    assert "history" not in (run.folder / "train.log").read_text()
