"""Adam on gradients by rows takes the steps that it takes on whole tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.utils import get_model, init_seed
from support import MakeConfig
from torch import Tensor

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.training import base, row_gradients
from recbole_painvrl.training.base import RunTrainer
from recbole_painvrl.training.pipeline import Context


def trained(config: Any) -> tuple[dict[str, Tensor], list[bool]]:
    """Weights after two epochs, and which gradients reached the optimiser as rows."""
    train = ModalityDataset(config).build_parts()[TRAIN]
    init_seed(3, True)
    trainer: Any = RunTrainer(config, get_model(config["model"])(config, train))
    loader = training_loader(config, train)
    trainer.pipeline.begin(Context(trainer, loader, saved=False))
    sparse: list[bool] = []
    watched = trainer.guard._before_step

    def seen(optimizer: torch.optim.Optimizer, *rest: Any) -> None:
        sparse.extend(p.grad.is_sparse for p in trainer.model.parameters() if p.grad is not None)
        watched(optimizer, *rest)

    trainer.guard._before_step = seen
    trainer.optimizer = trainer._build_optimizer()
    for epoch in range(2):
        trainer._train_epoch(loader, epoch)
    trainer.tensorboard.close()
    return dict(trainer.model.state_dict()), sparse


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("BPR", ()),
        ("VBPR", ("--reg_weight=0.1",)),
        ("VBPR", ("--modalities=[]", "--train_batch_size=50")),
        ("UltraGCN", ("--embedding_reg_weight=0.1",)),
        ("UltraGCN", ("--modalities=[]", "--negative_sampling=per_positive")),
    ],
)
def test_the_steps_are_those_on_whole_tables(
    model: str,
    arguments: tuple[str, ...],
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, sparse = trained(tiny_config(model, *arguments))
    assert any(sparse)
    monkeypatch.setattr(base, "use_row_gradients", lambda *_: False)
    whole, sparse = trained(tiny_config(model, *arguments))
    assert not any(sparse)
    for name, weights in whole.items():
        torch.testing.assert_close(own[name], weights, rtol=1e-5, atol=1e-7, msg=name)


def test_rows_that_are_not_in_a_batch_move_on_by_their_moments() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.Adam(table.parameters(), lr=0.1, fused=True)
    row_gradients.RowGradients(optimizer)
    for rows in ([1, 1, 2], [3]):
        before = table.weight.detach().clone()
        optimizer.zero_grad()
        table(torch.tensor(rows)).square().sum().backward()
        optimizer.step()
    moved = (table.weight.detach() - before).abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("setting", ["--clip_grad_norm={'max_norm': 5}", "--learner=sgd"])
def test_dense_gradients_where_they_are_needed(setting: str, tiny_config: MakeConfig) -> None:
    assert not any(trained(tiny_config("BPR", setting))[1])
