"""MGAT (Tao et al., IPM 2020): MMGCN's networks with gated attention over the interactions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.edges import (
    EdgePattern,
    edge_products,
    edge_softmax,
    propagate_edges,
)
from recbole_painvrl.functional.rows import unit_rows
from recbole_painvrl.models.edge_base import EdgeRecommender, xavier_normal
from recbole_painvrl.models.graph_base import GraphSettings, graph_memory
from recbole_painvrl.models.memory import FLOAT, LEARNT, Sizes
from recbole_painvrl.specs import ModelSpec


class MGATSettings(GraphSettings):
    """MGAT."""

    n_layers: int = Field(
        ge=1, description="Layers of attention, whose outputs are concatenated; released: 1."
    )
    latent_size: int = Field(
        ge=1, description="Width to which a modality is projected; its own where that is less."
    )


# A table of users and one of items.
Sides = tuple[Tensor, Tensor]
# Numbers of some users and of some items; None for all of a side.
Nodes = tuple[Tensor | None, Tensor | None]


class MGAT(EdgeRecommender):
    """One graph attention network per modality over users and items, and their mean.

    Zhulin Tao, Yinwei Wei, Xiang Wang, Xiangnan He, Xianglin Huang and Tat-Seng Chua, *MGAT:
    Multimodal Graph Attention Network for Recommendation*, Information Processing and Management
    57(5), 2020. For every modality, with ``n(x) = x / |x|`` per row, x starts from a table of the
    users' preferences and from ``tanh(P f + c)`` of the items, rows of length 1. A layer is, with
    the degree d_j of the sending node::

        x' = x W,   s_ij = <x'_i, LeakyReLU(x'_j)>
        a_ij = softmax_{j in N(i)}( s_ij sigma(s_ij / sqrt(d_j)) )
        h_i = n( sum_j a_ij x'_j + b )
        out_i = LeakyReLU( G LeakyReLU(h_i) + g + LeakyReLU(L x_i + l) + id_i )

    and the next layer's x. A modality's vector is the concatenation of its layers' outputs, z their
    mean over modalities, the score ``<z_u, z_i>``. Loss: BPR; regularisation is ``weight_decay``.

    Args:
        config: RecBole configuration; the settings are ``MGATSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or the loader draws no negatives.

    Deviations:
        *Layers*: the paper concatenates two (the default); in the release the second stands after
        a return: ``n_layers: 1``.
        *Loss*: the release adds up ``log2(1 + exp(s_uj - s_ui))`` over a batch of B, which is BPR
        times B / ln 2; Adam sees the same gradient with ``weight_decay`` times ln 2 / B, as the
        preset says.
        *Projection*: 256, 128 and 100 columns by modality in the release, here the smaller of a
        modality's width and ``latent_size``.
        *Missing modalities*: an item without a row has no part in the attention of the modality.
        *Scores* come from the current parameters; the release evaluates with the tables of the
        last training step, on 1,000 sampled negatives.
    """

    settings_class = MGATSettings
    settings: MGATSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.networks: Any = nn.ModuleList(
            _Network(self.n_users, columns.stop - columns.start, self.settings)
            for columns in self.modality_slices.values()
        )
        for side, pattern in (("user", self.by_user), ("item", self.by_item)):
            degrees = pattern.row_starts.diff().clamp(min=1).float()
            self.register_buffer(f"{side}_scale", degrees.rsqrt(), persistent=False)
        self.reset()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Xavier normal tables and weights; biases and projections as PyTorch draws them."""
        drawn = name.endswith(".preference") or (".layers." in name and name.endswith(".weight"))
        if drawn:
            xavier_normal(parameter, len(parameter), source)
        else:
            super().initialize(name, parameter, source)

    def tables(self) -> Sides:
        """Representations of all users and items, width ``k n_layers``."""
        return self._representations((None, None))

    def _representations(self, nodes: Nodes) -> Sides:
        """Mean over modalities of their vectors, of some users and items or of all."""
        outputs = [
            self._vectors(m, features, nodes) for m, features in enumerate(self.modality_features())
        ]
        users, items = (torch.stack(side).mean(dim=0) for side in zip(*outputs, strict=True))
        return users, items

    def _vectors(self, m: int, features: Tensor, nodes: Nodes) -> Sides:
        """The outputs of all layers of modality m side by side."""
        network = self.networks[m]
        projected = network.projection(features).tanh() * self.has_row[:, m].unsqueeze(1)
        x = unit_rows(network.preference), unit_rows(projected)
        ids = self.user_embedding.weight, self.item_embedding.weight
        outputs: list[Sides] = []
        for layer in network.layers:
            users, items = (F.linear(side, layer.mix.weight) for side in x)
            h = (
                self._attended(self.by_user, m, users, items, self.item_scale) + layer.mix.bias,
                self._attended(self.by_item, m, items, users, self.user_scale) + layer.mix.bias,
            )
            if layer is network.layers[-1]:
                # Nothing reads the other nodes after the last attention.
                h, x, ids, *outputs = (_rows(sides, nodes) for sides in (h, x, ids, *outputs))
            x_users, x_items = (layer(*side) for side in zip(h, x, ids, strict=True))
            x = x_users, x_items
            outputs.append(x)
        users, items = (torch.cat(side, dim=1) for side in zip(*outputs, strict=True))
        return users, items

    def _attended(
        self, pattern: EdgePattern, m: int, receivers: Tensor, senders: Tensor, scale: Tensor
    ) -> Tensor:
        """``sum_j a_ij x'_j`` for all receivers; ``scale`` is ``1 / sqrt(d_j)`` of the senders."""
        scores = edge_products(pattern, receivers, F.leaky_relu(senders))
        gated = scores * (scores * scale.index_select(0, pattern.columns)).sigmoid()
        weights = edge_softmax(pattern, self.without_lacking(pattern, m, gated))
        return propagate_edges(pattern, weights, senders)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR of a batch's triples; a scalar."""
        users, positives, negatives = self.triples(interaction)
        n = len(users)
        # Row by row after the last attention: once for every distinct user and item.
        users, user_at = users.unique(return_inverse=True)
        items, item_at = torch.cat([positives, negatives]).unique(return_inverse=True)
        user, item = self._representations((users, items))
        return self.bpr(user[user_at], *item[item_at].split(n))


class _Layer(nn.Module):
    """W and b of the attention, G, g, L and l of a layer."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.own = nn.Linear(width, size)
        self.merge = nn.Linear(width, size)

    def forward(self, aggregate: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        """The layer's output of nodes from their aggregate before n, their x and their ids."""
        kept = F.leaky_relu(self.own(x)) + ids
        return F.leaky_relu(self.merge(F.leaky_relu(unit_rows(aggregate))) + kept)


class _Network(nn.Module):
    """Preferences, projection and layers of one modality."""

    def __init__(self, n_users: int, width: int, settings: MGATSettings) -> None:
        super().__init__()
        start, size = min(width, settings.latent_size), settings.embedding_size
        self.preference = nn.Parameter(torch.empty(n_users, start))
        self.projection = nn.Linear(width, start)
        widths = [start] + [size] * (settings.n_layers - 1)
        self.layers: Any = nn.ModuleList(_Layer(width, size) for width in widths)


def _rows(sides: Sides, nodes: Nodes) -> Sides:
    users, items = (
        table if rows is None else table.index_select(0, rows)
        for table, rows in zip(sides, nodes, strict=True)
    )
    return users, items


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, and a modality's preferences, tables and edges by layer."""
    size, nodes = int(settings["embedding_size"]), sizes.users + sizes.items
    n_layers, parts = int(settings["n_layers"]), graph_memory(sizes, settings)
    parts["graphs"] += 12 * FLOAT * sizes.interactions
    parts["edges"] = FLOAT * sizes.interactions * len(sizes.columns) * n_layers * 12
    for columns in sizes.columns.values():
        width = min(columns, int(settings["latent_size"]))
        parts["parameters"] += LEARNT * width * (sizes.users + columns + width)
        parts["forward pass"] += FLOAT * nodes * (6 * width + 6 * size * (n_layers - 1))
    batch = 3 * int(settings["train_batch_size"])
    parts["batch"] = FLOAT * 6 * batch * size * n_layers * len(sizes.columns)
    return parts


SPEC = ModelSpec(
    "MGAT",
    MGAT,
    MGATSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Tao et al., IPM '20: MGAT, multimodal graph attention network for recommendation",
    url="https://www.sciencedirect.com/science/article/pii/S0306457320300182",
    idea="MMGCN with gated attention over the neighbours.",
    ranks_cold_items=True,
)
