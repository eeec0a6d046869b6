"""LGMRec (Guo et al., AAAI '24): local graph vectors plus those of a few learnt hyperedges."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.hypergraph import (
    hyperedge_vectors,
    hypergraph_contrast,
    memberships,
)
from recbole_painvrl.functional.pairwise import norm_penalty
from recbole_painvrl.functional.propagation import Propagation, interaction_matrices
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec

# The batch for which `contrastive_weight` is that of the released sum over a batch.
_RELEASED_BATCH = 2048

# Of users and of items.
Pair = tuple[Tensor, Tensor]
# Memberships H of users [n_users, a] and items [n_items, a]; vectors of the hyperedges t [a, k].
Hypergraph = tuple[Pair, Tensor]


class LGMRecSettings(GraphSettings):
    """LGMRec."""

    content_layers: int = Field(
        ge=0, description="Layers of propagation of the projected features."
    )
    local_weight: float = Field(
        ge=0, description="Weight of the unit vectors of the propagated features (released: 1)."
    )
    n_hyperedges: int = Field(ge=1, description="Hyperedges of every modality.")
    hyper_layers: int = Field(ge=1, description="Rounds of propagation over the hyperedges.")
    hyperedge_dropout: float = Field(
        ge=0, lt=1, description="Dropout of the memberships in hyperedges."
    )
    global_weight: float = Field(ge=0, description="Weight of the hypergraphs' unit vectors.")
    user_logits: Literal["sum", "mean"] = Field(
        description="A user's logits are the sum (released) or the mean of those of its items."
    )
    gumbel_eval: bool = Field(
        description="Draw Gumbel noise in evaluation, too (released), the same in each."
    )
    temperature: float = Field(
        gt=0, description="Divisor of the logits of memberships and of the contrast's cosines."
    )
    contrastive_weight: float = Field(
        ge=0, description="Weight of the contrast, of a sum over 2048 triples."
    )
    reg_weight: float = Field(ge=0, description="Weight of the norms of a batch's vectors.")


class LGMRec(GraphRecommender):
    """LightGCN plus propagated features (local) and what learnt hyperedges give (global).

    Zhiqiang Guo, Jianjun Li, Guohui Li, Chaoyang Wang, Si Shi and Bin Ruan, *LGMRec: Local and
    Global Graph Learning for Multimodal Recommendation*, AAAI '24, arXiv 2312.16400. With A
    LightGCN's matrix of users and items, R the interactions, ``n(x) = x / |x|`` and D a dropout::

        c = LightGCN(P, Q)
        g_m = A^content_layers [D_u^-1 R F_m W_m ; F_m W_m]
        Hi_m = softmax((F_m V_m + Gumbel) / temperature)      items in hyperedges
        Hu_m = softmax((R F_m V_m + Gumbel) / temperature)    users
        x = c of items; hyper_layers times:  t_m = D(Hi_m)^T x,  x = D(Hi_m) t_m
        G_m = [D(Hu_m) t_m ; D(Hi_m) t_m]
        z = c + local_weight sum_m n(g_m) + global_weight n(sum_m G_m),   score = <z_u, z_i>
        loss = BPR(z) + reg_weight (|z_u| + |z_i+| + |z_i-|) / B
               + contrastive_weight 2048 sum_(m < m') NCE(G_m, G_m')

    with norms over the batch's rows. NCE is the InfoNCE of the batch's users among all users plus
    that of its positive items among all items. Noise and dropout are for training alone.

    Args:
        config: RecBole configuration; the settings are ``LGMRecSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Defaults*: the paper has ``local_weight`` 1, whose unit vectors cannot shrink where
        features say nothing, and a contrast of 1e-4; ``preset=released`` has both.
        *Evaluation*: the release draws Gumbel noise there, too, so that its scores are random and
        its epochs chosen by them. ``gumbel_eval`` does, with the same noise at each evaluation.
        *Contrast*: the release adds it up over a batch, so that its weight grows with the batch;
        here it is 2048 times the mean. With one modality there is none; the release fails.
        *Features* have rows of length 1 where the release has longer ones; F_m V_m multiplies them
        by the root of the number of columns, since the noise would hide the logits else.
        *Modalities*: any number; an item without a row is equally in all hyperedges.
        *Computation*: features are propagated once, before W_m; hyperedges need no vectors of all
        nodes (:mod:`recbole_painvrl.functional.hypergraph`); same values.
        *Negatives* are RecBole's: uniform over all items that the user does not have in training;
        the release draws among the items of the training set.
    """

    settings_class = LGMRecSettings
    settings: LGMRecSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        mean, _ = interaction_matrices(self.interactions, "mean")
        self.mean_of_items = Propagation(mean).to(self.device)
        degrees = torch.from_numpy(self.interactions.getnnz(axis=1)).float().unsqueeze(1)
        self.register_buffer("degrees", degrees.to(self.device), persistent=False)
        self.content = self.projections(self.settings.embedding_size, bias=False)
        self.hyperedges = self.projections(self.settings.n_hyperedges, bias=False)
        self.start_epoch(0)
        self.reset()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Xavier uniform, all of them."""
        nn.init.xavier_uniform_(parameter, generator=source)

    def start_epoch(self, epoch: int) -> None:
        """Begin this epoch's sequence of Gumbel noise and dropout."""
        self.noise = generator(self.seed, f"hyperedges of epoch {epoch}", self.device)

    def forget_tables(self) -> None:
        """Drop what was computed from parameters or features that may have changed."""
        super().forget_tables()
        self._spread: Pair | None = None

    def tables(self) -> Pair:
        """Vectors z of users ``[n_users, k]`` and of items ``[n_items, k]``."""
        ids, noise, everybody = self.propagate_ids(), None, slice(None)
        if self.settings.gumbel_eval:
            noise = generator(self.seed, "hyperedges of evaluation", self.device)
        graphs = self._hypergraphs(ids[1], noise, 0.0)
        return self._vectors(0, everybody, ids, graphs), self._vectors(1, everybody, ids, graphs)

    def _vectors(
        self, side: int, rows: Tensor | slice, ids: Pair, graphs: list[Hypergraph]
    ) -> Tensor:
        """Vectors z of some users (side 0) or items (side 1)."""
        total, features = ids[side][rows], self._propagated_features()[side][rows]
        for project, columns in zip(self.content, self.modality_slices.values(), strict=True):
            content = F.normalize(project(features[:, columns]))
            total = total + self.settings.local_weight * content
        by_hyperedges = torch.stack([members[side][rows] @ t for members, t in graphs]).sum(dim=0)
        return total + self.settings.global_weight * F.normalize(by_hyperedges)

    def _propagated_features(self) -> Pair:
        """``A^content_layers [D_u^-1 R F ; F]`` of all modalities, before the projections W_m."""
        if self._spread is not None:
            return self._spread
        items = self.feature_rows()
        widths = [columns.stop - columns.start for columns in self.modality_slices.values()]
        repeats = torch.tensor(widths, device=self.device)
        items = items * self.has_row.repeat_interleave(repeats, dim=1)
        users = self.mean_of_items(items)
        for _ in range(self.settings.content_layers):
            users, items = self.to_users(items), self.to_items(users)
        if self.feature_table is None:
            self._spread = users, items
        return users, items

    def _hypergraphs(
        self, items: Tensor, noise: torch.Generator | None, rate: float
    ) -> list[Hypergraph]:
        """The hypergraph of every modality; x is c of items."""
        s, members = self.settings, []
        for m, features in enumerate(self.modality_features()):
            # Rows of length 1 become rows of entries of about 1.
            by_item = self.hyperedges[m](features) * features.shape[1] ** 0.5
            by_item = by_item * self.has_row[:, m].unsqueeze(1)
            by_user = self.mean_of_items(by_item)
            if s.user_logits == "sum":
                by_user = by_user * self.degrees
            of_users = memberships(by_user, s.temperature, noise, rate)
            members.append((of_users, memberships(by_item, s.temperature, noise, rate)))
        vectors = hyperedge_vectors([of_items for _, of_items in members], items, s.hyper_layers)
        return list(zip(members, vectors, strict=True))

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR, penalty and contrast of a batch's triples; a scalar."""
        s, ids = self.settings, self.propagate_ids()
        users, positives, negatives = self.triples(interaction)
        graphs = self._hypergraphs(ids[1], self.noise, s.hyperedge_dropout)
        # Row by row: once for every distinct user and item.
        rows, user_at = users.unique(return_inverse=True)
        user = self._vectors(0, rows, ids, graphs)[user_at]
        rows, item_at = torch.cat([positives, negatives]).unique(return_inverse=True)
        positive, negative = self._vectors(1, rows, ids, graphs)[item_at].split(len(users))
        loss = self.bpr(user, positive, negative)
        penalty = norm_penalty(user, positive, negative)
        loss = loss + s.reg_weight * self.note("L_reg", penalty)
        if s.contrastive_weight and len(graphs) > 1:
            contrast = self.note("L_contrast", self._contrast(graphs, users, positives))
            loss = loss + s.contrastive_weight * _RELEASED_BATCH * contrast
        return loss

    def _contrast(self, graphs: list[Hypergraph], users: Tensor, items: Tensor) -> Tensor:
        """InfoNCE of all pairs of modalities, of the users and the items of a batch."""
        total = torch.zeros((), device=self.device)
        for side, nodes in enumerate((users, items)):
            rows, counts = nodes.unique(return_counts=True)
            for (one, t_one), (other, t_other) in combinations(graphs, 2):
                views = (one[side], t_one), (other[side], t_other)
                total = total + hypergraph_contrast(*views, rows, self.settings.temperature, counts)
        return total


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, the propagated features and the hyperedges with their gradients."""
    nodes, n_modalities = sizes.users + sizes.items, len(sizes.columns)
    parts = graph_memory(sizes, settings)
    parts["graphs"] += ENTRY * sizes.interactions
    rows = nodes + 3 * int(settings["train_batch_size"])
    return parts | {
        "propagated features": FLOAT
        * (2 if settings["train_features"] else 1)
        * rows
        * sizes.width,
        "hyperedges": FLOAT * 12 * nodes * int(settings["n_hyperedges"]) * n_modalities,
    }


SPEC = ModelSpec(
    "LGMRec",
    LGMRec,
    LGMRecSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Guo et al., AAAI '24: local and global graph learning for multimodal recommendation",
    url="https://arxiv.org/abs/2312.16400",
    idea="Interactions and modalities propagated apart, plus learnt hyperedges to which "
    "users and items belong in part.",
    ranks_cold_items=True,
)
