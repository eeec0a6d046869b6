"""InvRL by one command: PaInvRL's stages, its own objective, and each of its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import SHORT_STAGES, Finished, run_main

SHORT = (*SHORT_STAGES, "--oracle=False", "--mask_batch_size=64", "--n_environments=3")
# What PaInvRL needs to be told to descend InvRL's objective.
AS_INVRL = (
    "--loss_weighting=fixed",
    "--gradient_normalization=none",
    "--attention=False",
    "--projection_objective=weighted",
    "--projection_learning_rate=1e-3",
    "--mask_optimizer=adam",
    "--mask_step_size=1e-3",
    "--mask_decay=0.2",
    "--mask_center=0.5",
)
Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of a model with settings, made once."""
    done: dict[tuple[str, ...], Finished] = {}
    place = tmp_path_factory.mktemp("invrl")

    def get(model: str, *argv: str) -> Finished:
        if (model, *argv) not in done:
            name = f"run-{len(done)}"
            finished = run_main(tiny_data, place, model, *SHORT, *argv, name=name)
            assert finished.code == 0, finished.err
            done[model, *argv] = finished
        return done[model, *argv]

    return get


def stage(run: Finished, name: str) -> dict[str, Any]:
    (found,) = [entry for entry in run.result["stages"] if entry["name"] == name]
    return dict(found)


def same(first: Finished, second: Finished, name: str) -> bool:
    a, b = first.arrays(name), second.arrays(name)
    return a.keys() == b.keys() and all(a[key].tobytes() == b[key].tobytes() for key in a)


@pytest.mark.parametrize("rounds", [(), ("--outer_rounds=2",)], ids=["one round", "two rounds"])
def test_it_is_painvrl_with_its_objective_bit_for_bit(run: Run, rounds: tuple[str, ...]) -> None:
    """With one round, or with weights that do not grow."""
    constant = ("--weight_growth=1.0",) if rounds else ()
    invrl, painvrl = run("InvRL", *rounds, *constant), run("PaInvRL", *rounds, *AS_INVRL)
    for name in ("backbone", "best"):
        weights, others = invrl.weights(name), painvrl.weights(name)
        assert weights.keys() == others.keys()
        for key, tensor in weights.items():
            assert tensor.numpy().tobytes() == others[key].numpy().tobytes(), key
    for name in ("mask", "environments"):
        assert same(invrl, painvrl, name)
    assert invrl.result["metrics"] == painvrl.result["metrics"]
    assert invrl.result["planted"] == painvrl.result["planted"]


def test_alpha_and_lambda_grow_after_every_outer_round(run: Run) -> None:
    """Hence the first round is the same without growth."""
    whole = run("InvRL", "--outer_rounds=3")
    for number in (1, 2, 3):
        entry = stage(whole, f"mask {number}")
        assert entry["irm_weight"] == pytest.approx(1.05 ** (number - 1))
        assert entry["mask_decay"] == pytest.approx(0.2 * 1.05 ** (number - 1))
        w_erm = 1 / (1 + entry["irm_weight"])
        assert entry["w_erm"] == pytest.approx(w_erm), "the weights that acted"
    constant = run("InvRL", "--outer_rounds=2", "--weight_growth=1.0").arrays("mask")
    grown = whole.arrays("mask")
    for key, values in constant.items():
        if key.startswith("round 1/"):
            np.testing.assert_array_equal(values, grown[key])
    assert not np.array_equal(constant["round 2/visual"], grown["round 2/visual"])


def test_the_mask_reaches_the_environments_or_does_not(run: Run) -> None:
    """Psi closes the loop; all of f opens it: no mask, no difference."""
    labels = {}
    for features in ("variant", "full"):
        for step in ("1e-3", "0.2"):
            argv = ("--outer_rounds=2", f"--environment_features={features}")
            argv = (*argv, "--environment_restarts=1", "--backbone_epochs=1")
            found = run("InvRL", *argv, f"--mask_step_size={step}").arrays("environments")
            labels[features, step] = found["round 2/environment"]
    assert np.array_equal(labels["full", "1e-3"], labels["full", "0.2"])
    assert not np.array_equal(labels["variant", "1e-3"], labels["variant", "0.2"])


@pytest.mark.parametrize("reset", [True, False])
def test_the_mask_goes_on_or_starts_anew(run: Run, reset: bool) -> None:
    """One step of 0.2 from 0.5 cannot reach what two rounds of them can."""
    argv = ("--outer_rounds=2", "--mask_epochs=1", "--mask_batch_size=4096")
    steps = ("--mask_step_size=0.2", "--mask_decay=0.0", f"--mask_reset={reset}")
    moved = run("InvRL", *argv, *steps).arrays("mask")
    furthest = {n: np.abs(moved[f"round {n}/visual"] - 0.5).max() for n in (1, 2)}
    assert furthest[1] == pytest.approx(0.2, abs=1e-3)
    assert (furthest[2] < 0.201) == reset


def test_item_ids_decay_in_the_final_model_alone(run: Run) -> None:
    """The factor leaves backbone, environments and mask as they are."""
    plain, strong = run("InvRL"), run("InvRL", "--item_id_reg_factor=1000.0")
    assert same(plain, strong, "mask")
    assert all(
        (tensor == strong.weights("backbone")[key]).all()
        for key, tensor in plain.weights("backbone").items()
    )
    norms = [r.weights()["item_id_embedding.weight"].norm() for r in (plain, strong)]
    assert norms[1] < 0.9 * norms[0]
