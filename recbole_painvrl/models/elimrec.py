"""EliMRec (Liu et al., MM '22): what single modalities say of an average item, subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.pairwise import bpr_loss
from recbole_painvrl.functional.precision import full_precision
from recbole_painvrl.models.graph_base import GraphSettings
from recbole_painvrl.models.late_fusion import LateFusionRecommender, late_fusion_memory
from recbole_painvrl.models.memory import FLOAT, LEARNT, Sizes
from recbole_painvrl.specs import ModelSpec

# Scores computed at a time.
_BLOCK = 2**22


class EliMRecSettings(GraphSettings):
    """EliMRec."""

    modality_loss_weight: float = Field(
        ge=0, description="Weight of the ranking losses of the single modalities."
    )
    score: Literal["TIE", "TE", "plain"] = Field(
        description="Score pairs by the total indirect effect (the paper), by the total effect, or "
        "by the product of the fused vectors (plain)."
    )
    score_fusion: Literal["product", "hm", "sum"] = Field(
        description="How TIE and TE join the fused score and the cosines of the modalities: by a "
        "product (released), or by the release's options hm and sum, of logarithms. No effect on "
        "plain."
    )

    idle: ClassVar[tuple[Idle, ...]] = (Idle(("score_fusion",), {"score": ("plain",)}),)


class EliMRec(LateFusionRecommender):
    """Fused and single-modality rankings in training, their causal difference in scoring.

    Xiaohao Liu, Zhulin Tao, Jiahong Shao, Lifang Yang and Xianglin Huang, *EliMRec: Eliminating
    Single-modal Bias in Multimedia Recommendation*, MM '22. With the vectors u, i and the views
    u_m, i_m of :class:`recbole_painvrl.models.late_fusion.LateFusionRecommender`, a linear layer
    D_m per modality, and ``cb(x, y, z) = mean log(1 + exp(cos(x, z) - cos(x, y)))`` of users,
    positives and negatives::

        loss = cb(u, i, j) + modality_loss_weight * sum_m cb(D_m u_m, D_m i_m, D_m j_m)
        g_ui = sigma(<u, i>);   z_ui = prod_m sigma(cos(D_m u_m, D_m i_m))
        TE:  g_ui z_ui;         TIE: (g_ui - mean_j g_uj) z_ui;         plain: <u, i>

    The mean is over all items. With ``score_fusion`` hm and sum, and the cosines c_m above::

        f(g) = log(p / (1 + p)),  p = sigma(g) prod_m sigma(c_m)            hm
        f(g) = log sigma(g + sum_m c_m)                                     sum
        TE:  f(g_ui);           TIE: f(g_ui) - f(mean_j g_uj)

    An item without a row of modality m has the cosine 0, and with it the neutral factor 1/2.
    The optimiser's ``weight_decay`` is the only regulariser. Scores of TIE and TE are no products
    of two vectors: ``export`` has no embeddings, and ``recommend`` no new users.

    Args:
        config: RecBole configuration; the settings are ``EliMRecSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Missing modality*: its factor is 1/2, that of a cosine of 0, for every user. Without it an
        item would rank above others for lacking a modality, since every factor is below 1.
        *Score*: the sigmoid around the effect is left out, which changes no ranking. The tables
        are those of the current parameters; the release's are of the last training step.
        *Fusion* of the scores by ``score_fusion: hm`` or ``sum``, which the release has as options,
        leaves its 1e-12 inside the logarithms out. That of the vectors is by concatenation; the
        release also has their mean, as an option that none of its commands sets.
        *Modalities*: any number, where the release branches on the name of the data set.
    """

    settings_class = EliMRecSettings
    settings: EliMRecSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size = self.settings.embedding_size
        self.heads = nn.ModuleList(nn.Linear(size, size) for _ in self.modality_slices)
        self.scores_are_products = self.settings.score == "plain"
        self.reset()

    def tables(self) -> tuple[Tensor, Tensor]:
        """``[u, D_1 u_1, ..., D_M u_M]`` and the same of items, the D_m of length 1.

        ``[n, (M + 1) k]``, and ``[n, k]`` with ``score: plain``.
        """
        user_views, item_views = self.views()
        users, items = [self.user_fusion(user_views)], [self.item_fusion(item_views)]
        if not self.scores_are_products:
            for m, head in enumerate(self.heads):
                users.append(F.normalize(head(user_views[m + 1])))
                # Zeros have cosine 0 and factor 1/2.
                present = self.has_row[:, m, None]
                items.append(F.normalize(head(item_views[m + 1])) * present)
        return torch.cat(users, dim=1), torch.cat(items, dim=1)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of users with all items, ``[B * n_items]``."""
        if self.scores_are_products:
            return super().full_sort_predict(interaction)
        users, items = self._evaluation_tables()
        size = self.settings.embedding_size
        of_items = items.split(size, dim=1)
        blocks = []
        for block in users[interaction[self.USER_ID]].split(self._users_per_block()):
            first, *cosines = (
                user @ item.T for user, item in zip(block.split(size, dim=1), of_items, strict=True)
            )
            average = first.sigmoid_()[:, 1:].mean(dim=1, keepdim=True)
            if self.settings.score_fusion != "product":
                blocks.append(self._effect_of_logarithms(first, average, cosines))
                continue
            if self.settings.score == "TIE":
                first -= average
            for cosine in cosines:
                first *= cosine.sigmoid_()
            blocks.append(first)
        return torch.cat(blocks).view(-1)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of (user, item) pairs, ``[B]``."""
        if self.scores_are_products:
            return super().predict(interaction)
        users, items = self._evaluation_tables()
        rows, size = interaction[self.USER_ID], self.settings.embedding_size
        products = users[rows] * items[interaction[self.ITEM_ID]]
        products = products.view(len(rows), -1, size).sum(dim=2)
        first, *factors = products.sigmoid().unbind(dim=1)
        average = torch.zeros_like(first)
        if self.settings.score == "TIE":
            distinct, inverse = torch.unique(rows, return_inverse=True)
            blocks = users[distinct, :size].split(self._users_per_block())
            means = [(block @ items[1:, :size].T).sigmoid_().mean(dim=1) for block in blocks]
            average = torch.cat(means)[inverse]
        if self.settings.score_fusion != "product":
            return self._effect_of_logarithms(first, average, products[:, 1:].unbind(dim=1))
        return (first - average) * torch.stack(factors).prod(dim=0)

    def _effect_of_logarithms(
        self, fused: Tensor, average: Tensor, cosines: Sequence[Tensor]
    ) -> Tensor:
        """TE ``f(fused)``, or TIE ``f(fused) - f(average)``, of ``score_fusion`` hm or sum."""
        harmonic = self.settings.score_fusion == "hm"

        def f(g: Tensor) -> Tensor:
            total = F.logsigmoid(g) if harmonic else g
            for cosine in cosines:
                total = total + (F.logsigmoid(cosine) if harmonic else cosine)
            # log(p / (1 + p)) is log sigma(log p).
            return F.logsigmoid(total)

        return f(fused) - f(average) if self.settings.score == "TIE" else f(fused)

    def _users_per_block(self) -> int:
        return int(max(1, _BLOCK // self.n_items))

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The ranking losses by cosines of a batch's triples; a scalar."""
        users, positives, negatives = self.triples(interaction)
        # Views, fusions and heads are computed once for every distinct user and item. The backward
        # pass of `index_select` adds up the gradients of a repeated row more precisely than that
        # of `[...]` in mixed precision.
        users, user_at = users.unique(return_inverse=True)
        items, item_at = torch.cat([positives, negatives]).unique(return_inverse=True)
        user_views, item_views = self.views(users, items)
        fused = cosine_bpr(
            self.user_fusion(user_views).index_select(0, user_at),
            self.item_fusion(item_views).index_select(0, item_at),
        )
        loss = self.note("L_fused", fused)
        if self.settings.modality_loss_weight:
            single = [
                cosine_bpr(head(user).index_select(0, user_at), head(item).index_select(0, item_at))
                for head, user, item in zip(self.heads, user_views[1:], item_views[1:], strict=True)
            ]
            modalities = self.note("L_modalities", torch.stack(single).sum())
            loss = loss + self.settings.modality_loss_weight * modalities
        return loss


@full_precision
def cosine_bpr(users: Tensor, items: Tensor) -> Tensor:
    """``mean log(1 + exp(cos(u, j) - cos(u, i)))`` of users ``[B, k]`` and items ``[2 B, k]``."""
    positives, negatives = items.chunk(2)
    scores = (F.cosine_similarity(users, item) for item in (positives, negatives))
    return bpr_loss(*scores)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts, the heads, the tables of the scores and the views of a batch."""
    size, wide = int(settings["embedding_size"]), len(sizes.columns)
    n_rows = 3 * int(settings["train_batch_size"])
    needs = late_fusion_memory(sizes, settings)
    needs["parameters"] += LEARNT * wide * size * size
    needs["score tables"] = FLOAT * (sizes.users + sizes.items) * size * (wide + 1)
    return {**needs, "batch": FLOAT * n_rows * (size * 8 * (wide + 1) + 2 * sizes.width)}


SPEC = ModelSpec(
    "EliMRec",
    EliMRec,
    EliMRecSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Liu et al., MM '22: EliMRec, eliminating single-modal bias",
    url="https://doi.org/10.1145/3503161.3548404",
    idea="Subtracts from the fused score what single modalities would say of an average item.",
    ranks_cold_items=True,
)
