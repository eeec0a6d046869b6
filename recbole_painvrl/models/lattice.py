"""LATTICE (Zhang et al., MM '21): a learnt item graph over all modalities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.learnt_graph import Edges, normalise
from recbole_painvrl.models.learnt_graph import (
    LearntGraphRecommender,
    LearntGraphSettings,
    learnt_graph_memory,
)
from recbole_painvrl.specs import ModelSpec


class LATTICESettings(LearntGraphSettings):
    """LATTICE."""


class LATTICE(LearntGraphRecommender):
    """LightGCN plus ID embeddings smoothed over one item graph of all modalities.

    Jinghao Zhang, Yanqiao Zhu, Qiang Liu, Shu Wu, Shuhui Wang and Liang Wang, *Mining Latent
    Structures for Multimedia Recommendation*, MM '21, arXiv 2104.09036. kNN(X) keeps the cosines
    of every row with its ``knn_k`` nearest rows, lap(S) = D^-1/2 S D^-1/2 with the row sums D::

        w  = softmax(theta)                            renormalised over an item's modalities
        S  = raw_graph_weight sum_m w_m lap(kNN(F_m))
             + (1 - raw_graph_weight) lap(sum_m w_m kNN(F_m W_m + b_m))
        (u, g) = LightGCN(P, Q) by D^-1 (A + I)               the backbone
        i  = g + content_scale h / |h|,   h = S^item_layers Q
        loss = BPR(<u, i>) + reg_weight half squared norms of the batch's vectors / B

    S is rebuilt at the first step of an epoch, with a gradient by W, b and theta through the kept
    cosines, and is a constant in the other steps; scores have the S of the current parameters.

    Args:
        config: RecBole configuration; the settings are ``LATTICESettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Gradient of the graph*: it exists in one step per epoch. In the release gradients are set
        to zero in the others, so that Adam's momentum moves W, b and theta in every step
        (``graph_gradient: momentum``); here they then have none (``epoch``).
        *No matrix of all pairs*: the release multiplies dense matrices of items by items; here
        only the kept cosines exist, which have the same values and gradients.
        *Batches* are of interactions; those of the release have distinct users with one
        interaction each (``sampling: users``).
        *Cosines below 0* count as 0: row sums below 0 have no square root.
        *Modalities*: any number; the release has two. Weights are renormalised for items that
        lack a modality; an item without any has no content vector (with ``item_layers: 0`` that
        of every item is its embedding).
        *Features* have rows of length 1 and are kept; the release trains the table
        (``train_features``), though not for the graph of the features.
        *Backbone*: LightGCN without weights, matrix factorization or NGCF (``backbone``), whose
        layers are ``e <- dropout(LeakyReLU(V A e) + LeakyReLU(W (e * A e)))``, of length 1.
        *Penalty*: divided by the triples of the batch; in the release by ``train_batch_size``, also
        where a batch has fewer (``reg_divisor``).
    """

    settings_class = LATTICESettings
    settings: LATTICESettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.modality_logits = nn.Parameter(torch.empty(len(self.modality_slices)))
        self.reset()

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Equal weights of the modalities, 0.5 each before the softmax."""
        if name == "modality_logits":
            nn.init.constant_(parameter, 0.5)
        else:
            super().initialize(name, parameter, source)

    def graph_parameters(self) -> Iterator[Tensor]:
        """Also the weights of the modalities."""
        yield from super().graph_parameters()
        yield self.modality_logits

    @property
    def n_graphs(self) -> int:
        """One graph of all modalities."""
        return 1

    def graphs(self) -> list[list[Edges]]:
        """One graph of all modalities."""
        raw = self.settings.raw_graph_weight
        weights = self.modality_logits.softmax(dim=0) * self.has_row
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
        parts = [
            (p, raw * weights[p.rows, m] * values) for m, (p, values) in enumerate(self.raw_edges())
        ]
        if raw < 1:
            learnt = [
                (p, weights[p.rows, m] * cosines)
                for m, (p, cosines) in enumerate(self.learnt_edges())
            ]
            parts += [
                (p, (1 - raw) * values)
                for p, values in normalise(learnt, self.settings.item_graph_norm)
            ]
        return [parts]

    def fuse(self, views: Sequence[Tensor], items: Tensor) -> Tensor:
        """The rows of the one view."""
        return views[0].index_select(0, items)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR and the penalty of a batch's triples; a scalar."""
        return self.ranking_loss(interaction, self.views())


SPEC = ModelSpec(
    "LATTICE",
    LATTICE,
    LATTICESettings,
    trainer="recbole_painvrl.training.user_batches:SampledUsersTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=partial(learnt_graph_memory, n_graphs=1),
    groups=frozenset({"graph"}),
    paper="Zhang et al., MM '21: mining latent structures for multimedia recommendation",
    url="https://arxiv.org/abs/2104.09036",
    idea="An item graph per modality, learnt from projected features and mixed with that "
    "of the raw ones, smooths the ID embeddings.",
    ranks_cold_items=True,
)
