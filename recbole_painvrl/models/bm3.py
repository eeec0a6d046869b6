"""BM3 (Zhou et al., WWW '23): bootstrapped views of users, items and modalities, no negatives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.contrastive import bootstrap_loss
from recbole_painvrl.models.graph_base import GraphRecommender, GraphSettings, graph_memory
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec


class BM3Settings(GraphSettings):
    """BM3."""

    target_dropout: float = Field(ge=0, lt=1, description="Dropout rate of the target views.")
    target_dropout_per: Literal["pair", "row"] = Field(
        description="Draw the dropout for every pair of a batch (pair), or once for every user and "
        "item in it (row), as the release does for its whole tables."
    )
    content_weight: float = Field(ge=0, description="Weight of the losses of the features.")
    reg_weight: float = Field(
        ge=0, description="Weight of the unsquared norms of the whole tables of vectors."
    )
    score_content: float = Field(
        ge=0, description="Weight of the features in an item's vector; 0 scores by IDs alone."
    )

    idle: ClassVar[tuple[Idle, ...]] = (Idle(("target_dropout_per",), {"target_dropout": (0,)}),)


class BM3(GraphRecommender):
    """LightGCN trained to predict views of itself, without negatives.

    Xin Zhou, Hongyu Zhou, Yong Liu, Zhiwei Zeng, Chunyan Miao, Pengwei Wang, Yuan You and Feijun
    Jiang, *Bootstrap Latent Representations for Multi-modal Recommendation*, WWW '23, arXiv
    2207.05969. With a linear predictor C, the gradient stopped at sg and the batch's pairs (u, i)::

        (u, g) = LightGCN(P, Q),   i = g + Q,   e_m = W_m f_m + b_m
        b(x, y) = 1 - mean cos(C x, sg(dropout(y)))
        loss = b(u, i) + b(i, u) + content_weight sum_m (b(e_m, i) + b(e_m, e_m))
               + reg_weight (|U| + |I|) / n_items
        score = <C u, C i + score_content sum_m C e_m>

    U and I are the whole tables of u and i, so that every step reaches all users and items. The
    score takes the lengths of the vectors into account, which the loss leaves to ``reg_weight``.

    Args:
        config: RecBole configuration; the settings are ``BM3Settings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or the loader draws negatives.

    Deviations:
        *Features* have rows of length 1 and are kept; the release trains the table
        (``train_features``) and takes it as it is in the file (``feature_scale``).
        *Modalities*: any number. An item without a modality takes no part in its two losses.
        *Dropout* is drawn for every pair of the batch; the release draws it for the whole tables,
        so that an item which is twice in a batch has the same mask twice
        (``target_dropout_per: row``, drawn for the rows in the batch alone).
        *Norms* leave the padding rows out.
        *The weight of the features* is 2 in the paper, which on dense interactions keeps the model
        near popularity for long; the default is lower.
        *Content* never reaches the score of the paper, which therefore cannot rank an item
        without interactions; ``score_content`` adds it.
    """

    settings_class = BM3Settings
    settings: BM3Settings
    input_type = InputType.POINTWISE
    # Its loss has no negatives and would give every new user nearly the same list.
    folds_in = False

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """Only the losses of the modalities and ``score_content`` do."""
        return bool(config["content_weight"] or config["score_content"])

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size = self.settings.embedding_size
        self.predictor = nn.Linear(size, size)
        self.content = self.projections(size)
        self.start_epoch(0)
        self.reset()

    def start_epoch(self, epoch: int) -> None:
        """Begin this epoch's sequence of dropout masks."""
        self.dropout_source = generator(self.seed, f"dropout of epoch {epoch}", self.device)

    def initialize(self, name: str, parameter: Tensor, source: torch.Generator) -> None:
        """Draw one parameter; weights of linear layers are Xavier normal."""
        if name.startswith(("predictor", "content")) and name.endswith("weight"):
            nn.init.xavier_normal_(parameter, generator=source)
        else:
            super().initialize(name, parameter, source)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The loss of a batch's pairs; a scalar."""
        s, items = self.settings, interaction[self.ITEM_ID]
        user_table, item_table = self._representations()
        users = interaction[self.USER_ID]
        user, item = user_table[users], item_table[items]
        user_target, item_target = self._target(user, users), self._target(item, items)
        pairs = bootstrap_loss(self.predictor(user), item_target)
        pairs = pairs + bootstrap_loss(self.predictor(item), user_target)
        loss = self.note("L_pairs", pairs)
        if s.content_weight:
            content = self._content_loss(items, item_target)
            loss = loss + s.content_weight * self.note("L_content", content)
        norms = torch.linalg.vector_norm(user_table[1:]) + torch.linalg.vector_norm(item_table[1:])
        return loss + s.reg_weight * self.note("reg", norms / (self.n_items - 1))

    def _content_loss(self, items: Tensor, item_target: Tensor) -> Tensor:
        distinct, inverse = items.unique(return_inverse=True)
        total = torch.zeros((), device=self.device)
        present = self.has_row[items].T
        for project, features, known in zip(
            self.content, self.modality_features(distinct), present, strict=True
        ):
            content = project(features)
            predicted = self.predictor(content)[inverse]
            total = total + bootstrap_loss(predicted, item_target, known)
            total = total + bootstrap_loss(predicted, self._target(content[inverse], items), known)
        return total

    def _target(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """A view of rows ``[B]`` of a table, ``[B, k]``, without gradient.

        Cosines are the same with and without dropout's rescaling.
        """
        s, (n, size), source = self.settings, vectors.shape, self.dropout_source
        if s.target_dropout_per == "row":
            distinct, rows = rows.unique(return_inverse=True)
            n = len(distinct)
        kept = torch.rand(n, size, generator=source, device=vectors.device) >= s.target_dropout
        return vectors.detach() * (kept[rows] if s.target_dropout_per == "row" else kept)

    def _representations(self) -> tuple[Tensor, Tensor]:
        users, items = self.propagate_ids()
        return users, items + self.item_embedding.weight

    def tables(self) -> tuple[Tensor, Tensor]:
        """``C u`` of all users and ``C i``, with the features' part, of all items."""
        users, items = (self.predictor(table) for table in self._representations())
        if self.settings.score_content:
            items = items + self._scored_content(list(self.modality_features()), self.has_row)
        return users, items

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """Vectors of items with a zero ID vector; None without ``score_content``."""
        if not self.settings.score_content:
            return None
        return self.predictor.bias + self._scored_content(*self.unseen_features(features))

    def _scored_content(self, parts: list[Tensor], present: Tensor) -> Tensor:
        """``score_content sum_m C e_m`` over the modalities that an item has, ``[n, k]``."""
        vectors = [
            self.predictor(project(part)) * known.unsqueeze(1)
            for project, part, known in zip(self.content, parts, present.T, strict=True)
        ]
        return self.settings.score_content * torch.stack(vectors).sum(dim=0)


SPEC = ModelSpec(
    "BM3",
    BM3,
    BM3Settings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=graph_memory,
    groups=frozenset({"graph"}),
    paper="Zhou et al., WWW '23: bootstrap latent representations for multi-modal recommendation",
    url="https://arxiv.org/abs/2207.05969",
    idea="No negatives: a predictor recovers the other side of an interaction and the "
    "item's modalities from targets with dropout.",
)
