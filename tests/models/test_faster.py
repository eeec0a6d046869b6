"""The faster forms of RecBole's graph models: its scores, losses and gradients."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.model.general_recommender.ngcf import NGCF
from recbole.utils import init_seed
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.models.faster import SymmetricMatrix, faster


@pytest.mark.parametrize("model", [LightGCN, NGCF])
def test_equal_scores_loss_and_gradients(model: Any, tiny_config: MakeConfig) -> None:
    config = tiny_config(model.__name__, "--message_dropout=0.0" if model is NGCF else "--seed=1")
    train = ModalityDataset(config).build_parts()[TRAIN]
    batch = next(iter(training_loader(config, train)))
    assert faster(model) is not model
    outcomes = []
    for model_class in (model, faster(model)):
        init_seed(3, True)
        built = model_class(config, train)
        loss = built.calculate_loss(batch)
        loss.backward()
        users = Interaction({built.USER_ID: torch.arange(1, built.n_users)})
        with torch.no_grad():
            scores = built.full_sort_predict(users)
        gradients = [parameter.grad for parameter in built.parameters()]
        outcomes.append([loss.detach(), scores, *gradients])
        assert built.state_dict().keys() == model(config, train).state_dict().keys()
    torch.testing.assert_close(*outcomes, rtol=1e-5, atol=1e-6)


def test_node_dropout_keeps_recboles_matrix(tiny_config: MakeConfig) -> None:
    config = tiny_config("NGCF", "--node_dropout=0.3")
    model = faster(NGCF)(config, ModalityDataset(config).build_parts()[TRAIN])
    assert isinstance(model.norm_adj_matrix, torch.Tensor)
    model.train()
    assert model.forward()[0].isfinite().all()


def test_a_symmetric_matrix_knows_one_function_only() -> None:
    matrix = SymmetricMatrix(np.array([[0.0, 2.0], [2.0, 1.0]]))
    table = torch.tensor([[1.0], [3.0]])
    assert torch.sparse.mm(matrix, table).tolist() == [[6.0], [5.0]]
    with pytest.raises(TypeError):
        torch.mm(matrix, table)  # type: ignore[arg-type]
    again = copy.deepcopy(matrix.product)
    assert torch.equal(again(table), matrix.product(table))
    assert torch.equal(again.transposed.to_dense(), again.matrix.to_dense())
