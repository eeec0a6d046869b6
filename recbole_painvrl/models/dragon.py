"""DRAGON (Zhou et al., ECAI '23): DualGNN with modalities side by side and an item graph."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.item_graph import ItemGraphNorm
from recbole_painvrl.functional.propagation import Propagation
from recbole_painvrl.models.dualgnn import DualGNN, DualGNNSettings
from recbole_painvrl.models.dualgnn import memory as dualgnn_memory
from recbole_painvrl.models.item_graphs import mixed_graph, modality_weights, warn_of_equal_weights
from recbole_painvrl.models.memory import ENTRY, Sizes
from recbole_painvrl.specs import ModelSpec


class DRAGONSettings(DualGNNSettings):
    """DRAGON."""

    knn_k: int = Field(
        ge=1, description="Neighbours of an item in the item graph, itself included."
    )
    item_graph_norm: ItemGraphNorm = Field(
        description="Normalisation of the item graph: row sums on both sides (out, released), row "
        "and column sums (in_out), or row sums (random_walk)."
    )
    item_layers: int = Field(
        ge=0, description="Layers of propagation over the item graph; 0 for no item graph."
    )
    modality_weights: dict[str, float] | None = Field(
        description="Weight of every modality in the item graph; ~ for equal weights."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        *DualGNNSettings.idle,
        Idle(("knn_k", "item_graph_norm", "modality_weights"), {"item_layers": (0,)}),
    )


class DRAGON(DualGNN):
    """DualGNN whose modalities stand side by side, plus FREEDOM's frozen item graph.

    Hongyu Zhou, Xin Zhou, Lingzi Zhang and Zhiqi Shen, *Enhancing Dyadic Relations with
    Homogeneous Graphs for Multimodal Recommendation*, ECAI '23, arXiv 2301.12097. With u0, X_m, G
    and loss of :class:`recbole_painvrl.models.dualgnn.DualGNN` and the graph S of
    :class:`recbole_painvrl.models.freedom.FREEDOM`::

        u0 = [v_u1 X_1[u], ..., v_uM X_M[u]];   u = u0 + G^user_layers u0
        i0 = [X_1[i], ..., X_M[i]];             i = i0 + S^item_layers i0

    The score is ``<u, i>``, of vectors M k wide.

    Args:
        config: RecBole configuration; the settings are ``DRAGONSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or ``modality_weights`` do not fit.

    Deviations:
        Those of DualGNN, and
        *Weights of modalities* in S are equal unless given; the release has 0.1 for the visual of
        two modalities.
        *Settings* for users' neighbours and layers have an effect; the release has 40 and 1
        whatever its settings say, and reads an item graph of other weights from its cache.
        *Features* are kept; the release makes trainable copies that nothing reads.
    """

    settings_class = DRAGONSettings
    settings: DRAGONSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        s = self.settings
        # Checked also without an item graph.
        modality_weights(list(self.modality_slices), s.modality_weights)
        self.item_graph: Propagation | None = None
        if s.item_layers:
            warn_of_equal_weights(self, config)
            graph = mixed_graph(self, s.knn_k, s.item_graph_norm, s.modality_weights)
            self.item_graph = Propagation(graph).to(self.device)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of users and items, of width M k, or k with ``fusion: sum``."""
        users, items = super().tables()
        if self.item_graph is None:
            return users, items
        smooth = items
        for _ in range(self.settings.item_layers):
            smooth = self.item_graph(smooth)
        return users, items + smooth

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """None with an item graph, which has no row for an item unseen in training."""
        return super().content_vectors(features) if self.item_graph is None else None


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """What DualGNN needs, and one item graph of all modalities."""
    edges = len(sizes.columns) * sizes.items * int(settings["knn_k"])
    return {**dualgnn_memory(sizes, settings), "item graph": ENTRY * edges}


SPEC = ModelSpec(
    "DRAGON",
    DRAGON,
    DRAGONSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Zhou et al., ECAI '23: enhancing dyadic relations with homogeneous graphs",
    url="https://arxiv.org/abs/2301.12097",
    idea="DualGNN with the modalities side by side and FREEDOM's frozen item graph.",
    ranks_cold_items=True,
)
