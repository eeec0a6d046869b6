"""DualGNN (Wang et al., TMM '21): a graph network per modality, weighed and smoothed by users."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.graph import UserWeights, co_users, user_graph
from recbole_painvrl.functional.propagation import Propagation, layer_sum_of_one_side
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.models.memory import ENTRY, FLOAT, LEARNT, Sizes
from recbole_painvrl.specs import ModelSpec


class DualGNNSettings(GraphSettings):
    """DualGNN."""

    fusion: Literal["sum", "sum_in_place", "concat"] = Field(
        description="Add the vectors of the modalities up (DualGNN), with the first weight of a "
        "user on the sum of all (sum_in_place, MMRec), or put them side by side (concat, DRAGON)."
    )
    user_neighbours: int = Field(
        ge=0, description="Co-users of a user in the user graph; 0 for no user graph."
    )
    user_weights: UserWeights = Field(
        description="Weights of the co-users: softmax of the number of common items (released), "
        "equal (mean), or by the cosine of the two users' items."
    )
    user_layers: int = Field(ge=1, description="Layers of propagation over the user graph.")
    reg_weight: float = Field(
        ge=0, description="Weight of the mean squares of preferences and modality weights."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("user_weights", "user_layers"), {"user_neighbours": (0,)}),
    )


class DualGNN(GraphRecommender):
    """One LightGCN per modality, weights of the modalities per user, and a graph of co-users.

    Qifan Wang, Yinwei Wei, Jianhua Yin, Jianlong Wu, Xuemeng Song and Liqiang Nie, *DualGNN: Dual
    Graph Neural Network for Multimedia Recommendation*, IEEE TMM 2021. Of every modality m there
    are preferences p_m of the users and a network MLP_m (d_m, 4 k, LeakyReLU, k); v has a weight
    per user and modality; A is LightGCN's operator, G the graph of the ``user_neighbours`` users
    with most common items, whose rows add up to 1::

        x_m  = normalise([p_m ; MLP_m(F_m)]);   X_m = sum_{l <= n_layers} A^l x_m
        u0   = sum_m v_um X_m[u];               i = sum_m X_m[i]
        u    = u0 + G^user_layers u0
        loss = mean log2(1 + exp(<u, j> - <u, i>))
               + reg_weight (sum_m mean p_m[u]^2 + mean v^2)

    The score is ``<u, i>``; ``fusion: concat`` puts the modalities side by side in place of the
    sums; with ``sum_in_place``, ``u0 = v_u1 sum_m X_m[u] + sum_{m > 1} v_um X_m[u]``. An item
    without a row of features has ``x_m = 0``.

    Args:
        config: RecBole configuration; the settings are ``DualGNNSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Sum*: MMRec adds the other modalities in place into the first of ``modalities``, so that
        the first weight of a user multiplies all (``fusion: sum_in_place``); in the official code
        the sum is a new tensor (``sum``).
        *User graph*: users with fewer than ``user_neighbours`` co-users have those that exist; the
        release fills up with random repetitions of them in every epoch, which is the same in
        expectation for equal weights, and not offered: scores would depend on an epoch's draws.
        A user without co-users has ``u = u0``.
        *Softmax* of raw counts (``user_weights: softmax``, released) gives a neighbour with 5 more
        common items 148 times the weight. The default weighs all co-users equally (``mean``).
        *Item weights* of the release are regularised, but never read; left out.
        *Layers*: the release ignores its setting and has 2.
        *MLP*: the release has none for one data set, whose features set the width there.
        *Scores* come from the current parameters, the release's from the last training step.
        *Loss*: base 2 as in the release, 1.44 times BPR; ``reg_weight`` is relative to that.
    """

    settings_class: type[DualGNNSettings] = DualGNNSettings
    settings: DualGNNSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        # The networks start from preferences and features, not from ID embeddings.
        del self.user_embedding, self.item_embedding
        s, size = self.settings, self.settings.embedding_size
        self.preferences = nn.ParameterList(
            torch.empty(self.n_users, size) for _ in self.modality_slices
        )
        self.modality_weight = nn.Parameter(torch.empty(self.n_users, len(self.modality_slices)))
        self.networks = nn.ModuleList(
            nn.Sequential(first, nn.LeakyReLU(), nn.Linear(4 * size, size))
            for first in self.projections(4 * size)
        )
        self.user_graph: Propagation | None = None
        if s.user_neighbours:
            degrees = torch.from_numpy(self.interactions.getnnz(axis=1))
            found = co_users(self.interactions, s.user_neighbours)
            self.user_graph = Propagation(user_graph(*found, degrees, s.user_weights))
            self.user_graph.to(self.device)
        self.reset()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Preferences Xavier normal; modality weights a softmax of such values, then free."""
        if not name.startswith(("preferences", "modality_weight")):
            super().initialize(name, parameter, source)
            return
        nn.init.xavier_normal_(parameter, generator=source)
        if name == "modality_weight":
            parameter.copy_(parameter.softmax(dim=1))

    def content(self, features: list[Tensor], present: Tensor) -> Tensor:
        """``normalise(MLP_m(f_m))`` of all modalities side by side, ``[n, M k]``.

        Args:
            features: of every modality, ``[n, d_m]``.
            present: which modalities an item has, ``[n, M]``; the others give zeros.
        """
        parts = [
            F.normalize(network(rows)) * present[:, m, None]
            for m, (network, rows) in enumerate(zip(self.networks, features, strict=True))
        ]
        return torch.cat(parts, dim=1)

    def fused(self, table: Tensor) -> Tensor:
        """Modalities side by side ``[n, M k]``, or their sum ``[n, k]``."""
        if self.settings.fusion == "concat":
            return table
        parts: Tensor = table.unflatten(1, (len(self.modality_slices), -1))
        return parts.sum(dim=1)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of users and items, of width k, or M k with ``fusion: concat``."""
        s = self.settings
        users = torch.cat([F.normalize(table) for table in self.preferences], dim=1)
        items = self.content([*self.modality_features()], self.has_row)
        to_users, to_items = self.to_users, self.to_items
        user = layer_sum_of_one_side(users, items, to_users, to_items, s.n_layers)
        if s.fusion == "sum_in_place":
            user = torch.cat([self.fused(user), user[:, s.embedding_size :]], dim=1)
        weights = self.modality_weight.repeat_interleave(s.embedding_size, dim=1)
        user = self.fused(user * weights)
        # The sum over modalities commutes with the propagation.
        users, items = self.fused(users), self.fused(items)
        item = layer_sum_of_one_side(items, users, to_items, to_users, s.n_layers)
        if self.user_graph is None:
            return user, item
        smooth = user
        for _ in range(s.user_layers):
            smooth = self.user_graph(smooth)
        return user + smooth, item

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """Vectors of items without interactions; a modality of zeros counts as missing."""
        return self.fused(self.content(*self.unseen_features(features)))

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The ranking loss, in base 2, and the regulariser of a batch's triples; a scalar."""
        users, positives, negatives = self.triples(interaction)
        user_table, item_table = self.tables()
        vectors = user_table[users], item_table[positives], item_table[negatives]
        loss = self.bpr(*vectors) / math.log(2)
        if self.settings.reg_weight:
            squares = [table[users].square().mean() for table in self.preferences]
            # Row 0 is padding.
            squares.append(self.modality_weight[1:].square().mean())
            penalty = self.note("reg", torch.stack(squares).sum())
            loss = loss + self.settings.reg_weight * penalty
        return loss


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Tables of every modality, both graphs, and the layers of the networks."""
    size, wide = int(settings["embedding_size"]), len(sizes.columns)
    learnt = sizes.users * wide * (size + 1) + 4 * size * (sizes.width + wide * size)
    nodes, layers = sizes.users + sizes.items, int(settings["n_layers"])
    tables = nodes * size * wide * (layers + 5) + sizes.items * wide * 12 * size
    return {
        **graph_memory(sizes, settings),
        "parameters": LEARNT * learnt,
        "user graph": ENTRY * sizes.users * int(settings["user_neighbours"]),
        "forward pass": FLOAT * tables,
    }


SPEC = ModelSpec(
    "DualGNN",
    DualGNN,
    DualGNNSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Wang et al., TMM '21: DualGNN, dual graph neural network for multimedia recommendation",
    url="https://doi.org/10.1109/TMM.2021.3138298",
    idea="A network per modality with weights per user, then smoothing over users who share items.",
    ranks_cold_items=True,
)
