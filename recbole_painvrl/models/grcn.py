"""GRCN (Wei et al., MM '20): doubtful interactions weigh less in the graph of the IDs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
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


class GRCNSettings(GraphSettings):
    """GRCN."""

    content_size: int = Field(
        ge=1, description="Width of the users' prototypes and of the projected features."
    )
    routing: bool = Field(
        description="Route the prototypes of users towards their items (the paper), or leave them "
        "where they are (released, where the routing has no effect)."
    )
    n_routings: int = Field(ge=0, description="Iterations of the routing.")
    confidence_init: Literal["one", "xavier"] = Field(
        description="Initial confidence of a node in a modality: 1, or Xavier normal (released)."
    )
    projection_init: Literal["pytorch", "xavier"] = Field(
        description="Initial weights of the projections of the features: PyTorch's (released), or "
        "Xavier normal (MMRec)."
    )
    pruning: Literal["hard", "soft", "none"] = Field(
        description="Weight of an interaction: with negative ones cut to 0 (hard), as they are "
        "(soft, the release's commands), or 1 / degree whatever the features say (none)."
    )
    reg_weight: float = Field(
        ge=0, description="Weight of the mean squares of a batch's ID embeddings and prototypes."
    )
    reg_prototypes: Literal["batch", "first_table"] = Field(
        description="Prototypes in the penalty: those of the batch's users, or also the first "
        "modality's of all users (first_table; MMRec, whose first is the visual one)."
    )

    idle: ClassVar[tuple[Idle, ...]] = (Idle(("n_routings",), {"routing": (False,)}),)


# A table of users and one of items.
Sides = tuple[Tensor, Tensor]


class GRCN(EdgeRecommender):
    """The IDs over a graph whose edges are weighted by how well user and item agree.

    Yinwei Wei, Xiang Wang, Liqiang Nie, Xiangnan He and Tat-Seng Chua, *Graph-Refined
    Convolutional Network for Multimedia Recommendation with Implicit Feedback*, MM '20, arXiv
    2111.02036. With ``n(x) = x / |x|`` per row, for every modality m::

        f_i = n(LeakyReLU(W_m F_mi + b_m)),   p_u = n(prototype_mu)
        n_routings times:   p_u <- n( p_u + sum_{i in N(u)} softmax_i(<p_u, f_i>) f_i )
        a_m(v <- n) = softmax_{n in N(v)} <x_v, x_n>,   x = p for users and f for items
        content_m(v) = x_v + sum_n a_m(v <- n) x_n

    in both directions. An edge weighs, with the confidence kappa of the node it comes from::

        w(v <- n) = relu( max_m a_m(v <- n) kappa_nm )        pruning: hard; soft has no relu
        e_0 = n(ID),   e_l(v) = sum_n w(v <- n) e_{l-1}(n),   z = [e_0 + ... + e_L, content_1, ...]

    The score is ``<z_u, z_i>``. Loss: BPR plus ``reg_weight`` times the mean squares of the
    batch's ID embeddings and prototypes.

    Args:
        config: RecBole configuration; the settings are ``GRCNSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or the loader draws no negatives.

    Deviations:
        *Routing*: in the release messages of the routing flow to the items alone, so that no
        prototype moves: ``routing: False``, the default. The paper's form is ``routing: True``;
        it pulls the prototypes to their items' features and ranked far worse where these are weak.
        *Confidences* of the release are Xavier normal over all nodes, thousandths of either sign,
        so that IDs hardly propagate at first: ``confidence_init: xavier``. The default is 1.
        *Missing modalities*: an item without a row in m takes no part in the softmax, the content
        and the maximum of m; an edge to an item without any weighs 1 / d_v.
        *Regulariser*: MMRec adds the mean square of the whole table of visual prototypes, here of
        the first of ``modalities`` (``reg_prototypes: first_table``).
        *Projections* start as PyTorch's linear layers; in MMRec their weights are Xavier normal
        (``projection_init: xavier``).
        *Scores* come from the current parameters; the release ranks with the tables of the last
        training step. Its dropout of edges is 0 in all its commands and left out, as are its
        other forms of ``weight_mode`` and ``fusion_mode``.
    """

    settings_class = GRCNSettings
    settings: GRCNSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, n_modalities = self.settings.content_size, len(self.modality_slices)
        self.content = self.projections(size)
        self.prototypes = nn.ParameterList(
            torch.empty(self.n_users, size) for _ in range(n_modalities)
        )
        self.user_confidence = nn.Parameter(torch.empty(self.n_users, n_modalities))
        self.item_confidence = nn.Parameter(torch.empty(self.n_items, n_modalities))
        self.reset()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Xavier normal tables, of users and items together where both have one."""
        xavier = self.settings.projection_init == "xavier"
        if name.endswith("_confidence") and self.settings.confidence_init == "one":
            nn.init.ones_(parameter)
        elif name.endswith("_confidence"):
            xavier_normal(parameter, self.n_users + self.n_items, source)
        elif name.startswith("prototypes."):
            xavier_normal(parameter, self.n_users, source)
        elif name.startswith("content.") and parameter.dim() == 2 and xavier:
            nn.init.xavier_normal_(parameter, generator=source)
        else:
            super().initialize(name, parameter, source)

    def tables(self) -> Sides:
        """Vectors of users and items, width ``k + M content_size``."""
        users, items = zip(*self._blocks(), strict=True)
        return torch.cat(users, dim=1), torch.cat(items, dim=1)

    def content_vectors(self, features: Tensor) -> Tensor:
        """Vectors of unseen items: no ID, and what the features give without interactions."""
        blocks = [features.new_zeros(len(features), self.settings.embedding_size)]
        parts, present = self.unseen_features(features)
        blocks += map(_projected, self.content, parts, present.T)
        return torch.cat(blocks, dim=1)

    def _blocks(self) -> list[Sides]:
        """The parts of z, the IDs' first."""
        content, to_users, to_items = [], [], []
        for m, features in enumerate(self.modality_features()):
            items = _projected(self.content[m], features, self.has_row[:, m])
            users = unit_rows(self.prototypes[m])
            for _ in range(self.settings.n_routings if self.settings.routing else 0):
                scores = self._agreement(m, users, items)
                weights = edge_softmax(self.by_user, scores)
                users = unit_rows(users + propagate_edges(self.by_user, weights, items))
            scores = self._agreement(m, users, items)
            to_users.append(edge_softmax(self.by_user, scores))
            to_items.append(edge_softmax(self.by_item, self.in_item_order(scores)))
            from_items = propagate_edges(self.by_user, to_users[m], items)
            from_users = propagate_edges(self.by_item, to_items[m], users)
            content.append((users + from_items, items + from_users))
        by_user = self._weights(self.by_user, to_users, self.item_confidence)
        by_item = self._weights(self.by_item, to_items, self.user_confidence)
        return [self._propagated_ids(by_user, by_item), *content]

    def _agreement(self, m: int, users: Tensor, items: Tensor) -> Tensor:
        """``<p_u, f_i>`` of every edge, -inf where the item lacks modality m."""
        products = edge_products(self.by_user, users, items)
        return self.without_lacking(self.by_user, m, products)

    def _weights(self, pattern: EdgePattern, attention: list[Tensor], confidence: Tensor) -> Tensor:
        """``w(v <- n)`` of every edge from its attention in each modality."""
        degrees = pattern.row_starts.diff().to(confidence.dtype)
        equal = (1 / degrees).index_select(0, pattern.rows)
        if self.settings.pruning == "none":
            return equal
        lacking = self.lacking(pattern)
        weights = torch.stack(attention, dim=1) * confidence.index_select(0, pattern.columns)
        if lacking is not None:
            weights = weights.masked_fill(lacking, -torch.inf)
        largest = weights.max(dim=1).values
        if self.settings.pruning == "hard":
            largest = largest.relu()
        return largest if lacking is None else torch.where(lacking.all(dim=1), equal, largest)

    def _propagated_ids(self, by_user: Tensor, by_item: Tensor) -> Sides:
        users = user_sum = unit_rows(self.user_embedding.weight)
        items = item_sum = unit_rows(self.item_embedding.weight)
        for _ in range(self.settings.n_layers):
            users, items = (
                propagate_edges(self.by_user, by_user, items),
                propagate_edges(self.by_item, by_item, users),
            )
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum, item_sum

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR of a batch's triples and the regulariser; a scalar."""
        users, positives, negatives = self.triples(interaction)
        blocks = self._blocks()
        user = torch.cat([block[0].index_select(0, users) for block in blocks], dim=1)
        positive, negative = (
            torch.cat([block[1].index_select(0, items) for block in blocks], dim=1)
            for items in (positives, negatives)
        )
        loss = self.bpr(user, positive, negative)
        if self.settings.reg_weight:
            items = torch.cat([positives, negatives])
            penalty = self.user_embedding(users).square().mean()
            penalty = penalty + self.item_embedding(items).square().mean()
            for prototypes in self.prototypes:
                penalty = penalty + prototypes.index_select(0, users).square().mean()
            if self.settings.reg_prototypes == "first_table":
                # Row 0 is padding.
                penalty = penalty + self.prototypes[0][1:].square().mean()
            loss = loss + self.settings.reg_weight * self.note("reg", penalty)
        return loss


def _projected(project: nn.Module, features: Tensor, present: Tensor) -> Tensor:
    """Projected features of length 1, ``[n, c]``; zero for items without a row."""
    rows = unit_rows(F.leaky_relu(project(features)))
    return rows * present.unsqueeze(1)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, the prototypes, and what a step keeps of every edge and node."""
    n_modalities, width = len(sizes.columns), int(settings["content_size"])
    size, nodes = int(settings["embedding_size"]), sizes.users + sizes.items
    routings = int(settings["n_routings"]) if settings["routing"] else 0
    parts = graph_memory(sizes, settings)
    parts["parameters"] += LEARNT * n_modalities * (sizes.users * width + nodes)
    parts["graphs"] += 12 * FLOAT * sizes.interactions
    parts["edges"] = FLOAT * sizes.interactions * n_modalities * (routings + 14)
    tables = n_modalities * width * (3 * routings * sizes.users + 6 * nodes)
    parts["forward pass"] += FLOAT * tables
    parts["batch"] = FLOAT * 6 * int(settings["train_batch_size"]) * (size + n_modalities * width)
    return parts


SPEC = ModelSpec(
    "GRCN",
    GRCN,
    GRCNSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Wei et al., MM '20: graph-refined convolutional network for multimedia recommendation",
    url="https://arxiv.org/abs/2111.02036",
    idea="Affinities of users to the features of their items weigh the interactions over "
    "which the ID embeddings are propagated.",
    ranks_cold_items=True,
)
