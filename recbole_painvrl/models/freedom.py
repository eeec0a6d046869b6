"""FREEDOM (Zhou and Shen, MM '23): a frozen item graph and a pruned interaction graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.edges import sample_edges
from recbole_painvrl.functional.item_graph import ItemGraphNorm
from recbole_painvrl.functional.pairwise import bpr_loss
from recbole_painvrl.functional.propagation import Propagation, interaction_matrices, layer_mean
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.models.item_graphs import mixed_graph, warn_of_equal_weights
from recbole_painvrl.models.memory import Sizes
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec


class FREEDOMSettings(GraphSettings):
    """FREEDOM."""

    knn_k: int = Field(
        ge=1, description="Neighbours of an item in the item graph, itself included."
    )
    item_graph_norm: ItemGraphNorm = Field(
        description="Normalisation of the item graph: row sums on both sides (out, released), row "
        "and column sums (in_out), or row sums (random_walk)."
    )
    item_layers: int = Field(ge=0, description="Layers of propagation over the item graph.")
    modality_weights: dict[str, float] | None = Field(
        description="Weight of every modality in the item graph; ~ for equal weights."
    )
    pruned_fraction: float = Field(
        ge=0, lt=1, description="Fraction of the interactions left out of the graph in an epoch."
    )
    content_weight: float = Field(
        ge=0, description="Weight of the ranking loss of the projected features."
    )
    zero_cold_ids: bool = Field(
        description="Set the ID embeddings of items without interactions to zero."
    )


class FREEDOM(GraphRecommender):
    """LightGCN on a graph pruned anew every epoch, plus ID embeddings smoothed over a kNN graph.

    Xin Zhou and Zhiqi Shen, *A Tale of Two Graphs: Freezing and Denoising Graph Structures for
    Multimodal Recommendation*, MM '23, arXiv 2211.06924. S is the mean over modalities of the
    graphs of the ``knn_k`` nearest items by cosine, built once::

        (u, g) = LightGCN(P, Q)        over the pruned graph in training, over the whole in scoring
        i = g + S^item_layers Q
        loss = BPR(<u, i>) + content_weight sum_m BPR(<u, W_m f_m + b_m>)

    At the start of an epoch ``floor(|R| (1 - pruned_fraction))`` interactions are drawn without
    replacement, with probabilities proportional to ``1 / sqrt(d_u d_i)``; the degrees of the
    normalisation are those of the drawn interactions.

    Args:
        config: RecBole configuration; the settings are ``FREEDOMSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or ``modality_weights`` do not fit.

    Deviations:
        *Normalisation*: the paper prints a symmetric one, the released code divides by the row
        sums of both ends, which for equal numbers of neighbours is a row mean
        (``item_graph_norm: out``, the default).
        *Features* have rows of length 1, which leaves the graphs as they are, and are kept; the
        release trains the table (``train_features``).
        *Modalities*: any number. The release has two, with weights 0.1 and 0.9; here weights are
        equal unless given, and renormalised for items that lack a modality.
        *Sampling* has no limit of 2^24 interactions, as ``torch.multinomial`` of the release has.
        The projections are computed for the items of a batch, not for all (same values).
        *Negatives* are RecBole's: uniform over all items that the user does not have in training;
        the release draws among the items of the training set.
    """

    settings_class = FREEDOMSettings
    settings: FREEDOMSettings

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """Only the item graph and the loss of the projected features do."""
        return bool(config["item_layers"] or config["content_weight"])

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        s = self.settings
        warn_of_equal_weights(self, config)
        graph = mixed_graph(self, s.knn_k, s.item_graph_norm, s.modality_weights)
        self.item_graph = Propagation(graph).to(self.device)
        self.content = self.projections(s.embedding_size)
        degrees = self.interactions.getnnz(axis=0)
        self.register_buffer("warm", torch.from_numpy(degrees > 0).float(), persistent=False)
        self._pruned = (self.to_users, self.to_items)
        self.reset()

    def start_epoch(self, epoch: int) -> None:
        """Draw the interactions of this epoch's graph."""
        if not self.settings.pruned_fraction:
            return
        matrix = self.interactions.tocoo()
        by_user = self.interactions.getnnz(axis=1)[matrix.row]
        by_item = self.interactions.getnnz(axis=0)[matrix.col]
        weights = torch.from_numpy(1 / np.sqrt(by_user * by_item.astype(np.float64)))
        # Rounding errors must not take one away: 10 * (1 - 0.8) is below 2.
        n_kept = int(matrix.nnz * (1 - self.settings.pruned_fraction) + 1e-6)
        kept = sample_edges(weights, n_kept, generator(self.seed, f"pruning of epoch {epoch}"))
        rows, columns = matrix.row[kept], matrix.col[kept]
        pruned = sp.csr_matrix((np.ones(n_kept), (rows, columns)), shape=matrix.shape)
        to_users = Propagation(interaction_matrices(pruned, "symmetric")[0]).to(self.device)
        self._pruned = (to_users, to_users.transpose())

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of users and items over the graph of all interactions."""
        return self._representations(self.to_users, self.to_items)

    def _representations(
        self, to_users: Propagation, to_items: Propagation
    ) -> tuple[Tensor, Tensor]:
        ids = self.item_embedding.weight
        if self.settings.zero_cold_ids:
            ids = ids * self.warm.unsqueeze(1)
        users, items = layer_mean(
            self.user_embedding.weight, ids, to_users, to_items, self.settings.n_layers
        )
        for _ in range(self.settings.item_layers):
            ids = self.item_graph(ids)
        return users, items + ids

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR of the vectors and of the projected features of a batch's triples; a scalar."""
        users, positives, negatives = self.triples(interaction)
        user_table, item_table = self._representations(*self._pruned)
        user = user_table[users]
        loss = self.bpr(user, item_table[positives], item_table[negatives])
        if self.settings.content_weight:
            content = torch.zeros((), device=self.device)
            for m, features in enumerate(self.modality_features()):
                # Triples of which an item lacks the modality say nothing about it.
                known = self.has_row[positives, m] & self.has_row[negatives, m]
                if not bool(known.any()):
                    continue
                positive, negative = (
                    self.content[m](features[items[known]]) for items in (positives, negatives)
                )
                scores = [(user[known] * side).sum(dim=1) for side in (positive, negative)]
                content = content + bpr_loss(*scores)
            loss = loss + self.settings.content_weight * self.note("L_content", content)
        return loss


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts and one item graph of all modalities."""
    return graph_memory(sizes, settings, n_graphs=len(sizes.columns))


SPEC = ModelSpec(
    "FREEDOM",
    FREEDOM,
    FREEDOMSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Zhou and Shen, MM '23: a tale of two graphs, freezing and denoising graph structures",
    url="https://arxiv.org/abs/2211.06924",
    idea="A frozen item graph of nearest neighbours by features, and an interaction "
    "graph pruned anew every epoch.",
    ranks_cold_items=True,
)
