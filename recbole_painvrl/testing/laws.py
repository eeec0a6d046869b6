"""The laws: what every recommender obeys, for any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID
from recbole_painvrl.run.build import build_data, build_model, build_trainer
from recbole_painvrl.testing.fixed_draws import as_double, total_loss, training_loss
from recbole_painvrl.testing.simulated_gpu import simulated_gpu

MakeConfig = Callable[..., SafeConfig]
_CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6, "check_dtype": False}


@dataclass(frozen=True)
class Subject:
    """A model under test.

    Attributes:
        model: its name, or ``package.module:Class``.
        settings: command-line settings that make it small; widths unlike those of the features.
        ids_only: its ID-only form, or None if it has none.
        learns: whether a gradient trains it.
        uses_features: whether the features enter its scores.
        fit: settings with which it learns two groups of ten users and items by heart; None where
            it does not have to.
    """

    model: str
    settings: tuple[str, ...] = ()
    ids_only: Subject | None = None
    learns: bool = True
    uses_features: bool = False
    fit: tuple[str, ...] | None = None


@dataclass
class Built:
    """A model with the data and the trainer that belong to it."""

    config: Any
    parts: dict[str, Any]
    model: Any

    @property
    def trainer(self) -> Any:
        """A fresh trainer of the run's kind, without TensorBoard, whose thread outlives a test."""
        trainer = build_trainer(self.config, self.model)
        trainer.tensorboard.close()
        trainer.tensorboard = MagicMock()
        return trainer

    def loader(self) -> Any:
        """The training loader."""
        return training_loader(self.config, self.parts[TRAIN])


# Splits by what decides them: reading them takes longer than most laws.
_SPLITS: dict[tuple[str, ...], dict[str, Any]] = {}


def built_model(subject: Subject, make: MakeConfig, data: Path | None = None, *argv: str) -> Built:
    """The subject's model on a dataset, with its initial values; laws share the dataset."""
    config = make(subject.model, *subject.settings, *argv, data=data)
    key = (config["data_path"], subject.model, *subject.settings, *argv)
    if key not in _SPLITS:
        _SPLITS[key] = build_data(config)[1]
    parts = {name: _copied(split) for name, split in _SPLITS[key].items()}
    model = build_model(config, parts[TRAIN], fast=False)
    built = Built(config, parts, model)
    if not subject.learns:
        # Counting models learn in their loss or when they are built.
        for batch in built.loader():
            model.calculate_loss(batch.to(model.device))
    return built


def _copied(split: Any) -> Any:
    """A split whose rows a loader may shuffle, with features that a law may change."""
    own = split.copy(Interaction(dict(split.inter_feat.interaction)))
    own.features = replace(split.features, matrix=split.features.matrix.clone())
    return own


def scores(model: Any) -> Tensor:
    """Scores of all users with all items by ``full_sort_predict``, ``[n_users, n_items]``."""
    model.eval()
    users = torch.arange(1, model.n_users, device=model.device)
    with torch.no_grad():
        table = model.full_sort_predict(Interaction({model.USER_ID: users}))
    return torch.as_tensor(table).view(len(users), model.n_items)


def predict_is_full_sort_predict(subject: Subject, make: MakeConfig) -> None:
    """Both ways of scoring agree on every pair."""
    model = built_model(subject, make).model
    table = scores(model)[:, 1:]
    users = torch.arange(1, model.n_users).repeat_interleave(model.n_items - 1)
    items = torch.arange(1, model.n_items).repeat(model.n_users - 1)
    with torch.no_grad():
        pairs = model.predict(Interaction({model.USER_ID: users, model.ITEM_ID: items}))
    torch.testing.assert_close(torch.as_tensor(pairs).view_as(table), table, **_CLOSE)


def batch_does_not_matter(subject: Subject, make: MakeConfig) -> None:
    """A user's scores are the same alone and among others."""
    model = built_model(subject, make).model
    whole = scores(model)
    with torch.no_grad():
        for user in (1, 2, model.n_users - 1):
            alone = model.full_sort_predict(Interaction({model.USER_ID: torch.tensor([user])}))
            alone = torch.as_tensor(alone).view(-1)
            torch.testing.assert_close(alone, whole[user - 1], **_CLOSE)


def saved_and_loaded_is_the_same(subject: Subject, make: MakeConfig, place: Path) -> None:
    """A checkpoint brings the scores back into a model that began with other values."""
    first = built_model(subject, make)
    step(first, 2)
    path = place / "law.safetensors"
    trainer = first.trainer
    trainer._save_checkpoint(0, saved_model_file=path)
    second = built_model(subject, make, None, "--seed=77")
    if subject.learns:
        assert not torch.equal(scores(second.model), scores(first.model))
    for name in getattr(second.model, "other_parameter_name", []):
        setattr(second.model, name, None)
    second.trainer.load_best(path)
    torch.testing.assert_close(scores(second.model), scores(first.model), rtol=0, atol=0)


def relabelling_permutes(subject: Subject, make: MakeConfig, shuffled: Path) -> None:
    """Other internal numbers for the same users and items (``shuffled``): permuted scores."""
    first, second = built_model(subject, make), built_model(subject, make, shuffled)
    users = _numbers(first, second, first.parts[TRAIN].uid_field)
    items = _numbers(first, second, first.parts[TRAIN].iid_field)
    assert not torch.equal(users, torch.arange(len(users)))
    assert not torch.equal(items, torch.arange(len(items)))
    state = first.model.state_dict()
    for name, tensor in state.items():
        if tensor.dim() and len(tensor) == len(users):
            state[name] = tensor[users]
        elif tensor.dim() and len(tensor) == len(items):
            state[name] = tensor[items]
    second.model.load_state_dict(state)
    expected = scores(first.model)[users[1:] - 1][:, items[1:]]
    torch.testing.assert_close(scores(second.model)[:, 1:], expected, rtol=1e-3, atol=1e-5)


def a_gpu_gives_the_same(subject: Subject, make: MakeConfig) -> None:
    """An epoch and the scores after it on a simulated GPU are those of the CPU."""

    def trained(*argv: str) -> Tensor:
        built = built_model(subject, make, None, "--epochs=1", *argv)
        built.trainer.fit(built.loader(), None)
        return scores(built.model).cpu()

    expected = trained()
    with simulated_gpu():
        found = trained("--use_gpu=True")
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def padding_is_nobody(subject: Subject, make: MakeConfig) -> None:
    """Whatever stands in the padding rows, no score, loss or metric changes; item 0 never wins."""
    built = built_model(subject, make)
    model, trainer = built.model, built.trainer
    loader = evaluation_loader(built.config, [built.parts[TRAIN]], built.parts[VALID], "valid")
    batch = next(iter(built.loader()))
    before = scores(model)[:, 1:]
    metrics = trainer.evaluate(loader, load_best_model=False)
    loss = training_loss(model, batch) if subject.learns else None
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() and len(parameter) in (model.n_users, model.n_items):
                parameter[0] = 1e3
    model.train()
    torch.testing.assert_close(scores(model)[:, 1:], before)
    assert trainer.evaluate(loader, load_best_model=False) == metrics
    if loss is not None:
        torch.testing.assert_close(training_loss(model, batch), loss)


def columns_may_be_permuted(subject: Subject, make: MakeConfig) -> None:
    """Feature columns permuted together with the weights that read them: the same scores."""
    built = built_model(subject, make)
    model = built.model
    before = scores(model)
    source = torch.Generator().manual_seed(5)
    order = torch.arange(model.features.shape[1])
    for columns in model.modality_slices.values():
        width = columns.stop - columns.start
        order[columns] = columns.start + torch.randperm(width, generator=source)
    model.features.copy_(model.features[:, order])
    model.forget_tables()
    assert not torch.allclose(scores(model), before)
    with torch.no_grad():
        for parameter, columns in feature_weights(model):
            parameter.copy_(parameter[..., order[columns] - columns.start])
    model.forget_tables()
    torch.testing.assert_close(scores(model), before, rtol=1e-4, atol=1e-5)


def feature_weights(model: Any) -> Iterator[tuple[Tensor, slice]]:
    """Weights whose last dimension is the columns of one modality, or of all of them."""
    parts = {c.stop - c.start: c for c in model.modality_slices.values()}
    parts[model.features.shape[1]] = slice(0, model.features.shape[1])
    for parameter in model.parameters():
        if parameter.dim() and parameter.shape[-1] in parts:
            yield parameter, parts[parameter.shape[-1]]


def zero_features_are_ids_only(subject: Subject, make: MakeConfig) -> None:
    """Without content the model is its ID-only form, up to a constant per user."""
    assert subject.ids_only is not None
    with_content, without = built_model(subject, make), built_model(subject.ids_only, make)
    full, plain = with_content.model, without.model
    full.features.zero_()
    with torch.no_grad():
        for name, parameter in full.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        for name, parameter in plain.named_parameters():
            if not parameter.numel():
                continue
            own = dict(full.named_parameters())[name]
            own.view(len(own), -1)[:, : parameter[0].numel()] = parameter.view(len(own), -1)
    full.forget_tables()
    difference = (scores(full) - scores(plain))[:, 1:]
    torch.testing.assert_close(
        difference, difference[:, :1].expand_as(difference), rtol=0, atol=1e-5
    )


def learns_a_checkerboard(subject: Subject, make: MakeConfig, board: Path, *fit: str) -> None:
    """Two groups of users and items: the loss falls, and what was held out comes first."""
    built = built_model(
        subject, make, board, "--validation_share=0", "--topk=[3]", "--valid_metric=NDCG@3", *fit
    )
    loader, trainer = built.loader(), built.trainer
    trainer.fit(loader, None)
    losses = list(trainer.train_loss_dict.values())
    total = [sum(loss) if isinstance(loss, tuple) else loss for loss in losses]
    if subject.learns:
        assert total[-1] < total[0], total
    test = evaluation_loader(built.config, [built.parts[TRAIN]], built.parts[TEST], "test")
    result = trainer.evaluate(test, load_best_model=False)
    assert result["recall@3"] > 0.99, result


def gradients_are_derivatives(subject: Subject, make: MakeConfig) -> None:
    """The loss's gradient agrees with central differences in float64, draws held fixed."""
    built = built_model(subject, make)
    model = as_double(built.model)
    model.train()
    batch = next(iter(built.loader())).to(model.device)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss() -> Tensor:
        return training_loss(model, batch, torch.float64)

    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    assert any(g is not None and bool(g.abs().max() > 0) for g in gradients)
    source = torch.Generator().manual_seed(3)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
        width = 1e-5
        with torch.no_grad():
            parameter += width * direction
            above = loss()
            parameter -= 2 * width * direction
            below = loss()
            parameter += width * direction
        expected = 0.0 if gradient is None else float((gradient * direction).sum())
        numeric = float(above - below) / (2 * width)
        assert abs(numeric - expected) <= 1e-4 * max(abs(expected), 1e-3), (numeric, expected)


def step(built: Built, n_batches: int) -> None:
    """A few plain gradient steps, so that weights differ from their initial values."""
    model = built.model
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not built.config["train_batch_size"] or len(parameters) < 2:
        return
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    model.train()
    for _, batch in zip(range(n_batches), built.loader(), strict=False):
        optimizer.zero_grad()
        loss = model.calculate_loss(batch)
        total_loss(loss).backward()
        optimizer.step()


def _numbers(first: Built, second: Built, field: str) -> Tensor:
    """For every internal number of ``second``, the number of the same token in ``first``."""
    token2id = first.parts[TRAIN].field2token_id[field]
    tokens = second.parts[TRAIN].field2id_token[field]
    return torch.tensor([token2id[token] for token in tokens])
