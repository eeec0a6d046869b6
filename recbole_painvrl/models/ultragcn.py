"""UltraGCN (Mao et al., CIKM '21) with any number of modalities, or none."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.gate import invariant
from recbole_painvrl.functional.graph import degree_factors, item_neighbours
from recbole_painvrl.functional.ultragcn import (
    Distinct,
    GraphWeights,
    UltraGCNWeights,
    batch_loss,
)
from recbole_painvrl.models.backbone import BackboneSettings
from recbole_painvrl.models.base import TableRecommender, binary_interactions
from recbole_painvrl.models.memory import FLOAT, LEARNT, Sizes
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import Sharding, UserShard
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec


class UltraGCNSettings(BackboneSettings):
    """UltraGCN with its release's weights."""

    w1: float = Field(ge=0, description="Constant weight of a positive.")
    w2: float = Field(ge=0, description="Weight of beta_ui (Eq. 6) for a positive.")
    w3: float = Field(ge=0, description="Constant weight of a negative.")
    w4: float = Field(ge=0, description="Weight of beta_uj (Eq. 6) for a negative.")
    negative_weight: float = Field(
        ge=0, description="Weight of the mean over the negatives of a positive."
    )
    item_item_weight: float = Field(ge=0, description="Weight of the item-item loss L_I (Eq. 7).")

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("n_neighbours", "item_graph"), {"item_item_weight": (0,)}),
        Idle(("content_embedding_size", "projection_reg_weight"), {"modalities": ([],)}),
    )

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of the loss."""
        return UltraGCNWeights(
            self.w1, self.w2, self.w3, self.w4, self.negative_weight, self.item_item_weight
        )


# Optimisers of RecBole whose weight decay is the gradient of an L2 term.
_COUPLED = ("adam", "sgd", "adagrad", "rmsprop")

# Above this fraction of the catalogue, copying the features of the batch's items costs more than
# it saves. With so many draws per item nearly all items occur, so distinct ones are not counted.
_MOST_ITEMS, _SURELY_ALL = 0.6, 4


USER_TABLES = ("user_id_embedding.weight", "user_content_embedding.weight")


class UltraGCN(TableRecommender):
    """Score ``<p^t_u, t_i> + <p^f_u, W f_i + b>`` (Eq. 15) under the UltraGCN loss (Eq. 3 to 8).

    ``modalities: []`` is UltraGCN as published, ID-only. With modalities it is the backbone and
    the final model of PaInvRL and InvRL.

    Args:
        config: RecBole configuration; the settings are ``UltraGCNSettings``.
        dataset: the training dataset; its ``features`` are used if it has any.

    Deviations:
        The release and InvRL add the L2 norm of the whole tables to every batch; here it is the
        optimiser's coupled weight decay (``parameter_groups``), whose gradient is the same.
        ``negative_sampling: shared`` scores the batch against one set of uniform negatives;
        ``per_positive`` is the release's draw. The padding item is never drawn.
    """

    input_type = InputType.POINTWISE
    settings_class: type[BackboneSettings] = UltraGCNSettings
    settings: BackboneSettings
    mask: Tensor
    # See training/row_gradients.py.
    row_gradients = True
    sharding = Sharding(USER_TABLES, "sum", {"negative_sampling": "shared"})

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        if config["learner"] not in _COUPLED or config["weight_decay"]:
            raise UserError(
                f"`learner: {config['learner']}`, `weight_decay: {config['weight_decay']}`: the L2 "
                f"weights of {type(self).__name__} are the optimiser's coupled weight decay; use "
                f"one of {', '.join(_COUPLED)}, and `embedding_reg_weight` for `weight_decay`"
            )
        self.weights = self.settings.loss_weights()
        # No batch has more rows than the data.
        self.batch_size = min(int(config["train_batch_size"]), len(dataset))
        self.graph = self._graph(dataset)
        self.has_content = bool(self.modality_slices)
        width = self.features.shape[1]
        self.register_buffer("mask", torch.ones(width, device=self.device))
        self.user_id_embedding = nn.Embedding(self.shard.n_rows, self.settings.embedding_size)
        self.item_id_embedding = nn.Embedding(self.n_items, self.settings.embedding_size)
        if self.has_content:
            size = self.settings.content_embedding_size
            self.user_content_embedding = nn.Embedding(self.shard.n_rows, size)
            self.projection = nn.Linear(width, size)
        self.negatives = NegativeSampler(
            self.n_items,
            self.settings.n_negatives,
            self.settings.negative_sampling,
            generator(self.seed, "negatives", self.device),
            self._keys(dataset) if self.settings.exclude_positives else None,
        )
        self._masked: Tensor | None = None
        self._drawn: Tensor | None = None
        self.reset("initial values")

    def _graph(self, dataset: Dataset) -> GraphWeights:
        """The graph's tables of all items and of the users of this process."""

        def tables() -> list[Tensor]:
            matrix = binary_interactions(dataset)
            degrees = (torch.from_numpy(matrix.getnnz(axis=a).astype("int64")) for a in (1, 0))
            size = self.settings.n_neighbours if self.weights.item_item else 0
            neighbours = item_neighbours(matrix, size, self.settings.item_graph)
            return [*degree_factors(*degrees), *neighbours]

        users, *items = group.tensors_from_first(tables)
        return GraphWeights(self.shard.rows(users), *items).to(self.device)

    def _keys(self, dataset: Dataset) -> Tensor:
        pairs = binary_interactions(dataset).nonzero()
        users, items = (torch.from_numpy(part).long() for part in pairs)
        return sorted_keys(users, items, self.n_items).to(self.device)

    def reset(self, purpose: str) -> None:
        """Fresh parameters, N(0, init_std^2) with bias 0, from the generator of ``purpose``."""
        source = generator(self.seed, purpose)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                else:
                    rows = self.shard if name in USER_TABLES else UserShard.whole(len(parameter))
                    values = rows.normal(parameter.shape[1], source)
                    parameter.copy_(self.settings.init_std * values)
        self.forget_tables()

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """``<0, W (m (.) f) + b>``, ``[n, D]``: only training could give an id vector."""
        if not self.has_content:
            return None
        ids = self.item_id_embedding.weight
        content = self.projection(invariant(features, self.mask))
        return torch.cat([ids.new_zeros(len(features), ids.shape[1]), content], dim=1)

    def user_objective(self) -> tuple[UltraGCNWeights, GraphWeights]:
        """Weights of Eq. 6 and 8 and the item graph, by which a new user is folded in."""
        return self.weights, self.graph

    def set_mask(self, mask: Tensor) -> None:
        """Put a mask ``[d]`` on the features: the content becomes ``Phi = m (.) f`` (Eq. 24)."""
        with torch.no_grad():
            self.mask.copy_(mask)
        self.forget_tables()

    def forget_tables(self) -> None:
        """Forget the masked features, too."""
        super().forget_tables()
        self._masked = None

    def parameter_groups(
        self, embedding_reg_weight: float | None = None, projection_reg_weight: float | None = None
    ) -> list[dict[str, Any]]:
        """Users' tables, item ids, W, with L2 as coupled weight decay (``d/dp w p^2 = 2 w p``).

        With ``reg_per: interaction`` a row decays as often as it is a positive, on average:
        B / n_users or B / n_items times a step, and W B times. Decay then weighs the same against
        the data whatever the batch size, the number of rows and the interactions of each, but for
        the smaller last batch of an epoch, which counts as a full one.
        """
        s = self.settings
        if embedding_reg_weight is None:
            embedding_reg_weight = s.embedding_reg_weight
        if projection_reg_weight is None:
            projection_reg_weight = s.projection_reg_weight

        def part(parameters: list[Tensor], weight: float, rows: int) -> dict[str, Any]:
            times = 1.0 if s.reg_per == "step" else self.batch_size / rows
            return {"params": parameters, "weight_decay": 2 * weight * times}

        users = [self.user_id_embedding.weight]
        if self.has_content:
            users.append(self.user_content_embedding.weight)
        groups = [
            part(users, embedding_reg_weight, self.n_users - 1),
            part([self.item_id_embedding.weight], embedding_reg_weight, self.n_items - 1),
        ]
        if self.has_content:
            groups.append(part([*self.projection.parameters()], projection_reg_weight, 1))
        return groups

    def content(self) -> Tensor:
        """Phi of Eq. 24 for the current mask, ``[n_items, d]``."""
        if self._masked is None:
            self._masked = invariant(self.features, self.mask)
        return self._masked

    def user_vectors(self, users: Tensor) -> Tensor:
        """``[p^t, p^f]`` of the users, ``[B, D]``."""
        ids: Tensor = self.user_id_embedding(users)
        if not self.has_content:
            return ids
        return torch.cat([ids, self.user_content_embedding(users)], dim=1)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """``[t, W Phi + b]`` of the items, or of all of them, ``[n, D]``."""
        table: Tensor = self.item_id_embedding.weight
        ids = table if items is None else table.index_select(0, items)
        if not self.has_content:
            return ids
        content = self.content() if items is None else self.content().index_select(0, items)
        return torch.cat([ids, self.projection(content)], dim=1)

    def tables(self) -> tuple[Tensor, Tensor]:
        """``[p^t, p^f]`` of all users of the shard and ``[t, W Phi + b]`` of all items."""
        everybody = torch.arange(self.shard.n_rows, device=self.device)
        return self.user_vectors(everybody), self.item_vectors()

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Eq. 3 on the batch's positives, summed, a scalar; negatives are drawn here."""
        users, positives = self.shard.local(interaction[self.USER_ID]), interaction[self.ITEM_ID]
        table, graph, positives, negatives = self._local(positives, self._negatives(users))
        own = Distinct.of(users)
        batch = self.user_vectors(own.values), table, own, positives, negatives, graph
        if self.noted is not None:
            for term, weights in self.weights.terms().items():
                self.note(term, batch_loss(*batch, weights))
        return batch_loss(*batch, self.weights)

    def _negatives(self, users: Tensor) -> Tensor:
        """A new draw; the last one again if the loss is recomputed to name its non-finite terms."""
        if self.noted is None or self._drawn is None:
            self._drawn = self.negatives.draw(users)
        return self._drawn

    def _local(
        self, positives: Tensor, negatives: Tensor
    ) -> tuple[Tensor, GraphWeights, Tensor, Tensor]:
        """Project only the batch's items where that is less than the catalogue (exact)."""
        has_graph = self.graph.neighbours.shape[1] > 0
        n_drawn = positives.numel() * (1 + self.graph.neighbours.shape[1]) + negatives.numel()
        whole = self.graph, positives, negatives
        if not self.has_content or n_drawn >= _SURELY_ALL * self.n_items:
            return self.item_vectors(), *whole
        groups = [positives, negatives.reshape(-1)]
        if has_graph:
            groups.append(self.graph.neighbours[positives].reshape(-1))
        items, inverse = torch.unique(torch.cat(groups), return_inverse=True)
        if len(items) > _MOST_ITEMS * self.n_items:
            return self.item_vectors(), *whole
        local_positives, local_negatives, *rest = inverse.split([len(one) for one in groups])
        neighbours, weight = self.graph.neighbours[:0], self.graph.neighbour_weight[:0]
        if has_graph:
            size = self.graph.neighbours.shape[1]
            neighbours = torch.zeros(len(items), size, dtype=torch.long, device=items.device)
            neighbours[local_positives] = rest[0].view(-1, size)
            weight = self.graph.neighbour_weight[items]
        graph = GraphWeights(
            self.graph.user_factor, self.graph.item_factor[items], neighbours, weight
        )
        return self.item_vectors(items), graph, local_positives, local_negatives.view_as(negatives)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The batch's vectors, the parameters and a masked copy of the features."""
    size = settings["embedding_size"]
    content = settings["content_embedding_size"] if sizes.width else 0
    batch, negatives = settings["train_batch_size"], settings["n_negatives"]
    n_learnt = sizes.users * (size + content) + sizes.items * size + sizes.width * content
    vectors = 1 if settings["negative_sampling"] == "shared" else size + content
    neighbours = settings["n_neighbours"] * (size + content)
    # Scores, losses and gradients of the negatives (shared or per pair), neighbours' vectors.
    own = batch * (6 * negatives * vectors + 3 * neighbours)
    projected = min(sizes.items, batch * (1 + settings["n_neighbours"]) + batch * negatives)
    return {
        "parameters": n_learnt * LEARNT,
        # Phi = m (.) f beside f.
        "features": sizes.items * sizes.width * FLOAT,
        "batch": FLOAT * (own + projected * 3 * (size + content)),
    }


SPEC = ModelSpec(
    "UltraGCN",
    UltraGCN,
    UltraGCNSettings,
    own_generators=frozenset({"initial values", "negatives"}),
    memory=memory,
    colour=2,
    groups=frozenset({"paper", "graph"}),
    paper="Mao et al., CIKM '21: UltraGCN",
    url="https://arxiv.org/abs/2110.15114",
    idea="The limit of infinitely many propagation layers as constraints in the loss; "
    "here with a projection of the features.",
    ranks_cold_items=True,
)
