"""What the models without training share: scores that are a function of a user's items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.data.dataset import Dataset
from recbole.trainer import TraditionalTrainer
from recbole.utils import InputType, ModelType
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models.base import TableRecommender, binary_interactions
from recbole_painvrl.models.item_graphs import modality_weights
from recbole_painvrl.training.base import RunTrainerMixin

# Scores computed at a time.
_BLOCK = 2**24


class ClosedFormTrainer(RunTrainerMixin, TraditionalTrainer):
    """RecBole's trainer of one epoch, with what every run has."""


class ClosedFormRecommender(TableRecommender):
    """A recommender that is complete when it is built, from the interactions and the features.

    A subclass gives :meth:`history_scores`, and :meth:`tables` if its scores are products.

    Args:
        config: RecBole configuration.
        dataset: the training dataset.

    Attributes:
        interaction_matrix: R, SciPy CSR float32 ``[n_users, n_items]``, entries 1.
    """

    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.interaction_matrix = binary_interactions(dataset).astype(np.float32)
        # RecBole's optimiser needs a parameter.
        self.unused = nn.Parameter(torch.zeros(1))

    def history_scores(self, histories: sp.csr_matrix) -> Tensor:
        """Scores of all items for users given by their items, on the model's device.

        Args:
            histories: a row for every user, entries 1, ``[B, n_items]``.

        Returns:
            ``[B, n_items]``.
        """
        raise NotImplementedError

    def calculate_loss(self, interaction: Any) -> Tensor:
        """0: there is nothing to learn."""
        return 0 * self.unused.sum()

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of users with all items, ``[B * n_items]``."""
        users = interaction[self.USER_ID].cpu().numpy()
        return self.history_scores(self.interaction_matrix[users]).reshape(-1)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of (user, item) pairs, ``[B]``; all items of a user are scored for them."""
        users, rows = interaction[self.USER_ID].unique(return_inverse=True)
        items = interaction[self.ITEM_ID]
        scores = torch.empty(len(items), device=items.device)
        step = max(1, _BLOCK // self.n_items)
        for start in range(0, len(users), step):
            block = users[start : start + step].cpu().numpy()
            table = self.history_scores(self.interaction_matrix[block])
            here = (rows >= start) & (rows < start + step)
            scores[here] = table[rows[here] - start, items[here]]
        return scores

    def column_scale(self, weights: Mapping[str, float] | None) -> Tensor:
        """``sqrt(w_m / sum w)`` for every feature column, ``[d]``.

        Multiplied by it, the features of an item that has all modalities have length 1.

        Args:
            weights: weight of each modality, None for equal weights.

        Raises:
            UserError: the weights do not name the modalities in use.
        """
        values = modality_weights(list(self.modality_slices), weights)
        scale = torch.zeros(self.features.shape[1], device=self.device)
        for columns, weight in zip(self.modality_slices.values(), values, strict=True):
            scale[columns] = (weight / sum(values)) ** 0.5
        return scale
