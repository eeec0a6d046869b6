"""``--profile=True``: a table, profile.json, the same numbers, and nothing left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SHORT_STAGES, run_main

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.models.painvrl import joint_step
from recbole_painvrl.models.painvrl import mask_learner as mask
from recbole_painvrl.run.profile import PROFILE, Profile, _TimedLoader


def test_a_phase_inside_another_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in (0, 1, 3, 6, 10, 15, 21, 28))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    profile = Profile(torch.device("cpu"))  # 0
    with profile.stage("final"):  # 1
        profile.begin("forward")  # 3
        profile.begin("negatives")  # 6
        profile.end()  # 10
        profile.end()  # 15
    result = profile.result()  # 21 the end of the stage, 28
    assert result["seconds"] == 28
    assert result["stages"]["final"] == {
        "seconds": 20,
        "phases": {"other": 2 + 6, "forward": 3 + 5, "negatives": 4},
    }
    assert result["stages"]["outside the stages"]["seconds"] == 1 + 7


def test_the_end_of_a_loader_ends_its_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in (0, 1, 3, 6, 10, 15, 21, 28))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    profile = Profile(torch.device("cpu"))  # 0
    loader = _TimedLoader([5, 6], profile)  # type: ignore[arg-type]
    assert (len(loader), list(loader)) == (2, [5, 6])  # 1 to 3, 6 to 10, 15 to 21
    phases = profile.result()["stages"]["outside the stages"]["phases"]  # 28
    assert phases == {"other": 1 + 3 + 5 + 7, "loader": 2 + 4 + 6}


@pytest.mark.parametrize(
    ("model", "argv", "phases"),
    [
        ("BPR", (), {"train": {"loader", "forward", "backward", "optimiser", "evaluation"}}),
        ("MMSSL", (), {"train": {"loader", "negatives", "forward", "backward", "optimiser"}}),
        (
            "PaInvRL",
            (*SHORT_STAGES, "--final_model=VBPR"),
            {"final": {"loader", "forward", "backward", "optimiser", "evaluation", "saving"}},
        ),
        (
            "PaInvRL",
            SHORT_STAGES,
            {
                "backbone": {"loader", "negatives", "forward", "backward", "optimiser", "saving"},
                "environments 1": {"forward", "backward", "optimiser", "evaluation"},
                "mask 1": {"negatives", "forward", "backward", "optimiser", "saving"},
                "final": {"loader", "negatives", "forward", "backward", "optimiser", "evaluation"},
            },
        ),
    ],
)
def test_every_stage_has_its_phases_and_the_run_its_numbers(
    model: str,
    argv: tuple[str, ...],
    phases: dict[str, set[str]],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The invariance loss, whose first computation takes a second here, counts as forward."""
    original, slept = joint_step.irm_loss, []

    def slow(*arguments: Any, **keywords: Any) -> Any:
        if not slept:
            slept.append(time.sleep(1))
        return original(*arguments, **keywords)

    def wrapped() -> list[object]:
        owners = (torch.autograd, "grad"), (torch.autograd, "backward"), (NegativeSampler, "draw")
        names = *owners, (mask, "joint_losses"), (joint_step, "irm_loss")
        return [getattr(owner, name) for owner, name in names]

    plain = run_main(tiny_data, tmp_path, model, *argv, name="plain")
    monkeypatch.setattr(joint_step, "irm_loss", slow)
    before = wrapped()
    run = run_main(tiny_data, tmp_path, model, *argv, "--profile=True", name="profiled")
    assert (plain.code, run.code) == (0, 0), run.err
    assert before == wrapped()
    assert run.result["metrics"] == plain.result["metrics"]
    assert run.result["hashes"] == plain.result["hashes"]
    assert not (plain.folder / PROFILE).exists()

    profile = json.loads((run.folder / PROFILE).read_text())
    total = 0.0
    for stage in run.result["stages"]:
        measured = profile["stages"][stage["name"]]
        assert phases.get(stage["name"], set()) <= set(measured["phases"])
        assert measured["seconds"] == pytest.approx(stage["seconds"], abs=0.1, rel=0.1)
        assert measured["seconds"] == pytest.approx(sum(measured["phases"].values()))
    total = sum(stage["seconds"] for stage in profile["stages"].values())
    assert total == pytest.approx(profile["seconds"], rel=0.01)
    assert "outside the stages" in profile["stages"]
    assert "optimiser" in run.err
    if slept:
        assert profile["stages"]["mask 1"]["phases"]["forward"] > 1
    assert bool(slept) == (model == "PaInvRL")
