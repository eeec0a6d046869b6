"""MICRO (Zhang et al., TKDE '22): a learnt item graph per modality, and their contrast."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.contrastive import info_nce
from recbole_painvrl.functional.learnt_graph import Edges, normalise
from recbole_painvrl.functional.modality_attention import QueryAttention, fuse
from recbole_painvrl.models.learnt_graph import (
    LearntGraphRecommender,
    LearntGraphSettings,
    learnt_graph_memory,
)
from recbole_painvrl.models.memory import FLOAT, Sizes
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec

# Multiplications of a contrast above which a step takes some ten seconds on a core.
_MANY_PRODUCTS = 2e11


class MICROSettings(LearntGraphSettings):
    """MICRO."""

    contrastive_weight: float = Field(
        ge=0, description="Weight of the contrast between every modality and their fusion."
    )
    temperature: float = Field(gt=0, description="Temperature of the contrast.")
    contrast_items: Literal["batch", "all"] | Annotated[int, Field(ge=2)] = Field(
        description="Items that are compared in a step: those of the batch, all (released; time "
        "grows with the square of the items), or a number of drawn items."
    )


class MICRO(LearntGraphRecommender):
    """LightGCN plus ID embeddings smoothed over an item graph per modality, fused by attention.

    Jinghao Zhang, Yanqiao Zhu, Qiang Liu, Mengqi Zhang, Shu Wu and Liang Wang, *Latent Structure
    Mining with Contrastive Modality Fusion for Multimedia Recommendation*, TKDE '22, arXiv
    2111.00678. With kNN, lap, the backbone and the refreshing of the graphs as in LATTICE
    (:class:`recbole_painvrl.models.lattice.LATTICE`)::

        S_m = raw_graph_weight lap(kNN(F_m)) + (1 - raw_graph_weight) lap(kNN(F_m W_m + b_m))
        h_m = S_m^item_layers Q
        h   = sum_m alpha_m h_m,   alpha = softmax over an item's modalities of v^T tanh(V h_m + c)
        i   = g + content_scale h / |h|
        loss = BPR(<u, i>) + reg_weight half squared norms of the batch's vectors / B
               + contrastive_weight sum_m NCE(h_m, h)
        NCE(a, z) = mean_i -log( e(a_i, z_i) / (sum_j e(a_i, z_j) + sum_{j != i} e(a_i, a_j)) ),
        e(x, y) = exp(cos(x, y) / temperature)

    Args:
        config: RecBole configuration; the settings are ``MICROSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Contrast*: over the batch's items (``contrast_items: batch``); the release compares all
        items in every step (``all``), which takes time in proportion to the square of their
        number, here without the matrix of all pairs. An item counts in the modalities that it
        has. Where one modality alone has rows, the fusion is itself: there is no contrast.
        *Modalities*: an item without any has no content vector, also with ``item_layers: 0``.
        For gradient, batches, cosines, modalities, features, backbone and penalty see LATTICE.
    """

    settings_class = MICROSettings
    settings: MICROSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, n_modalities = self.settings.embedding_size, len(self.modality_slices)
        self.attention = QueryAttention(size)
        self.n_present = int(self.has_row.any(dim=0).sum())
        # Three products of all items with twice as many vectors.
        products = 6.0 * n_modalities * self.n_items**2 * size
        if self.settings.contrast_items == "all" and products > _MANY_PRODUCTS:
            getLogger("recbole_painvrl").warning(
                "`contrast_items: all` takes %.1g multiplications in every step, as it compares "
                "all %d items; `batch` or a number takes fewer",
                products,
                self.n_items,
            )
        self.start_epoch(0)
        self.reset()

    def start_epoch(self, epoch: int) -> None:
        """Also start the draws of the contrast's items."""
        super().start_epoch(epoch)
        self.contrast_source = generator(self.seed, f"contrast of epoch {epoch}", self.device)

    def graphs(self) -> list[list[Edges]]:
        """One graph per modality."""
        raw = self.settings.raw_graph_weight
        graphs = [[(pattern, raw * values)] for pattern, values in self.raw_edges()]
        if raw < 1:
            for parts, edges in zip(graphs, self.learnt_edges(), strict=True):
                [(pattern, values)] = normalise([edges], self.settings.item_graph_norm)
                parts.append((pattern, (1 - raw) * values))
        return graphs

    def fuse(self, views: Sequence[Tensor], items: Tensor) -> Tensor:
        """Attention over the modalities that an item has."""
        rows = torch.stack([view.index_select(0, items) for view in views])
        return fuse(rows, self.attention(rows), self.has_row[items].T)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR, the penalty and the contrast of a batch's triples; a scalar."""
        views = self.views()
        loss = self.ranking_loss(interaction, views)
        if self.settings.contrastive_weight and self.n_present > 1:
            contrast = self._contrast(views, self._contrasted(interaction))
            loss = loss + self.settings.contrastive_weight * self.note("contrastive", contrast)
        return loss

    def _contrasted(self, interaction: Any) -> Tensor:
        """Distinct items of the contrast in this step, without the padding."""
        chosen = self.settings.contrast_items
        if chosen == "batch":
            _, positives, negatives = self.triples(interaction)
            items: Tensor = torch.cat([positives, negatives]).unique()
            return items
        if chosen == "all":
            return torch.arange(1, self.n_items, device=self.device)
        order = torch.randperm(self.n_items - 1, generator=self.contrast_source, device=self.device)
        return order[:chosen] + 1

    def _contrast(self, views: Sequence[Tensor], items: Tensor) -> Tensor:
        fused, losses = self.fuse(views, items), []
        for m, view in enumerate(views):
            known = self.has_row[items, m]
            if known.any():
                own = view.index_select(0, items[known])
                losses.append(info_nce(own, fused[known], self.settings.temperature))
        return torch.stack(losses).sum() if losses else fused.sum() * 0


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, a graph per modality, and attention and contrast."""
    n_graphs, size = len(sizes.columns), int(settings["embedding_size"])
    parts = learnt_graph_memory(sizes, settings, n_graphs)
    in_batch = 2 * int(settings["train_batch_size"])
    named = {"batch": in_batch, "all": sizes.items}
    compared = named.get(settings["contrast_items"], settings["contrast_items"])
    rows = in_batch + compared
    parts["batch"] += FLOAT * size * n_graphs * (6 * rows + 10 * compared)
    return parts


SPEC = ModelSpec(
    "MICRO",
    MICRO,
    MICROSettings,
    trainer="recbole_painvrl.training.user_batches:SampledUsersTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Zhang et al., TKDE '22: latent structure mining with contrastive modality fusion",
    url="https://arxiv.org/abs/2111.00678",
    idea="LATTICE's graphs one by one, fused by attention, with a contrast between every "
    "modality and the fusion.",
    ranks_cold_items=True,
)
