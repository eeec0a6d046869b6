"""VBPR (He and McAuley, AAAI '16) with any number of modalities, or none."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle, Settings
from recbole_painvrl.functional.pairwise import norm_penalty, square_penalty
from recbole_painvrl.models.base import PairwiseRecommender
from recbole_painvrl.models.memory import FLOAT, LEARNT, Sizes
from recbole_painvrl.parallel.shards import Sharding
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec


class VBPRSettings(Settings):
    """VBPR, MMRec's form and the original."""

    embedding_size: int = Field(ge=1, description="Width of the id vectors p_u and t_i.")
    content_embedding_size: int = Field(
        ge=1, description="Width of the users' content embeddings and of the projected features."
    )
    form: Literal["original", "mmrec"] = Field(
        description="Item bias and content bias beta' (the paper), or a bias on the "
        "projection alone (MMRec)."
    )
    feature_scale: float = Field(
        gt=0, description="Factor on the features, whose rows have length 1."
    )
    regularizer: Literal["squared", "norm"] = Field(
        description="Half the squared norms of a batch's parameters (the paper), or the unsquared "
        "norms of its vectors, content embeddings included (MMRec)."
    )
    reg_weight: float = Field(ge=0, description="Weight of the regulariser of the batch.")
    projection_reg_weight: float = Field(
        ge=0, description="Weight of half the squared norm of E and beta', every step."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(
            ("content_embedding_size", "feature_scale", "projection_reg_weight"),
            {"modalities": ([],)},
        ),
    )


class VBPR(PairwiseRecommender):
    """Matrix factorisation by BPR with a second factor that is projected from the features.

    ``form: original`` (the paper's Eq. 4 without the biases that no ranking depends on)::

        s_ui = <p_u, t_i> + <theta_u, E f_i> + b_i + <beta', f_i>

    ``form: mmrec`` (MMRec's VBPR)::

        s_ui = <p_u, t_i> + <theta_u, E f_i + b>

    Loss (Eq. 7): ``mean -log sigma(s_ui - s_uj)`` over a batch's triples, plus

    * ``regularizer: squared``, half the squares of the triple's own parameters p_u, theta_u, t_i,
      t_j, b_i, b_j, meaned over the batch;
    * ``regularizer: norm`` (MMRec), the unsquared norms of the batch's three matrices
      ``[p_u, theta_u]``, ``[t_i, E f_i]``, ``[t_j, E f_j]`` (and their bias column), over B.

    f is all modalities side by side. ``modalities: []`` leaves BPR-MF on ids, with the item bias
    in the original form.

    Args:
        config: RecBole configuration; the settings are ``VBPRSettings``.
        dataset: the training dataset; its ``features`` are used if it has any.

    Raises:
        UserError: ``train_neg_sample_args`` draws no negatives.

    Deviations:
        *Features* have rows of length 1 per modality, because the plugin's datasets give them so;
        MMRec and the paper project them as they are in the file. The length decides how fast the
        content is learnt: ``feature_scale`` sets it, one for all items.
        *Negatives* are RecBole's: uniform over all items that the user does not have in training;
        MMRec draws from the items that training has seen.
        *The paper* and MMRec leave E and beta' without a weight of their own
        (``projection_reg_weight: 0``); then features rank worse than ids alone, so the default
        has one. The paper trains by SGD, here the optimiser is ``learner``. Cornac regularises
        the negative's bias at a tenth of the positive's, here both are equal.
        *Initial values* are MMRec's in both forms: tables Xavier uniform, E Xavier normal, biases
        zero. MMRec's code has a dropout of rate 0; there is none here.
    """

    settings_class = VBPRSettings
    settings: VBPRSettings
    # See training/row_gradients.py.
    row_gradients = True
    sharding = Sharding(("user_embedding.weight",), "mean", {"regularizer": "squared"})

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        s = self.settings
        width = self.features.shape[1]
        self.has_content = width > 0
        self.has_bias = s.form == "original"
        user_width = s.embedding_size + (s.content_embedding_size if self.has_content else 0)
        self.user_embedding = nn.Embedding(self.shard.n_rows, user_width)
        self.item_embedding = nn.Embedding(self.n_items, s.embedding_size)
        if self.has_content:
            bias = s.form == "mmrec"
            self.projection = nn.Linear(width, s.content_embedding_size, bias=bias)
        if self.has_bias:
            self.item_bias = nn.Parameter(torch.zeros(self.n_items))
            self.content_bias = nn.Parameter(torch.zeros(width))
        self.reset()

    def reset(self) -> None:
        """Fresh parameters from the run's seed."""
        source = generator(self.seed, "initial values")
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif name.startswith("projection"):
                    nn.init.xavier_normal_(parameter, generator=source)
                elif name in self.sharding.user_tables and not self.shard.is_whole:
                    parameter.copy_(self._user_rows(parameter.shape[1], source))
                else:
                    nn.init.xavier_uniform_(parameter, generator=source)
        self.forget_tables()

    def _user_rows(self, width: int, source: torch.Generator) -> Tensor:
        """Xavier uniform values for all users, of which the rows of this process are kept."""
        bound = math.sqrt(3.0) * math.sqrt(2.0 / (self.n_users + width))
        return self.shard.drawn(
            lambda n: torch.empty(n, width).uniform_(-bound, bound, generator=source), width
        )

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """``[t_i, E f_i]`` of the items, or of all, with ``b_i + <beta', f_i>`` as last column."""
        table = self.item_embedding
        columns: list[Tensor] = [table.weight if items is None else table(items)]
        features = self.settings.feature_scale * (
            self.features if items is None else self.features[items]
        )
        if self.has_content:
            columns.append(self.projection(features))
        if self.has_bias:
            bias = self.item_bias if items is None else self.item_bias[items]
            columns.append((bias + features @ self.content_bias)[:, None])
        return torch.cat(columns, dim=1)

    def user_vectors(self, users: Tensor | None = None) -> Tensor:
        """``[p_u, theta_u]`` of the users, or of all."""
        vectors: Tensor = (
            self.user_embedding.weight if users is None else self.user_embedding(users)
        )
        return vectors

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """``<0, E f + b>`` with ``<beta', f>``, ``[n, D]``; no id vector and bias of an item."""
        if not self.has_content:
            return None
        ids = self.item_embedding.weight
        scaled = self.settings.feature_scale * features
        columns = [ids.new_zeros(len(features), ids.shape[1]), self.projection(scaled)]
        if self.has_bias:
            columns.append((scaled @ self.content_bias)[:, None])
        return torch.cat(columns, dim=1)

    def tables(self) -> tuple[Tensor, Tensor]:
        """``[n_users, D]``, with a column of ones for the items' bias, and ``[n_items, D]``."""
        return self._with_ones(self.user_vectors()), self.item_vectors()

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Eq. 7 on the batch's triples, a scalar."""
        users, positives, negatives = self.triples(interaction)
        user_vectors = self.user_vectors(users)
        items = torch.cat([positives, negatives])
        if len(items) < self.n_items:
            drawn = self.item_vectors(items)
        else:
            # The catalogue is the smaller matrix to project.
            drawn = self.item_vectors()[items]
        liked, other = drawn.split(len(positives))
        loss = self.bpr(self._with_ones(user_vectors), liked, other)
        return loss + self.note("reg", self._penalty(user_vectors, liked, other, items))

    def _penalty(self, users: Tensor, liked: Tensor, other: Tensor, items: Tensor) -> Tensor:
        s = self.settings
        if s.regularizer == "norm":
            penalty = norm_penalty(users, liked, other)
        else:
            own = [users, *self.item_embedding(items).split(len(users))]
            if self.has_bias:
                own += self.item_bias[items].split(len(users))
            penalty = square_penalty(*own)
        loss: Tensor = s.reg_weight * penalty
        if s.projection_reg_weight and self.has_content:
            weights = [self.projection.weight]
            if self.has_bias:
                weights.append(self.content_bias)
            squares = sum(weight.square().sum() for weight in weights)
            loss = loss + s.projection_reg_weight / 2 * squares
        return loss

    def _with_ones(self, users: Tensor) -> Tensor:
        if not self.has_bias:
            return users
        return torch.cat([users, users.new_ones(len(users), 1)], dim=1)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Parameters and the vectors of a batch."""
    size, content = settings["embedding_size"], settings["content_embedding_size"]
    content = content if sizes.width else 0
    n_learnt = sizes.users * (size + content) + sizes.items * size + sizes.width * content
    rows = min(2 * settings["train_batch_size"], sizes.items)
    vectors = 8 * (2 * settings["train_batch_size"] + rows) * (size + content)
    return {
        "parameters": n_learnt * LEARNT,
        "batch": FLOAT * (vectors + 2 * rows * sizes.width),
    }


SPEC = ModelSpec(
    "VBPR",
    VBPR,
    VBPRSettings,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    colour=4,
    groups=frozenset({"paper"}),
    paper="He and McAuley, AAAI '16: VBPR, visual Bayesian personalized ranking",
    url="https://arxiv.org/abs/1510.01784",
    idea="Matrix factorization by BPR with a second factor projected from the features.",
    ranks_cold_items=True,
)
