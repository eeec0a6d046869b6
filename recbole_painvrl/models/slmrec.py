"""SLMRec (Tao et al., TMM '22): in-batch contrast beside a self-supervised task on modalities."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.contrastive import batch_contrast, info_nce
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.functional.propagation import layer_mean
from recbole_painvrl.models.graph_base import GraphSettings
from recbole_painvrl.models.late_fusion import LateFusionRecommender, Views, late_fusion_memory
from recbole_painvrl.models.memory import FLOAT, Sizes
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.specs import ModelSpec

# How often each of the distinct users and items of a batch occurs; None for once each.
Counts = tuple[Tensor | None, Tensor | None]


class SLMRecSettings(GraphSettings):
    """SLMRec."""

    temperature: float = Field(gt=0, description="Divisor of the cosines of users and items.")
    ssl_task: Literal["FAC", "FD", "FM"] = Field(
        description="Self-supervised task: align the modalities of an item one after the other "
        "(FAC), feature dropout (FD), or feature masking (FM)."
    )
    ssl_weight: float = Field(ge=0, description="Weight of the self-supervised task.")
    ssl_temperature: float = Field(gt=0, description="Temperature of the self-supervised task.")
    dropout: float = Field(ge=0, lt=1, description="Dropout after each layer (FD only).")
    mask_false_negatives: bool = Field(
        description="Take a batch's items that the user has in training out of the negatives, and "
        "repeated users and items out of the task; as released they stay."
    )
    score: Literal["product", "cosine", "sigmoid"] = Field(
        description="Score pairs by the product of their vectors, by the cosine, on which the "
        "model is trained, or by the sigmoid of the product. The last is the release's, but not "
        "in its presets: scores near 1 are equal."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("dropout",), {"ssl_task": ("FAC", "FM")}),
        Idle(("ssl_task", "ssl_temperature", "dropout"), {"ssl_weight": (0,)}),
    )


class FactorAlignment(nn.Module):
    """Heads of FAC: ``g_0 = i_0; g_m = G_m g_{m-1}; t_m = H_m i_m``, of width k, the last k / 2."""

    def __init__(self, size: int, n_modalities: int) -> None:
        super().__init__()
        last = size if n_modalities == 1 else max(1, size // 2)
        widths = [size] * n_modalities + [last]
        self.chain = nn.ModuleList(map(nn.Linear, widths, widths[1:]))
        self.modalities = nn.ModuleList(nn.Linear(size, width) for width in widths[1:])

    def forward(self, views: Views, temperature: float, counts: Tensor | None) -> Tensor:
        """Sum over m of the contrast of g_m with t_m, without normalisation; a scalar."""
        chained, losses = views[0], []
        for link, head, view in zip(self.chain, self.modalities, views[1:], strict=True):
            chained = link(chained)
            losses.append(batch_contrast(chained, head(view), temperature, counts, normalise=False))
        return torch.stack(losses).sum()


class SLMRec(LateFusionRecommender):
    """LightGCNs of IDs and modalities, trained by contrasts within the batch.

    Zhulin Tao, Xiaohao Liu, Yewei Xia, Xiang Wang, Lifang Yang, Xianglin Huang and Tat-Seng Chua,
    *Self-supervised Learning for Multimedia Recommendation*, IEEE TMM 2022. With the vectors u, i
    and the views u_r, i_r of
    :class:`recbole_painvrl.models.late_fusion.LateFusionRecommender` and
    ``CE(a, z) = mean_b -log softmax_c(<a_b, z_c> / temperature)[b]`` over a batch::

        loss = CE(u / |u|, i / |i|) + ssl_weight * task
        FAC: sum_m CE(g_m, t_m);  g_0 = i_0, g_m = G_m g_{m-1}, t_m = H_m i_m
        FD:  CE(u', u'') + CE(i', i''), cosines, two passes with dropout after each layer
        FM:  the same of two passes with one random view of M + 1 set to zero

    The score is ``<u, i>``. The optimiser's ``weight_decay`` is the only regulariser.

    FAC chains the modalities in the order of ``modalities``: with another order it is another
    model. In the project's other models that is so only with DualGNN's ``fusion: sum_in_place`` and
    GRCN's ``reg_prototypes: first_table``.

    Args:
        config: RecBole configuration; the settings are ``SLMRecSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality.

    Deviations:
        *Score*: the release applies a sigmoid (``score: sigmoid``), which in float32 is 1 from 17
        on, so that the best items tie; the default leaves it out. With it scores are no products
        of two vectors: ``export`` has no embeddings.
        *Modalities*: any number; the release branches on the name of the data set, and of MMRec's
        tasks only FAC works, in whose chain MMRec keeps the linear layer of the modality it drops.
        *Negatives* are the other items of a batch. The
        user's other items and repetitions among them stay as released
        (``mask_false_negatives: False``).
        *Selection*: the release stops and reports on its test lists; here on validation.
    """

    settings_class = SLMRecSettings
    settings: SLMRecSettings
    input_type = InputType.POINTWISE
    # Its loss is a contrast within batches, of which the vector of a new user is no minimum.
    folds_in = False

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, n_modalities = self.settings.embedding_size, len(self.modality_slices)
        needs_heads = self.settings.ssl_task == "FAC" and self.settings.ssl_weight > 0
        self.alignment = FactorAlignment(size, n_modalities) if needs_heads else None
        self.scores_are_products = self.settings.score != "sigmoid"
        self.noise_source = torch.Generator(self.device)
        self.start_epoch(0)
        self.reset()

    def start_epoch(self, epoch: int) -> None:
        """Seed the dropout and the masks of this epoch."""
        self.noise_source.manual_seed(derive_seed(self.seed, f"self-supervision of epoch {epoch}"))

    def tables(self) -> tuple[Tensor, Tensor]:
        """Fused vectors of all users and items, ``[n, k]``; of length 1 with ``score: cosine``."""
        user_views, item_views = self.views()
        return self._scored(self.user_fusion(user_views)), self._scored(
            self.item_fusion(item_views)
        )

    def _scored(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors) if self.settings.score == "cosine" else vectors

    def predict(self, interaction: Any) -> Tensor:
        """Scores of (user, item) pairs, ``[B]``."""
        scores = super().predict(interaction)
        return scores if self.scores_are_products else scores.sigmoid()

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of users with all items, ``[B * n_items]``."""
        scores = super().full_sort_predict(interaction)
        return scores if self.scores_are_products else scores.sigmoid_()

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """Vectors of items without interactions and ID; a modality of zeros counts as missing."""
        s = self.settings
        if not self.scores_are_products:
            return None
        views = [features.new_zeros(len(features), s.embedding_size)]
        parts, present = self.unseen_features(features)
        for layer, part, known in zip(self.projection, parts, present.T, strict=True):
            views.append(layer(part) * known.unsqueeze(1) / (s.n_layers + 1))
        return self._scored(self.item_fusion(views))

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The contrast of a batch's users and items and the self-supervised task; a scalar."""
        s = self.settings
        # Views and fusions are computed once for every distinct user and item.
        distinct = functools.partial(torch.unique, return_inverse=True, return_counts=True)
        users, user_at, user_counts = distinct(interaction[self.USER_ID])
        items, item_at, item_counts = distinct(interaction[self.ITEM_ID])
        views = self.views(users, items)
        # More precise than `[...]` for repeated rows in mixed precision.
        user = self.user_fusion(views[0]).index_select(0, user_at)
        item = self.item_fusion(views[1])
        if s.mask_false_negatives:
            known = self._known_pairs(interaction[self.USER_ID], interaction[self.ITEM_ID])
            item = item.index_select(0, item_at)
            contrast = info_nce(user, item, s.temperature, own_view=False, excluded=known)
            counts: Counts = (None, None)
        else:
            contrast = info_nce(
                *(user, item, s.temperature),
                own_view=False,
                targets=item_at,
                target_counts=item_counts,
            )
            counts = user_counts, item_counts
        loss = self.note("contrast", contrast)
        if s.ssl_weight:
            task = self._self_supervision(users, items, views, counts)
            loss = loss + s.ssl_weight * self.note(s.ssl_task, task)
        return loss

    def _known_pairs(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Rows b and c of users and other items of a batch that are training interactions."""
        rows = self.interactions[users.cpu().numpy()]
        pairs = rows[:, items.cpu().numpy()].tocoo()
        others = pairs.row != pairs.col
        first, second = (torch.from_numpy(side[others]).long() for side in (pairs.row, pairs.col))
        return first.to(self.device), second.to(self.device)

    def _self_supervision(
        self, users: Tensor, items: Tensor, views: tuple[Views, Views], counts: Counts
    ) -> Tensor:
        s = self.settings
        if self.alignment is not None:
            loss: Tensor = self.alignment(views[1], s.ssl_temperature, counts[1])
            return loss
        if s.ssl_task == "FD":
            passes = [self._dropped(users, items) for _ in range(2)]
        else:
            passes = [self._masked(views) for _ in range(2)]
        losses = [
            batch_contrast(fusion(one), fusion(other), s.ssl_temperature, often)
            for fusion, one, other, often in zip(
                (self.user_fusion, self.item_fusion), *passes, counts, strict=True
            )
        ]
        return torch.stack(losses).sum()

    def _masked(self, views: tuple[Views, Views]) -> tuple[Views, Views]:
        """FM: the views with one random view set to zero."""
        n_views = len(views[0])
        zeroed = int(torch.randint(n_views, (), generator=self.noise_source, device=self.device))
        users, items = (
            [view * (number != zeroed) for number, view in enumerate(side)] for side in views
        )
        return users, items

    def _dropped(self, users: Tensor, items: Tensor) -> tuple[Views, Views]:
        """FD: :meth:`views` with dropout after each layer, network by network."""
        s = self.settings
        starts = [self.item_embedding.weight]
        starts += [F.linear(*pair) for pair in zip(self.inputs(), self.weights(), strict=True)]
        drop = functools.partial(dropout, rate=s.dropout, source=self.noise_source)
        graph = self.to_users, self.to_items, s.n_layers
        user_views, item_views = [], []
        for start in starts:
            sums = layer_mean(self.user_embedding.weight, start, *graph, reduce="sum", drop=drop)
            user_views.append(sums[0][users] / (s.n_layers + 1))
            item_views.append(sums[1][items] / (s.n_layers + 1))
        return user_views, item_views


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The common parts and the views of a batch; of all nodes with feature dropout."""
    size, n_views = int(settings["embedding_size"]), len(sizes.columns) + 1
    n_rows = 2 * int(settings["train_batch_size"])
    needs = late_fusion_memory(sizes, settings)
    if settings["ssl_task"] == "FD" and settings["ssl_weight"]:
        tables = 2 * n_views * (3 * int(settings["n_layers"]) + 2)
        needs["dropout"] = FLOAT * tables * size * (sizes.users + sizes.items)
    return {**needs, "batch": FLOAT * n_rows * (size * 8 * n_views + 2 * sizes.width)}


SPEC = ModelSpec(
    "SLMRec",
    SLMRec,
    SLMRecSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    groups=frozenset({"graph"}),
    paper="Tao et al., TMM '22: self-supervised learning for multimedia recommendation",
    url="https://doi.org/10.1109/TMM.2022.3187556",
    idea="LightGCNs of IDs and modalities, trained by contrasts within the batch and a "
    "self-supervised task.",
    ranks_cold_items=True,
)
