"""What the models with weights per interaction share: edges of both directions, and their masks."""

from __future__ import annotations

import torch
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.edges import EdgePattern
from recbole_painvrl.models.graph_base import GraphRecommender


class EdgeRecommender(GraphRecommender):
    """A recommender over interactions as edges; a modality leaves out items that lack it.

    Args:
        config: RecBole configuration.
        dataset: the training dataset, with at least one modality.

    Attributes:
        by_user: the interactions by receiving user, items send.
        by_item: its transpose: items receive, users send.
        lacking_by_user: whether the item of an edge of ``by_user`` lacks a modality, ``[E, M]``
            bool; None where no item does.
        lacking_by_item: the same in the order of ``by_item``.
    """

    by_user: EdgePattern
    by_item: EdgePattern
    lacking_by_user: Tensor | None
    lacking_by_item: Tensor | None

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        # The edges below are what these models propagate over.
        del self.to_users, self.to_items
        matrix = self.interactions.tocoo()
        rows, columns = (torch.from_numpy(axis).long() for axis in (matrix.row, matrix.col))
        self.by_user = EdgePattern(rows, columns, matrix.shape).to(self.device)
        self.by_item = self.by_user.transpose()
        for name, items in (("user", self.by_user.columns), ("item", self.by_item.rows)):
            lacking = ~self.has_row.index_select(0, items)
            kept = lacking if lacking.any() else None
            self.register_buffer(f"lacking_by_{name}", kept, persistent=False)

    def lacking(self, pattern: EdgePattern) -> Tensor | None:
        """Whether the item of an edge of one of the two patterns lacks a modality, ``[E, M]``."""
        return self.lacking_by_user if pattern is self.by_user else self.lacking_by_item

    def without_lacking(self, pattern: EdgePattern, m: int, scores: Tensor) -> Tensor:
        """Scores of the edges, -inf where the item lacks modality m."""
        lacking = self.lacking(pattern)
        return scores if lacking is None else scores.masked_fill(lacking[:, m], -torch.inf)

    def in_item_order(self, scores: Tensor) -> Tensor:
        """Values of the edges of ``by_user`` in the order of ``by_item``."""
        return scores.index_select(0, self.by_user.by_column)

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Embeddings Xavier normal as one table of users and items, layers as PyTorch does."""
        if name in ("user_embedding.weight", "item_embedding.weight"):
            xavier_normal(parameter, self.n_users + self.n_items, source)
        else:
            super().initialize(name, parameter, source)


def xavier_normal(table: Tensor, n_rows: int, source: torch.Generator) -> None:
    """Fill a table ``[n, k]`` like a part of one of ``n_rows`` rows that is Xavier normal."""
    torch.nn.init.normal_(table, std=(2 / (n_rows + table.shape[1])) ** 0.5, generator=source)
