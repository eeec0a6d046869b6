"""What LATTICE and MICRO share: item graphs learnt from projected features, once an epoch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.functional.edges import EdgePattern
from recbole_painvrl.functional.item_graph import ItemGraphNorm
from recbole_painvrl.functional.learnt_graph import Edges, kept_cosines, merged, multiply, normalise
from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.functional.pairwise import square_penalty
from recbole_painvrl.functional.propagation import (
    Propagation,
    layer_mean,
    ngcf_mean,
    self_loop_matrices,
)
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.models.item_graphs import item_neighbours_by_features
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes
from recbole_painvrl.seeds import generator

Graph = Callable[[Tensor], Tensor]


class LearntGraphSettings(GraphSettings):
    """Settings of LATTICE and MICRO."""

    backbone: Literal["lightgcn", "ngcf", "mf"] = Field(
        description="Model of the ID embeddings: LightGCN, NGCF, or none (mf: lightgcn with no "
        "layers)."
    )
    backbone_dropout: float = Field(ge=0, lt=1, description="Dropout after each layer of ngcf.")
    backbone_operator: Literal["mean_self", "symmetric"] = Field(
        description="Propagation of the backbone: D^-1 (A + I), as released, or D^-1/2 A D^-1/2."
    )
    item_layers: int = Field(ge=0, description="Layers of propagation over the item graphs.")
    knn_k: int = Field(ge=1, description="Neighbours of an item in an item graph, itself included.")
    item_graph_norm: ItemGraphNorm = Field(
        description="Normalisation of the item graphs: row sums on both sides (out, released), row "
        "and column sums (in_out), or row sums (random_walk)."
    )
    raw_graph_weight: float = Field(
        ge=0, le=1, description="Weight of the graph of the features; the rest is learnt."
    )
    content_scale: float = Field(
        gt=0, description="Length of the content vector that is added to an item's ID vector."
    )
    refresh_every: int = Field(ge=1, description="Epochs between two searches for neighbours.")
    graph_gradient: Literal["epoch", "momentum"] = Field(
        description="Parameters of the graphs move in the first step of an epoch, which alone has "
        "their gradient, or in every step by Adam's momentum (released)."
    )
    sampling: Literal["interactions", "users"] = Field(
        description="Batches of interactions, or of distinct users with one interaction each."
    )
    reg_weight: float = Field(ge=0, description="Weight of the squared norm of a batch's vectors.")
    reg_divisor: Literal["batch", "train_batch_size"] = Field(
        description="Divide that norm by the triples of the batch, or by train_batch_size "
        "(released), also in a smaller batch."
    )
    lr_decay: float = Field(gt=0, le=1, description="Factor on learning_rate in 50 epochs.")

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("backbone_dropout",), {"backbone": ("lightgcn", "mf")}),
        Idle(("backbone_operator", "n_layers"), {"backbone": ("mf",)}),
    )


class LearntGraphRecommender(GraphRecommender):
    """LightGCN plus ID embeddings smoothed over item graphs that are learnt.

    A graph is rebuilt at the first step of an epoch, where its kept cosines have a gradient, and
    is a constant in the other steps. Scores have the graphs of the current parameters.

    Args:
        config: RecBole configuration; the settings are a subclass of
            :class:`LearntGraphSettings`.
        dataset: the training dataset, with at least one modality.

    Attributes:
        kept_edges: with ``refresh_every`` above 1, edges of the constant graphs ``[3, E]`` (graph,
            row, column), for a checkpoint; else None.
        kept_values: their values, ``[E]``.

    Raises:
        UserError: the dataset has no modality.
    """

    settings_class: type[LearntGraphSettings]
    settings: LearntGraphSettings
    user_factors: Tensor
    item_factors: Tensor

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """Only the item graphs do; without layers over them every view is the ID embeddings."""
        return bool(config["item_layers"])

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        s = self.settings
        if s.backbone_operator == "mean_self":
            to_users, to_items, by_user, by_item = self_loop_matrices(self.interactions)
            self.to_users = Propagation(to_users).to(self.device)
            self.to_items = Propagation(to_items).to(self.device)
            self.register_buffer("user_factors", by_user.to(self.device), persistent=False)
            self.register_buffer("item_factors", by_item.to(self.device), persistent=False)
        size, n_layers = s.embedding_size, s.n_layers if s.backbone == "ngcf" else 0
        self.own_layers = nn.ModuleList(nn.Linear(size, size) for _ in range(n_layers))
        self.product_layers = nn.ModuleList(nn.Linear(size, size) for _ in range(n_layers))
        self.dropout_source = generator(self.seed, "backbone of epoch 0", self.device)
        self.batch_size = int(config["train_batch_size"])
        self.content = self.projections(size)
        self.raw_patterns = nn.ModuleList()
        for m, (name, columns) in enumerate(self.modality_slices.items()):
            indices, _ = item_neighbours_by_features(self, name, s.knn_k)
            edges = kept_cosines(self.features[:, columns], indices)
            [(pattern, values)] = normalise([edges], s.item_graph_norm)
            self.raw_patterns.append(pattern)
            self.register_buffer(f"raw_values_{m}", values, persistent=False)
        self.kept_edges: Tensor | None = None
        self.kept_values: Tensor | None = None
        self._constant: Sequence[Graph] = ()
        self._keeps_graphs = False
        self._found: list[tuple[Tensor, Tensor]] = []

    @property
    def n_graphs(self) -> int:
        """Number of item graphs: one per modality."""
        return len(self.modality_slices)

    def graphs(self) -> list[list[Edges]]:
        """The item graphs of the current parameters, each a sum of matrices; differentiable."""
        raise NotImplementedError

    def fuse(self, views: Sequence[Tensor], items: Tensor) -> Tensor:
        """Content vectors h of items ``[r]`` from S Q of every graph, all rows; ``[r, k]``."""
        raise NotImplementedError

    def graph_parameters(self) -> Iterator[Tensor]:
        """Parameters whose gradient comes through the graphs only."""
        yield from self.content.parameters()
        if self.feature_table is not None:
            yield self.feature_table

    def raw_edges(self) -> list[Edges]:
        """lap(kNN(F_m)): the normalised graph of the features of every modality."""
        return [
            (cast(EdgePattern, pattern), self.get_buffer(f"raw_values_{m}"))
            for m, pattern in enumerate(self.raw_patterns)
        ]

    def learnt_edges(self) -> list[Edges]:
        """kNN(F_m W_m + b_m): cosines of projected features with their neighbours, found here."""
        edges, found = [], []
        for m, features in enumerate(self.modality_features()):
            rows = self.content[m](features)
            # Equal rows occur: an epoch begins with the parameters of the evaluation before it.
            known = self._found[m : m + 1]
            if not known or not torch.equal(known[0][0], rows):
                k = self.settings.knn_k
                known = [(rows.detach(), nearest_rows(rows.detach(), self.has_row[:, m], k)[0])]
            edges.append(kept_cosines(rows, known[0][1]))
            found += known
        self._found = found
        return edges

    def start_epoch(self, epoch: int) -> None:
        """Keep the graphs of an earlier epoch, or let the first step rebuild them.

        Also begins this epoch's sequence of dropout masks.
        """
        self.dropout_source = generator(self.seed, f"backbone of epoch {epoch}", self.device)
        self._keeps_graphs = epoch % self.settings.refresh_every > 0

    def train(self, mode: bool = True) -> Any:
        """Switch mode; in training the constant graphs are dropped, unless this epoch keeps them.

        RecBole's loop calls it before the first step of every epoch.
        """
        if mode and not self._keeps_graphs:
            self._constant, self.kept_edges, self.kept_values = (), None, None
        return super().train(mode)

    def views(self) -> list[Tensor]:
        """S Q of the graphs of this step, with a gradient by the graphs if they are new."""
        if not self._constant and self.kept_edges is None:
            graphs = self.graphs()
            matrices = [merged(parts) for parts in graphs]
            self._constant = self._constants(matrices)
            if self.settings.refresh_every > 1:
                self._keep(matrices)
            return self._smooth([functools.partial(multiply, parts) for parts in graphs])
        if not self._constant:
            self._constant = self._constants(self._kept())
        return self._smooth(self._constant)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of users and items, with the graphs of the current parameters."""
        views = self._smooth([functools.partial(multiply, parts) for parts in self.graphs()])
        users, items = self._collaborative()
        return users, self._add_content(
            items, views, torch.arange(self.n_items, device=self.device)
        )

    def ranking_loss(self, interaction: Any, views: Sequence[Tensor]) -> Tensor:
        """BPR and the penalty of a batch's triples; a scalar."""
        users, positives, negatives = self.triples(interaction)
        user_table, item_table = self._collaborative(self.settings.backbone_dropout)
        items = torch.cat([positives, negatives])
        user = user_table.index_select(0, users)
        positive, negative = self._add_content(item_table, views, items).chunk(2)
        loss = self.bpr(user, positive, negative)
        penalty = square_penalty(user, positive, negative)
        if self.settings.reg_divisor == "train_batch_size":
            penalty = penalty * (len(users) / self.batch_size)
        loss = loss + self.settings.reg_weight * self.note("reg", penalty)
        if self.settings.graph_gradient == "momentum":
            # A gradient of 0 instead of none, so that Adam's momentum goes on moving them.
            loss = loss + 0.0 * torch.stack([p.sum() for p in self.graph_parameters()]).sum()
        return loss

    def _collaborative(self, rate: float = 0.0) -> tuple[Tensor, Tensor]:
        """Vectors of the backbone, with dropout at a rate where it has any."""
        users, items = self.user_embedding.weight, self.item_embedding.weight
        n_layers = 0 if self.settings.backbone == "mf" else self.settings.n_layers
        factors = None
        if self.settings.backbone_operator == "mean_self":
            factors = self.user_factors, self.item_factors
        if self.settings.backbone == "ngcf":
            layers = [*zip(self.own_layers, self.product_layers, strict=True)]
            drop = functools.partial(dropout, rate=rate, source=self.dropout_source)
            return ngcf_mean(users, items, self.to_users, self.to_items, factors, layers, drop)
        return layer_mean(
            users, items, self.to_users, self.to_items, n_layers, self_factors=factors
        )

    def _smooth(self, graphs: Sequence[Graph]) -> list[Tensor]:
        views = [self.item_embedding.weight] * len(graphs)
        for _ in range(self.settings.item_layers):
            views = [graph(view) for graph, view in zip(graphs, views, strict=True)]
        return views

    def _add_content(self, table: Tensor, views: Sequence[Tensor], items: Tensor) -> Tensor:
        content = F.normalize(self.fuse(views, items))
        return table.index_select(0, items) + self.settings.content_scale * content

    def _constants(self, matrices: Sequence[sp.csr_matrix]) -> list[Graph]:
        like = self.item_embedding.weight
        return [Propagation(matrix).to(like.device, like.dtype) for matrix in matrices]

    def _keep(self, matrices: Sequence[sp.csr_matrix]) -> None:
        edges = [matrix.tocoo() for matrix in matrices]
        where = [[np.full(one.nnz, g), one.row, one.col] for g, one in enumerate(edges)]
        self.kept_edges = torch.from_numpy(np.concatenate(where, axis=1).astype(np.int32))
        self.kept_values = torch.from_numpy(np.concatenate([one.data for one in edges]))

    def _kept(self) -> list[sp.csr_matrix]:
        assert self.kept_edges is not None and self.kept_values is not None
        graph, rows, columns = self.kept_edges.cpu().numpy()
        values, shape = self.kept_values.cpu().numpy(), (self.n_items, self.n_items)
        chosen = [graph == g for g in range(self.n_graphs)]
        return [sp.csr_matrix((values[c], (rows[c], columns[c])), shape=shape) for c in chosen]


def learnt_graph_memory(sizes: Sizes, settings: ConfigLike, n_graphs: int) -> dict[str, int]:
    """Bytes of the common parts of LATTICE and MICRO.

    Args:
        sizes: of the data.
        settings: of the model.
        n_graphs: constant graphs.
    """
    parts = graph_memory(sizes, settings)
    n_modalities, table = len(sizes.columns), FLOAT * sizes.items * int(settings["embedding_size"])
    edges = n_modalities * sizes.items * int(settings["knn_k"])
    # A pattern has three indices and some four numbers per edge; the raw ones stay.
    parts["graphs"] += ENTRY * (sizes.interactions + 2 * edges) + 2 * (24 + 4 * FLOAT) * edges
    # Projected features, with gradients, where the graphs are rebuilt.
    parts["forward pass"] += (8 * n_modalities + 3 * n_graphs) * table
    if settings["backbone"] == "ngcf":
        nodes, size = sizes.users + sizes.items, int(settings["embedding_size"])
        parts["forward pass"] += 9 * FLOAT * nodes * size * int(settings["n_layers"])
    return parts
