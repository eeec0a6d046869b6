"""Non-finite values stop the run, and the message says where they came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import SHORT_STAGES, Finished, run_main
from torch import Tensor

from recbole_painvrl.environments.content import ContentEnvironmentModel
from recbole_painvrl.environments.full import PlainUltraGCN
from recbole_painvrl.errors import NonFiniteLossError
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.mmssl import MMSSL
from recbole_painvrl.models.mmssl.adversary import Discriminator
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.models.ultragcn import UltraGCN
from recbole_painvrl.training.guard import Guard, blame, column_name

SLICES = {"acoustic": slice(0, 3), "visual": slice(3, 8)}
SMALL = ("--train_batch_size=512",)


def stopped(run: Finished, *words: str) -> str:
    """The last line of a run that was stopped by a non-finite value; its checkpoint is kept."""
    assert run.code == 1, (run.code, run.err)
    line = run.err.splitlines()[-1]
    for word in words:
        assert word in line, line
    assert "Traceback" not in run.err
    assert (run.folder / "checkpoint" / "last.safetensors").is_file()
    assert not (run.folder / "result.json").exists()
    return line


def spoil(
    monkeypatch: pytest.MonkeyPatch, where: type, name: str, change: Callable[..., Any], after: int
) -> None:
    """Apply ``change`` to the owner of a method before its n-th call."""
    original, calls = getattr(where, name), [0]

    def spoilt(self: Any, *arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == after:
            change(self)
        return original(self, *arguments, **named)

    monkeypatch.setattr(where, name, spoilt)


def bad_feature(model: Any) -> None:
    """Write NaN into column 5 of ``visual``, after the features were checked."""
    model.features[:, model.modality_slices["visual"].start + 5] = torch.nan
    model.forget_tables()


@pytest.mark.parametrize(("model", "batch"), [("UltraGCN", 4), ("VBPR", 3), ("MMSSL", 2)])
def test_a_bad_feature_is_named(
    model: str, batch: int, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recbole.utils import get_model

    first, argv = "calculate_loss", SMALL
    if model == "MMSSL":
        first, argv = "propagate", ("--train_batch_size=40",)
    spoil(monkeypatch, get_model(model), first, bad_feature, batch)
    run = run_main(tiny_data, tmp_path, model, *argv, name="x")
    stopped(run, f"stage train, epoch 1, batch {batch}:", "loss is nan", "visual column 5")


def test_backbone_and_final_are_guarded(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _steps_per_epoch(tiny_data, tmp_path)
    for number, stage in ((1, "backbone"), (2 * steps + 1, "final")):
        with monkeypatch.context() as patched:
            spoil(patched, UltraGCN, "calculate_loss", bad_feature, number)
            run = run_main(tiny_data, tmp_path, "PaInvRL", *SMALL, *SHORT_STAGES, name=stage)
        line = stopped(run, f"stage {stage}, epoch 1, batch 1:", "visual column 5")
        assert "L_C" in line


def _steps_per_epoch(tiny_data: Path, tmp_path: Path) -> int:
    rows = len((tiny_data / "tiny" / "tiny.train.inter").read_text().splitlines()) - 1
    return -(-rows // 512)


@pytest.mark.parametrize("term", ["L_C", "L_U", "L_I"])
def test_the_term_of_the_loss_is_named(
    term: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An infinite weight makes one of the three terms infinite."""

    def change(model: Any) -> None:
        plain = model.weights
        changed = {
            "L_C": {"w1": torch.inf},
            "L_U": {"w2": torch.inf},
            "L_I": {"item_item": torch.inf},
        }
        model.weights = UltraGCNWeights(**{**vars(plain), **changed[term]})

    spoil(monkeypatch, UltraGCN, "calculate_loss", change, 2)
    run = run_main(tiny_data, tmp_path, "UltraGCN", *SMALL, "--n_neighbours=3", name="x")
    stopped(run, f"loss is inf (in {term});", "epoch 1, batch 2:")


# The tiny data have 24 columns: with embeddings of that size, tables have rows as wide.
@pytest.mark.parametrize("embedding_size", [8, 24])
def test_a_gradient_is_stopped_before_the_step(
    embedding_size: int, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is finite, its gradient by one column of W is not; the weights stay finite."""
    models: list[Any] = []

    def change(model: Any) -> None:
        models.append(model)

        def spoilt(gradient: Tensor) -> Tensor:
            column = model.modality_slices["visual"].start + 2
            return gradient.index_fill(1, torch.tensor([column]), torch.inf)

        model.projection.weight.register_hook(spoilt)

    spoil(monkeypatch, UltraGCN, "calculate_loss", change, 3)
    size = f"--embedding_size={embedding_size}"
    run = run_main(tiny_data, tmp_path, "UltraGCN", *SMALL, size, name="x")
    stopped(run, "batch 3:", "the gradient of `projection.weight`", "visual column 2")
    assert all(bool(torch.isfinite(p).all()) for p in models[0].parameters())


def test_the_weights_are_checked_after_every_epoch(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of an epoch makes a weight infinite, which no loss of that epoch shows."""
    steps = _steps_per_epoch(tiny_data, tmp_path)
    original, calls = torch.optim.Adam.step, [0]

    def step(self: Any, *arguments: Any, **named: Any) -> Any:
        result = original(self, *arguments, **named)
        calls[0] += 1
        if calls[0] == steps:
            with torch.no_grad():
                self.param_groups[0]["params"][0][1, 1] = torch.inf
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    run = run_main(tiny_data, tmp_path, "UltraGCN", *SMALL, name="x")
    stopped(run, "stage train, epoch 1", "the weights `user_id_embedding.weight` are not finite")
    assert not (run.folder / "checkpoint" / "best.safetensors").exists()


@pytest.mark.parametrize("environment_model", ["content", "full"])
def test_environments_are_guarded(
    environment_model: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment_model == "content":

        def change(model: Any) -> None:
            with torch.no_grad():
                model.projections[0, 0, 7] = torch.nan

        spoil(monkeypatch, ContentEnvironmentModel, "_batch_loss", change, 2)
    else:

        def change(model: Any) -> None:
            with torch.no_grad():
                model.projection[0, 7] = torch.nan

        spoil(monkeypatch, PlainUltraGCN, "item_table", change, 2)
    argv = (*SHORT_STAGES, f"--environment_model={environment_model}")
    batch = "--environment_batch_size=256"
    run = run_main(tiny_data, tmp_path, "PaInvRL", *SMALL, *argv, batch, name="x")
    # The modalities are in the order of their names: acoustic has columns 0 to 7.
    stopped(run, "stage environments 1, round 1, batch 2:", "loss of Gamma_e", "acoustic column 7")


@pytest.mark.parametrize(
    ("model", "term"), [("PaInvRL", "L_ERM"), ("PaInvRL", "L_IRM"), ("InvRL", "L_IRM")]
)
def test_the_mask_stage_is_guarded(
    model: str, term: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(learner: MaskLearner) -> None:
        with torch.no_grad():
            if term == "L_ERM":
                learner.projection[0, 9] = torch.nan
            else:
                # Only the gradients, squared twice in L_IRM, overflow.
                learner.tables.user_content.mul_(1e12)
                learner.projection.mul_(1e-12)

    spoil(monkeypatch, MaskLearner, "_joint_step", change, 2)
    run = run_main(tiny_data, tmp_path, model, *SMALL, *SHORT_STAGES, name="x")
    line = stopped(run, "stage mask 1, epoch 1, batch 2:", f"{term} is ")
    assert ("visual column 1" in line) == (term == "L_ERM")


def test_the_adversary_is_guarded(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(critic: Discriminator) -> None:
        with torch.no_grad():
            next(critic.parameters()).fill_(torch.nan)

    spoil(monkeypatch, Discriminator, "forward", change, 1)
    run = run_main(tiny_data, tmp_path, "MMSSL", "--train_batch_size=40", name="x")
    stopped(run, "stage train, epoch 1, batch 1:", "the discriminator's loss is nan")


def test_guards_do_not_change_the_numbers(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs with and without guards have the same weights."""
    with_guard = run_main(tiny_data, tmp_path, "UltraGCN", *SMALL, name="guarded")
    monkeypatch.setattr(Guard, "watch", lambda *_: None)
    monkeypatch.setattr(Guard, "check_weights", lambda *_: None)
    without = run_main(tiny_data, tmp_path, "UltraGCN", *SMALL, name="free")
    ours, theirs = with_guard.weights(), without.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_first_bad_column() -> None:
    good, bad = torch.ones(4, 8), torch.ones(4, 8)
    bad[2, 6], bad[3, 4] = torch.nan, torch.inf
    assert "visual column 1 (in b)" in blame({"a": good, "b": bad}, SLICES)
    everything = torch.full((8,), torch.nan)
    assert "no feature column" in blame({"a": good, "c": everything}, SLICES)
    growing = good.clone()
    growing[0, 2] = 1e9
    assert "exploding feature column: acoustic column 2 (1e+09 in d)" in blame(
        {"d": growing}, SLICES
    )
    # A non-finite value takes precedence over a large one.
    assert "visual column 1" in blame({"d": growing, "b": bad}, SLICES)
    assert column_name(SLICES, 3) == "visual column 0"


def test_terms_of_the_loss_sum_to_it() -> None:
    weights = UltraGCNWeights(1.0, 0.2, 0.9, 0.3, 2.0, 0.5)
    terms = weights.terms()
    for name in ("w1", "w2", "w3", "w4", "item_item"):
        assert sum(getattr(term, name) for term in terms.values()) == getattr(weights, name)
    assert MMSSL.note is UltraGCN.note


@pytest.mark.parametrize("scaled", [False, True])
def test_an_overflow_of_scaled_gradients_is_left_to_the_scaler(scaled: bool) -> None:
    """It skips the step, and goes on with a smaller scale."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    trainer: Any = SimpleNamespace(model=model, stage="train", device=torch.device("cpu"))
    guard = Guard(trainer)
    model.weight.grad = torch.full((1, 2), torch.inf)
    if scaled:
        # As torch.amp.GradScaler does for the step of a fused optimiser.
        optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
        guard._before_step(optimizer)
    else:
        with pytest.raises(NonFiniteLossError, match="`weight`"):
            guard._before_step(optimizer)
