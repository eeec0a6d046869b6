"""MGCN (Yu et al., MM '23): ID embeddings gated by features and smoothed over item graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.contrastive import batch_contrast
from recbole_painvrl.functional.modality_attention import QueryAttention, fuse
from recbole_painvrl.functional.pairwise import square_penalty
from recbole_painvrl.functional.propagation import Propagation
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.models.item_graphs import modality_graphs
from recbole_painvrl.models.memory import FLOAT, Sizes
from recbole_painvrl.specs import ModelSpec


class MGCNSettings(GraphSettings):
    """MGCN."""

    knn_k: int = Field(
        ge=1, description="Neighbours of an item in the item graphs, itself included."
    )
    item_layers: int = Field(ge=0, description="Layers of propagation over the item graphs.")
    reg_weight: float = Field(ge=0, description="Weight of the squared norms of a batch's vectors.")
    contrastive_weight: float = Field(ge=0, description="Weight of the contrastive loss.")
    temperature: float = Field(gt=0, description="Divisor of the cosines of the contrastive loss.")
    lr_decay: float = Field(
        gt=0, le=1, description="Factor on the learning rate per 50 epochs, applied gradually."
    )


class MGCN(GraphRecommender):
    """LightGCN plus a side vector from one view of the ID embeddings per modality.

    Penghang Yu, Zhiyi Tan, Guanming Lu and Bing-Kun Bao, *Multi-View Graph Convolutional Network
    for Multimedia Recommendation*, MM '23, arXiv 2308.03588. With S_m the graph of the ``knn_k``
    nearest items by modality m, built once, A_ui LightGCN's matrix from items to users and q an
    attention that modalities share::

        x_m = S_m^item_layers (Q (.) sigma(G_m (T_m f_m)))     items: features gate the embeddings
        y_m = A_ui x_m                                         users;  e_m = [y_m ; x_m]
        c = LightGCN(P, Q)                                     behaviour of users and items
        common = sum_m alpha_m e_m,   alpha = softmax_m q(e_m)
        side = (common + sum_m sigma(H_m c) (.) (e_m - common)) / (1 + M)
        z = c + side,   score = <z_u, z_i>
        loss = BPR(z) + reg_weight (|z_u|^2 + |z_i+|^2 + |z_i-|^2) / (2 train_batch_size)
               + contrastive_weight (NCE(side_i+, c_i+) + NCE(side_u, c_u))

    with T_m, G_m, H_m linear, squares summed over the batch, and NCE the InfoNCE among the rows of
    the batch, repetitions included.

    Args:
        config: RecBole configuration; the settings are ``MGCNSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Modalities*: any number. The release has two and divides by 3; here the divisor is 1 plus
        the number of modalities that some item has. What an item, or all items of a user, lack has
        no edges, no weight in the attention and no part in ``side``.
        *Features* have rows of length 1, which leaves the graphs as they are, and are kept; the
        release trains the table (``train_features``).
        *Item graphs* leave out negative cosines, where the release may take the root of a negative
        row sum (NaN).
        *Computation*: the rows after the last propagation only for the users and items of a batch,
        a repeated row once, and G_m T_m as one matrix (same values).
        *Negatives* are RecBole's: uniform over all items that the user does not have in training;
        the release draws among the items of the training set.
    """

    settings_class = MGCNSettings
    settings: MGCNSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size = self.settings.embedding_size
        graphs = modality_graphs(self, self.settings.knn_k, "cosine", "out")
        self.item_graphs = nn.ModuleList(Propagation(graph) for graph in graphs).to(self.device)
        self.content = self.projections(size)
        self.purifiers = nn.ModuleList(nn.Linear(size, size) for _ in graphs)
        self.preferences = nn.ModuleList(nn.Linear(size, size) for _ in graphs)
        self.attention = QueryAttention(size)
        self.batch_size = int(config["train_batch_size"])
        self.n_present = int(self.has_row.any(dim=0).sum())
        # A user has the modalities that one of the user's items has.
        seen = self.to_users(self.has_row.to(self.features.dtype)) > 0
        self.register_buffer("user_has_row", seen, persistent=False)
        self.reset()

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors z of users ``[n_users, k]`` and of items ``[n_items, k]``."""
        (users, items), (user_views, item_views) = self.propagate_ids(), self._views()
        by_users = self._side(users, user_views, self.user_has_row)
        return users + by_users, items + self._side(items, item_views, self.has_row)

    def _views(self) -> tuple[list[Tensor], list[Tensor]]:
        """y_m of users ``[n_users, k]`` and x_m of items ``[n_items, k]``, for every modality."""
        users, items = [], []
        for m, features in enumerate(self.modality_features()):
            # Two linear maps in a row are one.
            inner: Any = self.content[m]
            outer: Any = self.purifiers[m]
            bias = F.linear(inner.bias, outer.weight, outer.bias)
            gate = F.linear(features, outer.weight @ inner.weight, bias).sigmoid()
            view = self.item_embedding.weight * gate
            if not self.settings.item_layers:
                view = view * self.has_row[:, m].unsqueeze(1)
            for _ in range(self.settings.item_layers):
                view = self.item_graphs[m](view)
            users.append(self.to_users(view))
            items.append(view)
        return users, items

    def _side(self, behaviour: Tensor, views: Sequence[Tensor], has_row: Tensor) -> Tensor:
        """The side vectors of nodes, ``[n, k]``.

        Args:
            behaviour: c, ``[n, k]``.
            views: e_m of every modality, ``[n, k]``.
            has_row: who has which modality, ``[n, M]``.
        """
        e, present = torch.stack(list(views)), has_row.T
        common = fuse(e, self.attention(e), present)
        gates = torch.stack([prefer(behaviour) for prefer in self.preferences]).sigmoid()
        gates = gates * present.unsqueeze(2)
        own = (gates * (e - common)).sum(dim=0)
        return (common + own) / (self.n_present + 1)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR, penalty and contrast of a batch's triples; a scalar."""
        s = self.settings
        users, positives, negatives = self.triples(interaction)
        n = len(users)
        (user_ids, item_ids), (user_views, item_views) = self.propagate_ids(), self._views()
        # Everything from here on is row by row: once for every distinct user and item.
        rows, user_at = users.unique(return_inverse=True)
        user_ids = user_ids[rows]
        seen = self.user_has_row[rows]
        user_side = self._side(user_ids, [view[rows] for view in user_views], seen)
        rows, item_at = torch.cat([positives, negatives]).unique(return_inverse=True)
        item_ids = item_ids[rows]
        item_side = self._side(item_ids, [view[rows] for view in item_views], self.has_row[rows])
        user, item = (user_ids + user_side)[user_at], (item_ids + item_side)[item_at]
        positive, negative = item.split(n)
        loss = self.bpr(user, positive, negative)
        penalty = square_penalty(user, positive, negative) * (n / self.batch_size)
        loss = loss + s.reg_weight * self.note("L_reg", penalty)
        if s.contrastive_weight:
            contrast = self._contrast(user_side, user_ids, user_at)
            contrast = contrast + self._contrast(item_side, item_ids, item_at[:n])
            loss = loss + s.contrastive_weight * self.note("L_contrast", contrast)
        return loss

    def _contrast(self, side: Tensor, behaviour: Tensor, rows: Tensor) -> Tensor:
        """InfoNCE of the rows of a batch, repetitions included."""
        distinct, counts = rows.unique(return_counts=True)
        temperature = self.settings.temperature
        return batch_contrast(side[distinct], behaviour[distinct], temperature, counts)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, an item graph per modality, and its views with their gradients."""
    n_modalities, size = len(sizes.columns), int(settings["embedding_size"])
    parts = graph_memory(sizes, settings, n_graphs=n_modalities)
    # Gate, view of items and of users, each with a gradient.
    per_modality = 4 * sizes.items + 2 * sizes.users
    # Rows of users, positives and negatives: stacked, attention, gates, differences, gradients.
    per_modality += 3 * 10 * int(settings["train_batch_size"])
    return parts | {"views": FLOAT * n_modalities * size * per_modality}


SPEC = ModelSpec(
    "MGCN",
    MGCN,
    MGCNSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Yu et al., MM '23: multi-view graph convolutional network for multimedia recommendation",
    url="https://arxiv.org/abs/2308.03588",
    idea="Features gate the ID embeddings; each gated view is smoothed over its item "
    "graph, and attention separates what modalities share.",
    ranks_cold_items=True,
)
