"""What the graph models share: the interaction graph, ID embeddings, features, initial values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Settings
from recbole_painvrl.functional.propagation import (
    Propagation,
    interaction_matrices,
    layer_mean,
)
from recbole_painvrl.models.base import (
    PairwiseRecommender,
    binary_interactions,
    require_modalities,
)
from recbole_painvrl.models.memory import ENTRY, FLOAT, LEARNT, Sizes
from recbole_painvrl.seeds import generator


class GraphSettings(Settings):
    """Settings of every graph model."""

    embedding_size: int = Field(ge=1, description="Width k of the ID embeddings.")
    n_layers: int = Field(ge=0, description="Layers of propagation over the interaction graph.")
    feature_scale: float = Field(
        gt=0, description="Factor on the features, whose rows have length 1."
    )
    train_features: bool = Field(
        description="Train the table of features, as the public codes do, or keep the features."
    )


class GraphRecommender(PairwiseRecommender):
    """A recommender with ID embeddings P, Q and LightGCN's propagation, which needs modalities.

    Args:
        config: RecBole configuration; the settings are a subclass of :class:`GraphSettings`.
        dataset: the training dataset, with at least one modality.

    Attributes:
        interactions: R, SciPy CSR ``[n_users, n_items]``, entries 1.
        to_users: ``A_ui = D_u^-1/2 R D_i^-1/2``, from items to users.
        to_items: its transpose, from users to items.
        user_embedding: P, ``[n_users, k]``.
        item_embedding: Q, ``[n_items, k]``.
        feature_table: the features without the mask as a parameter with ``train_features``, else
            None.

    Raises:
        UserError: the dataset has no modality, or the loader draws no negatives.
    """

    settings_class: type[GraphSettings]
    settings: GraphSettings
    follows_has_row = True

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "its content comes from the features")
        size = self.settings.embedding_size
        self.interactions = binary_interactions(dataset)
        to_users, _ = interaction_matrices(self.interactions, "symmetric")
        self.to_users = Propagation(to_users).to(self.device)
        self.to_items = self.to_users.transpose()
        self.user_embedding = nn.Embedding(self.n_users, size)
        self.item_embedding = nn.Embedding(self.n_items, size)
        self.feature_table: nn.Parameter | None = None
        if self.settings.train_features:
            known: Any = dataset
            self.feature_table = nn.Parameter(known.features.matrix.to(self.device, copy=True))

    def feature_rows(self) -> Tensor:
        """The features, kept or trained, under the mask of ``feature_mask``, ``[n_items, d]``."""
        if self.feature_table is None:
            return self.features
        if self.feature_mask is None:
            return self.feature_table
        return self.feature_table * self.feature_mask

    def modality_features(self, items: Tensor | None = None) -> Iterator[Tensor]:
        """Scaled features of one modality after the other, ``[n_items, d_m]``.

        Args:
            items: items of which the rows are wanted, ``[n]``; None for all.
        """
        table = self.feature_rows()
        if items is not None:
            table = table[items]
        for columns in self.modality_slices.values():
            part = table[:, columns]
            # A factor of 1 would copy the features at every step.
            yield part if self.settings.feature_scale == 1 else self.settings.feature_scale * part

    def unseen_features(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Scaled features of unseen items by modality, and which an item has, ``[n, M]`` bool.

        Args:
            features: ``[n, d]``; a modality of zeros counts as missing.
        """
        scale = self.settings.feature_scale
        parts = [scale * features[:, columns] for columns in self.modality_slices.values()]
        return parts, torch.stack([part.any(dim=1) for part in parts], dim=1)

    def projections(self, width: int, bias: bool = True) -> nn.ModuleList:
        """A linear layer from the columns of each modality to ``width``."""
        return nn.ModuleList(
            nn.Linear(columns.stop - columns.start, width, bias=bias)
            for columns in self.modality_slices.values()
        )

    def propagate_ids(self) -> tuple[Tensor, Tensor]:
        """LightGCN's representations of users and items: the mean of layers 0 to ``n_layers``."""
        users, items = self.user_embedding.weight, self.item_embedding.weight
        return layer_mean(users, items, self.to_users, self.to_items, self.settings.n_layers)

    def learning_rate_factor(self, epoch: int) -> float:
        """``lr_decay^(epoch / 50)`` where the model has the setting ``lr_decay``, else 1."""
        return float(getattr(self.settings, "lr_decay", 1.0) ** (epoch / 50))

    def reset(self) -> None:
        """Fresh parameters from the run's seed: Xavier uniform tables, PyTorch's linear layers.

        A subclass with other initial values overrides :meth:`initialize`.
        """
        source = generator(self.seed, "initial values")
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter is not self.feature_table:
                    self.initialize(name, parameter, source)
        self.forget_tables()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Draw one parameter: an embedding table Xavier uniform, a linear layer as PyTorch does."""
        if name in ("user_embedding.weight", "item_embedding.weight"):
            nn.init.xavier_uniform_(parameter, generator=source)
            return
        # PyTorch's default of a linear layer: uniform within 1 / sqrt(inputs), bias included.
        module = self.get_submodule(name.rpartition(".")[0])
        bound = float(getattr(module, "in_features", parameter.shape[-1])) ** -0.5
        nn.init.uniform_(parameter, -bound, bound, generator=source)


def graph_memory(sizes: Sizes, settings: ConfigLike, n_graphs: int = 0) -> dict[str, int]:
    """Bytes of the parts that every graph model has.

    Args:
        sizes: of the data.
        settings: of the model.
        n_graphs: item graphs with ``knn_k`` neighbours.
    """
    size, nodes = int(settings["embedding_size"]), sizes.users + sizes.items
    learnt = nodes * size
    features = sizes.items * sizes.width
    edges = n_graphs * sizes.items * int(settings["knn_k"]) if n_graphs else 0
    return {
        "parameters": LEARNT * learnt,
        "features": FLOAT * features + (LEARNT * features if settings["train_features"] else 0),
        "graphs": ENTRY * (sizes.interactions + edges),
        "forward pass": FLOAT * nodes * size * (2 * int(settings["n_layers"]) + 4),
        "batch": FLOAT * 12 * int(settings["train_batch_size"]) * size,
    }
