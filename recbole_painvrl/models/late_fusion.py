"""What SLMRec and EliMRec share: a LightGCN per modality over the same users, and late fusion."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.propagation import spread
from recbole_painvrl.models.graph_base import GraphRecommender, graph_memory
from recbole_painvrl.models.memory import FLOAT, LEARNT, Sizes

# Vectors [n, k] of the same nodes in the network of IDs and in that of every modality.
Views = list[Tensor]


class Fusion(nn.Module):
    """``W [e_0, e_1, ..., e_M] + b``, with a matrix for each of the vectors.

    Args:
        size: k, width of the vectors and of the result.
        n_modalities: M.
    """

    def __init__(self, size: int, n_modalities: int) -> None:
        super().__init__()
        self.ids = nn.Linear(size, size)
        self.modalities = nn.ModuleList(
            nn.Linear(size, size, bias=False) for _ in range(n_modalities)
        )

    def forward(self, views: Views) -> Tensor:
        """``[n, k]`` of M + 1 views of n nodes."""
        fused: Tensor = self.ids(views[0])
        for layer, view in zip(self.modalities, views[1:], strict=True):
            fused = fused + layer(view)
        return fused


class LateFusionRecommender(GraphRecommender):
    """A LightGCN of the IDs and one of every modality over the same P, and a linear fusion.

    ::

        (u_0, i_0) = LightGCN(P, Q);         u = user_fusion(u_0, u_1, ..., u_M)
        (u_m, i_m) = LightGCN(P, x_m);       i = item_fusion(i_0, i_1, ..., i_M)
        x_m = W_m f_m + b_m, or 0 for an item without a row of modality m

    LightGCN is linear, and ``x_m = [f_m, 1] [W_m; b_m]``: what the rows ``[f_m, 1]`` spread over
    the graph is computed once, and a step takes the products of a single LightGCN and projects
    the rows of the batch.

    Args:
        config: RecBole configuration.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.
    """

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, n_modalities = self.settings.embedding_size, len(self.modality_slices)
        self.projection: Any = self.projections(size)
        self.user_fusion = Fusion(size, n_modalities)
        self.item_fusion = Fusion(size, n_modalities)
        self._content: list[tuple[Tensor, Tensor]] | None = None

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Weights Xavier uniform, those of a fusion as one matrix; biases as PyTorch's."""
        size, n_inputs = self.settings.embedding_size, len(self.modality_slices) + 1
        if "_fusion." in name:
            fan_in = n_inputs * size
            weight = parameter.dim() == 2
            bound = (6 / (fan_in + size)) ** 0.5 if weight else fan_in**-0.5
            nn.init.uniform_(parameter, -bound, bound, generator=source)
        elif parameter.dim() == 2:
            nn.init.xavier_uniform_(parameter, generator=source)
        else:
            super().initialize(name, parameter, source)

    def forget_tables(self) -> None:
        """Drop what the features spread, too."""
        super().forget_tables()
        self._content = None

    def inputs(self) -> list[Tensor]:
        """``[f_m, 1]`` of every modality, zeros for items without it, ``[n_items, d_m + 1]``."""
        present = self.has_row.to(self.features.dtype)
        return [
            torch.cat([rows * present[:, m, None], present[:, m, None]], dim=1)
            for m, rows in enumerate(self.modality_features())
        ]

    def weights(self) -> list[Tensor]:
        """``[W_m, b_m]`` of every modality, ``[k, d_m + 1]``."""
        return [
            torch.cat([layer.weight, layer.bias.unsqueeze(1)], dim=1) for layer in self.projection
        ]

    def content(self) -> list[tuple[Tensor, Tensor]]:
        """What :meth:`inputs` spread to users and to items, ``[n, d_m + 1]`` each."""
        if self._content is None or self.feature_table is not None:
            layers = self.settings.n_layers
            spreads = (spread(x, self.to_users, self.to_items, layers) for x in self.inputs())
            self._content = [(users, items) for items, users in spreads]
        return self._content

    def views(
        self, users: Tensor | None = None, items: Tensor | None = None
    ) -> tuple[Views, Views]:
        """Vectors of some users and items, or of all, in all networks, ``[B, k]`` each."""
        layers = self.settings.n_layers
        own, at_items = spread(self.user_embedding.weight, self.to_items, self.to_users, layers)
        item_ids, at_users = spread(
            self.item_embedding.weight, self.to_users, self.to_items, layers
        )
        user, item = _rows(own, users), _rows(at_items, items)
        user_views = [user + _rows(at_users, users)]
        item_views = [item + _rows(item_ids, items)]
        for (user_part, item_part), weight in zip(self.content(), self.weights(), strict=True):
            user_views.append(user + F.linear(_rows(user_part, users), weight))
            item_views.append(item + F.linear(_rows(item_part, items), weight))
        return user_views, item_views


def _rows(table: Tensor, rows: Tensor | None) -> Tensor:
    return table if rows is None else table.index_select(0, rows)


def late_fusion_memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, and the features of users and items over the graph."""
    size, wide, nodes = (
        int(settings["embedding_size"]),
        len(sizes.columns),
        sizes.users + sizes.items,
    )
    common = graph_memory(sizes, settings)
    learnt = size * (sizes.width + 4 * wide * size)
    return {
        **common,
        "parameters": common["parameters"] + LEARNT * learnt,
        # Three at a time while they are spread.
        "spread features": FLOAT * nodes * (sizes.width + wide + 2 * max(sizes.columns.values())),
        # All views of all nodes for the scores.
        "forward pass": common["forward pass"] + FLOAT * nodes * size * (wide + 3),
    }
