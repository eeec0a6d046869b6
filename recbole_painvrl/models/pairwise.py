"""What the models have in common that learn from (user, positive, negative) triples."""

from __future__ import annotations

from typing import Any

from recbole.utils import InputType
from torch import Tensor

from recbole_painvrl.errors import UserError
from recbole_painvrl.models.base import TableRecommender


class PairwiseRecommender(TableRecommender):
    """A table recommender whose batches bring a negative with every positive.

    RecBole's loader draws the negatives, by ``train_neg_sample_args``.

    Args:
        config: RecBole configuration.
        dataset: the training dataset.

    Raises:
        UserError: the loader is told to draw no negatives.
    """

    input_type = InputType.PAIRWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if config["train_neg_sample_args"]["distribution"] == "none":
            raise UserError(
                f"`train_neg_sample_args`: {config['model']} learns from pairs and needs "
                "negatives; leave the setting out, or set `distribution: uniform, sample_num: 1`"
            )

    def triples(self, interaction: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Users, positives and negatives of a batch, ``[B]`` each."""
        users, positives = interaction[self.USER_ID], interaction[self.ITEM_ID]
        return users, positives, interaction[self.NEG_ITEM_ID]
