"""MMSSL's trainer: batches, adversary, graphs, every setting, memory, resume, command line."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from support import MakeConfig, assert_means, files_in, run_main
from torch import Tensor
from zoo_support import assert_resumes, build

from recbole_painvrl.errors import UserError
from recbole_painvrl.models.mmssl.adversary import Adversary
from recbole_painvrl.models.mmssl.trainer import MMSSLTrainer
from recbole_painvrl.seeds import generator

# Some 17 steps an epoch with two refreshes, as the tiny data have one neighbour per user.
QUICK = ("--embedding_size=8", "--train_batch_size=100", "--graph_update_every=3")


def trainer(make: MakeConfig, *argv: str) -> Any:
    config = make("MMSSL", *QUICK, *argv)
    made = MMSSLTrainer(config, build(config))
    made.pipeline._enabled = False
    # Its thread would write into the test's folder after the test.
    made.tensorboard.close()
    made.tensorboard = types.SimpleNamespace(add_scalar=lambda *_: None)
    return made


def weights(made: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in made.model.state_dict().items()}


def test_the_discriminator_sees_its_columns_alone(tiny_config: MakeConfig) -> None:
    made = trainer(tiny_config, "--discriminator_columns=16")
    adversary: Adversary = made.adversary
    assert adversary.discriminator.hidden[0].weight.shape == (4, 16)
    users = torch.tensor([4, 9])
    mask = adversary._seen_columns(2, made.batches.seen(users))
    dense = torch.from_numpy(made.model.interactions.toarray()).bool()
    assert torch.equal(mask, dense[users][:, adversary.columns])


def test_the_discriminators_draws_are_those_of_their_purposes(tiny_config: MakeConfig) -> None:
    """Initial values and noise have a generator each, and initial values take nothing of it."""
    adversary: Adversary = trainer(tiny_config, "--seed=5").adversary
    noise = generator(5, "discriminator noise")
    assert torch.equal(adversary._noise.get_state(), noise.get_state())
    weight = adversary.discriminator.hidden[0].weight
    # Kaiming's initial values of a rectifier.
    drawn = torch.randn(weight.shape, generator=generator(5, "discriminator initial values"))
    torch.testing.assert_close(weight.detach(), (2 / weight.shape[1]) ** 0.5 * drawn)


def test_each_step_moves_its_own_side(tiny_config: MakeConfig) -> None:
    made = trainer(tiny_config)
    before = [p.detach().clone() for p in made.adversary.discriminator.parameters()]
    model_before = weights(made)
    views = made.model.train().propagate(0.0)
    users = torch.arange(1, 60)
    judged, own = made.adversary.losses(views, users, made.batches.seen(users))
    after = list(made.adversary.discriminator.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before[:2], after[:2], strict=True))
    assert all(parameter.grad is None for parameter in made.model.parameters())
    assert all(parameter.requires_grad for parameter in after)
    assert not own.requires_grad
    gradients = [p.grad.clone() for p in after]
    judged.backward()
    assert all(torch.equal(g, p.grad) for g, p in zip(gradients, after, strict=True))
    assert all(layer.weight.grad.any() for layer in made.model.projections)
    assert weights(made).keys() == model_before.keys()
    assert not any("discriminator" in name for name in model_before)


def test_the_discriminator_learns_to_tell_the_rows_apart(tiny_config: MakeConfig) -> None:
    made = trainer(tiny_config, "--gradient_penalty_weight=0.0",
                   "--discriminator_learning_rate=0.01")  # fmt: skip
    views = made.model.train().propagate(0.0)
    users = torch.arange(1, 100)
    own = [made.adversary.losses(views, users, made.batches.seen(users))[1] for _ in range(30)]
    assert own[-1] < own[0] - 8, "mean D(fake) - mean D(real), D between 0 and 100"


def test_the_adversary_moves_the_fakes_towards_what_it_likes(tiny_config: MakeConfig) -> None:
    """The generator's term is -mean D(S): a step against its gradient raises D."""
    made = trainer(tiny_config, "--discriminator_dropout1=0.0", "--discriminator_dropout2=0.0")
    users = torch.arange(1, 100)
    views = made.model.train().propagate(0.0)
    judged, _ = made.adversary.losses(views, users, made.batches.seen(users))
    parameters = [layer.weight for layer in made.model.projections]
    gradients = torch.autograd.grad(judged, parameters)
    mask = made.adversary._seen_columns(len(users), made.batches.seen(users))

    def answer() -> float:
        with torch.no_grad():
            rows = made.adversary._fakes(made.model.propagate(0.0), users, mask)
            return float(made.adversary.discriminator(rows).mean())

    before = answer()
    assert before == pytest.approx(-judged.item(), rel=1e-5)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=1e-4 / float(gradient.norm()))
    assert answer() > before


# What the model's own tests do not vary.
CHANGES = [
    "--adversarial_weight=1.0",
    "--graph_update_every=0",
    "--graph_update_every=5",
    "--discriminator_columns=20",
    "--discriminator_slope=1.0",
    "--discriminator_learning_rate=0.01",
    "--discriminator_beta1=0.9",
    "--discriminator_beta2=0.5",
    "--discriminator_dropout1=0.0",
    "--discriminator_dropout2=0.0",
    "--gradient_penalty_weight=0.0",
    "--gumbel_noise=1.0",
    "--real_similarity_weight=1.0",
    "--train_batch_size=60",
    "--weight_decay=1.0",
]


@pytest.fixture(scope="module")
def after_steps() -> dict[str, dict[str, Tensor]]:
    return {}


@pytest.mark.parametrize("changed", CHANGES)
def test_every_setting_changes_the_weights(
    changed: str, after_steps: dict[str, dict[str, Tensor]], tiny_config: MakeConfig
) -> None:
    """The same first steps, one setting changed, end elsewhere."""
    base = ("--adversarial_weight=0.1",)

    def after_eight_steps(*argv: str) -> Any:
        made = trainer(tiny_config, *argv)
        # The graphs are refreshed twice.
        made.batches._n_batches = 8
        made._train_epoch(None, 0)
        return made

    if "default" not in after_steps:
        made = after_eight_steps(*base)
        again = after_eight_steps(*base)
        after_steps["default"] = weights(made)
        for name, tensor in weights(again).items():
            assert torch.equal(tensor, after_steps["default"][name])
    kept = () if changed.startswith("--adversarial_weight") else base
    made = after_eight_steps(*kept, changed)
    name = "projections.0.weight"
    assert not torch.equal(weights(made)[name], after_steps["default"][name])


def test_released_graphs_are_empty_from_the_third_step_on(tiny_config: MakeConfig) -> None:
    made = trainer(tiny_config, "--graph_update_every=0")
    edges = []
    for _ in range(4):
        edges.append(made.model.graphs.edges()[0])
        made._step(made.batches.draw())
    n = made.model.interactions.nnz
    assert edges == [n, n, 0, 0]
    assert "`graph_update_every: 0`" in made.graphs_in_words()


def test_graphs_are_refreshed_with_the_nearest_items_of_all_users(tiny_config: MakeConfig) -> None:
    made = trainer(tiny_config, "--train_batch_size=1024", "--graph_share=0.03",
                   "--modality_dropout=0.0")  # fmt: skip
    for _ in range(3):
        with torch.no_grad():
            views = made.model.propagate(0.0)
        made._step(made.batches.draw())
    model = made.model
    assert model.n_neighbours == 2
    assert "refreshed every 3 steps with the 2 nearest" in made.graphs_in_words()
    seen = torch.from_numpy(model.interactions.toarray()).bool()
    for number, graph in enumerate(model.graphs.to_users):
        dense = graph.matrix.to_dense()
        similar = (views.user_content[number] @ views.item_content[number].T).masked_fill(seen, 0)
        similar[:, 0] = -torch.inf
        for user in range(1, model.n_users):
            expected = set(similar[user].topk(2).indices.tolist())
            assert set(dense[user].nonzero().squeeze(1).tolist()) == expected


def test_mixed_precision_is_refused(tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match="`enable_amp`: found True"):
        trainer(tiny_config, "--enable_amp=True")


@pytest.mark.parametrize("argv", [(), ("--preset=released",),
                                  ("--modalities=[visual]", "--adversarial_weight=0.0")],
                         ids=["default", "released", "no adversary"])  # fmt: skip
def test_run_by_the_command_line(argv: tuple[str, ...], tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "MMSSL", *argv, name="x")
    assert run.code == 0, run.err
    assert {"result.json", "per_user.parquet", "checkpoint/best.safetensors"} <= files_in(
        run.folder
    )
    (stage,) = run.result["stages"]
    released = "--preset=released" in argv
    assert ("as released" in stage["learnt_graphs"]) == released
    assert stage["discriminator_columns"] == (0 if "--modalities=[visual]" in argv else 90)
    assert_means(run.per_user, run.result["metrics"])
    log = (run.folder / "train.log").read_text()
    assert log.index("memory needed") < log.index("learnt graphs") < log.index("epoch 1")


@pytest.mark.parametrize(("argv", "save"), [((), 3), (("--graph_update_every=0",), 2)])
def test_a_resumed_run_is_the_uninterrupted_one(
    argv: tuple[str, ...], save: int, tiny_data: Path, tmp_path: Path
) -> None:
    """Neither the batches nor the refreshes end with an epoch."""
    words = (*QUICK, *argv, "--adversarial_weight=0.1", "--eval_step=1")
    assert_resumes("MMSSL", words, save, tiny_data, tmp_path)
