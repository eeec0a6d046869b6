"""MMSSL (Wei et al., WWW '23) with any number of modalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.contrastive import info_nce
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.functional.modality_attention import fuse_modalities
from recbole_painvrl.functional.pairwise import square_penalty
from recbole_painvrl.functional.propagation import Propagation, interaction_matrices
from recbole_painvrl.models.base import PairwiseRecommender, binary_interactions, require_modalities
from recbole_painvrl.models.mmssl.graphs import LearntGraphs
from recbole_painvrl.models.mmssl.memory import memory
from recbole_painvrl.models.mmssl.settings import MMSSLSettings
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec

# In a batch, for the discriminator.
_LEAST_USERS = 2


@dataclass(frozen=True)
class Views:
    """What one forward pass gives.

    Attributes:
        users: final vectors of all users, ``[n_users, k]``.
        items: final vectors of all items, ``[n_items, k]``.
        user_content: U_r of every modality.
        item_content: I_r of every modality.
        user_ids: G_r Q of every modality.
    """

    users: Tensor
    items: Tensor
    user_content: list[Tensor]
    item_content: list[Tensor]
    user_ids: list[Tensor]


class MMSSL(PairwiseRecommender):
    """Modalities over the interaction graph, ids over graphs learnt per modality, and a GCN.

    With ``A = D_u^-1/2 R``, ``A' = D_i^-1/2 R^T``, id tables P (users) and Q (items), and for
    every modality r features F_r and a learnt graph G_r (``LearntGraphs``)::

        X_r = dropout(F_r W_r + b_r);  U_r = A X_r;  I_r = A' U_r        content
        u~  = attention over modalities of G_r Q;  i~ of G_r^T P         ids (normalised as A, A')
        u^0 = P + 0.36 normalise(u~);  i^0 = Q + 0.36 normalise(i~)
        u^l = A i^{l-1};  i^l = A' u^l                                   GCN
        u   = mean_l u^l + 0.55 sum_r normalise(U_r);  i likewise

    The score is ``<u, i>``. An item without training interactions has ``I_r = 0``: its features
    have no part in its score. This class has the loss without the adversary: BPR, half squared
    norms of the batch's vectors and of the content, and the contrast of G_r Q with u.
    ``MMSSLTrainer`` adds the discriminator and refreshes the graphs.

    Args:
        config: RecBole configuration; the settings are ``MMSSLSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, batches are too small for the discriminator, or
            mixed precision is asked for, which two optimisers do not share.

    Deviations:
        *Learnt graphs*: as released they are empty from the third step on, and stay so
        (``graph_update_every: 0``; where the catalogue has 10,000 items or more, the release has
        one step per epoch with the rows of one batch, which is left out). The default collects
        the top k of every batch and refreshes every few steps, k >= 1. The newest top k of a
        user counts, where the release would add up repeated draws; users not drawn keep their
        row (``graph_carry_over``), where it would forget them.
        *Attention*: as released it is an identity (``attention: identity``); the default weighs
        the modalities against one another, which the code's queries and keys are meant for.
        *Last layer*: the release puts it through a softmax (``last_layer_softmax``); the
        default does not.
        *Scaling* is the release's, by rows alone, and ``graph_norm`` offers others; rows then grow
        with the degree, which only the release's softmax bounds.
        *Discriminator*: the release's has no nonlinearity (``discriminator_slope: 1``); the
        default is LeakyReLU's usual 0.01. Its width is the catalogue's in the release; here at
        most ``discriminator_columns`` items, drawn once. The real rows enter once, not once per
        modality; both steps share one forward pass, hence one dropout mask.
        *Released*: ``preset: released`` sets all that has a setting; what has none (repeated
        draws, real rows per modality, a second forward pass) is not offered.
        *Negatives* avoid the user's training items, one per positive; ``train_neg_sample_args``
        has no effect, since a batch is made of distinct users and not of interactions.
        *Biases* of W_r start at 0. Two modalities in the release, any number here.
    """

    settings_class = MMSSLSettings
    settings: MMSSLSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "every graph is learnt from one")
        s = self.settings
        matrix = binary_interactions(dataset)
        self.interactions = matrix.astype("float32")
        self._check_batches(config)
        to_users, to_items = interaction_matrices(self.interactions, s.graph_norm)
        self.to_users = Propagation(to_users).to(self.device)
        self.to_items = Propagation(to_items).to(self.device)
        self.n_neighbours = max(1, int((self.n_items - 1) * s.graph_share))
        self.graphs = LearntGraphs(
            self.interactions,
            len(self.modality_slices),
            self.n_neighbours,
            s.graph_carry_over,
            s.graph_norm,
            (self.to_users, self.to_items),
        )
        size = s.embedding_size
        self.user_id_embedding = nn.Embedding(self.n_users, size)
        self.item_id_embedding = nn.Embedding(self.n_items, size)
        self.projections = nn.ModuleList(
            nn.Linear(part.stop - part.start, size) for part in self.modality_slices.values()
        )
        self.merge = nn.Parameter(torch.empty(s.n_heads * size, size))
        # Without a choice between modalities these would never get a gradient.
        weighs = s.attention == "modalities" and len(self.modality_slices) > 1
        shape = (size, size) if weighs else (0, 0)
        self.query = nn.Parameter(torch.empty(shape), requires_grad=weighs)
        self.key = nn.Parameter(torch.empty(shape), requires_grad=weighs)
        self.dropout_source = generator(self.seed, "dropout", self.device)
        self.reset()

    def _check_batches(self, config: ConfigLike) -> None:
        """Refuse what the trainer cannot train, before there is a run folder."""
        if config["enable_amp"]:
            raise UserError("`enable_amp`: found True, expected False: MMSSL has two optimisers")
        n_users = int((self.interactions.getnnz(axis=1) > 0).sum())
        size = min(config["train_batch_size"], n_users)
        if self.settings.adversarial_weight and size < _LEAST_USERS:
            raise UserError(
                f"`train_batch_size`: batches have {size} user, but MMSSL's discriminator needs at "
                f"least {_LEAST_USERS} users in a batch; raise it, or set `adversarial_weight: 0`"
            )

    def reset(self) -> None:
        """Fresh parameters: Xavier uniform, biases 0."""
        source = generator(self.seed, "initial values")
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif parameter.numel():
                    nn.init.xavier_uniform_(parameter, generator=source)
        self.forget_tables()

    def tables(self) -> tuple[Tensor, Tensor]:
        """Final vectors of users ``[n_users, k]`` and items ``[n_items, k]``, without dropout."""
        views = self.propagate(0.0)
        return views.users, views.items

    def propagate(self, rate: float) -> Views:
        """One forward pass over the whole graph with dropout of the projected features."""
        user_content, item_content, user_ids, item_ids = [], [], [], []
        user_table, item_table = self.user_id_embedding.weight, self.item_id_embedding.weight
        for number, (projection, part) in enumerate(
            zip(self.projections, self.modality_slices.values(), strict=True)
        ):
            content = dropout(projection(self.features[:, part]), rate, self.dropout_source)
            user_content.append(self.to_users(content))
            item_content.append(self.to_items(user_content[-1]))
            user_ids.append(self.graphs.to_users[number](item_table))
            item_ids.append(self.graphs.to_items[number](user_table))
        users, items = self._layers(
            user_table + self._residual(user_ids), item_table + self._residual(item_ids)
        )
        weight = self.settings.modality_residual_weight
        for user_part, item_part in zip(user_content, item_content, strict=True):
            users = users + weight * F.normalize(user_part)
            items = items + weight * F.normalize(item_part)
        return Views(users, items, user_content, item_content, user_ids)

    def _residual(self, views: list[Tensor]) -> Tensor:
        """``0.36 normalise(attention over modalities)`` of id vectors, ``[n, k]``."""
        s = self.settings
        fused = fuse_modalities(
            torch.stack(views), self.query, self.key, self.merge, s.n_heads, s.attention
        )
        weight: float = s.id_residual_weight
        return weight * F.normalize(fused)

    def _layers(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over the GCN's layers, the start included."""
        s = self.settings
        user_sum, item_sum = users, items
        for layer in range(1, s.n_layers + 1):
            users = self.to_users(items)
            if s.last_layer_softmax and layer == s.n_layers:
                users = users.softmax(dim=1)
                items = self.to_items(users).softmax(dim=1)
            else:
                items = self.to_items(users)
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum / (s.n_layers + 1), item_sum / (s.n_layers + 1)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The loss of a batch of triples without the adversary, a scalar."""
        rate = self.settings.modality_dropout if self.training else 0.0
        return self.ranking_loss(self.propagate(rate), *self.triples(interaction))

    def ranking_loss(
        self, views: Views, users: Tensor, positives: Tensor, negatives: Tensor
    ) -> Tensor:
        """BPR, the two regularisers and the contrastive loss of triples ``[B]``."""
        s = self.settings
        user, liked, other = views.users[users], views.items[positives], views.items[negatives]
        loss = self.bpr(user, liked, other)
        penalty = self.note("reg", square_penalty(user, liked, other))
        loss = loss + s.embedding_reg_weight * penalty
        squares = [part.square().sum() for part in (*views.user_content, *views.item_content)]
        content = torch.stack(squares).sum() / (2 * (self.n_items - 1))
        loss = loss + s.feature_reg_weight * self.note("feature reg", content)
        if s.contrastive_weight:
            contrast = [
                info_nce(ids[users], user, s.contrastive_temperature) for ids in views.user_ids
            ]
            contrastive = self.note("contrastive", torch.stack(contrast).sum())
            loss = loss + s.contrastive_weight * contrastive
        return loss


def _purposes(_: int) -> list[str]:
    parts = ("columns", "initial values", "noise")
    return ["dropout", *(f"discriminator {part}" for part in parts)]


SPEC = ModelSpec(
    "MMSSL",
    MMSSL,
    MMSSLSettings,
    trainer="recbole_painvrl.models.mmssl.trainer:MMSSLTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values", "shuffling", "negatives"}),
    purposes=_purposes,
    memory=memory,
    colour=6,
    groups=frozenset({"paper", "graph"}),
    paper="Wei et al., WWW '23: MMSSL, multi-modal self-supervised learning",
    url="https://arxiv.org/abs/2302.10632",
    idea="Adversarially learnt interaction graphs per modality and a contrast between "
    "modalities and IDs.",
)
