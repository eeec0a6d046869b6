"""RP3beta (Paudel et al., TiiS '17): a random walk of three steps, and content neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike, Idle, Settings
from recbole_painvrl.functional.item_graph import neighbour_graph, neighbour_matrix
from recbole_painvrl.functional.propagation import interaction_matrices
from recbole_painvrl.models.base import require_modalities
from recbole_painvrl.models.closed_form import ClosedFormRecommender, ClosedFormTrainer
from recbole_painvrl.models.item_graphs import kept_neighbours
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes
from recbole_painvrl.specs import ModelSpec

# Probabilities of users computed at a time.
_BLOCK = 2**24


class RP3betaSettings(Settings):
    """RP3beta and the content kNN."""

    form: Literal["walk", "knn"] = Field(
        description="Random walk over the interactions, or nearest neighbours by features."
    )
    alpha: float = Field(gt=0, description="Power of the walk's transition probabilities.")
    beta: float = Field(ge=0, description="Power of an item's degree that divides its walk score.")
    popularity_prior: float = Field(
        ge=0, description="Weight of an item's degree, relative to the largest, in its walk score."
    )
    content_weight: float = Field(
        ge=0, description="Weight of the nearest neighbours by features in the walk; 0 needs none."
    )
    knn_k: int = Field(ge=1, description="Neighbours of an item by features, itself left out.")
    shrink: float = Field(
        ge=0, description="Added to the product of two items' lengths in their cosine."
    )
    modality_weights: dict[str, float] | None = Field(
        description="Weight of every modality in the cosines; ~ for equal weights."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("alpha", "beta", "popularity_prior", "content_weight"), {"form": ("knn",)}),
        Idle(("knn_k", "shrink", "modality_weights"), {"form": ("walk",), "content_weight": (0,)}),
    )


class RP3beta(ClosedFormRecommender):
    """Scores by a walk user - item - user - item, divided by popularity; nothing is trained.

    Bibek Paudel, Fabian Christoffel, Chris Newell and Abraham Bernstein, *Updatable, Accurate,
    Diverse, and Scalable Recommendations for Interactive Applications*, TiiS '17; with ``alpha: 1``
    and without beta it is P3 (Cooper, Lee, Radinsky and Siantos, WWW '14). r_u are the items of a
    user, d_j the users of an item (at least 1), and powers are taken entry by entry::

        form walk: s_u = (r_u (D_i^-1 R^T)^alpha (D_u^-1 R)^alpha + content_weight r_u S) / d^beta
                         + popularity_prior d / max d
        form knn:  s_u = r_u C

    C_ij is the cosine of the features of i and its ``knn_k`` nearest items j, S is C with rows that
    add up to 1 (Dacrema, Cremonesi and Jannach, RecSys '19, for the content kNN).

    Args:
        config: RecBole configuration; the settings are ``RP3betaSettings``.
        dataset: the training dataset; features are needed for neighbours only.

    Raises:
        UserError: neighbours are wanted and there is no modality, or ``modality_weights`` do not
            fit.

    Deviations:
        *Prior*: an item that the walk cannot reach has score 0; the papers leave the order of these
        items open, here their popularity decides (``popularity_prior``).
        *Content* is ours: it also reaches items without interactions.
        *Neighbours*: MMRec's ItemKNNCBF joins raw features side by side, so that the modality with
        the longest rows decides, keeps an item among its own neighbours, and holds all pairs. Here
        every modality has rows of length 1. ``shrink`` changes the weights of items that lack a
        modality, but not which neighbours are nearest.
        *All items of a user* are the start of the walk; papers and codes keep the largest entries
        of the item-item matrix only, which here is never formed.
    """

    settings_class = RP3betaSettings
    settings: RP3betaSettings
    other_parameter_name = ("to_users", "to_items", "neighbours")
    divisor: Tensor
    prior: Tensor

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """Only the content kNN, and a walk with it, do."""
        return bool(config["form"] == "knn" or config["content_weight"])

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.scores_are_products = False
        s, matrix = self.settings, self.interaction_matrix
        degrees = torch.from_numpy(matrix.getnnz(axis=0)).float().to(self.device)
        self.register_buffer("divisor", degrees.clamp(min=1) ** s.beta)
        self.register_buffer("prior", s.popularity_prior * degrees / degrees.max())
        self.to_users = self.to_items = self.neighbours = None
        if s.form == "walk":
            means = interaction_matrices(matrix, "mean")
            self.to_items, self.to_users = (step.power(s.alpha) for step in means)
        if s.form == "knn" or s.content_weight:
            require_modalities(self, config, "`form: knn` and `content_weight` compare features")
            self.neighbours = self._neighbours().astype(np.float32)

    def _neighbours(self) -> sp.csr_matrix:
        """C of the form ``knn``, or ``content_weight S`` of the walk."""
        s = self.settings
        table = self.features * self.column_scale(s.modality_weights)
        # `missing_modality: mean` has filled what is missing.
        for m, columns in enumerate(self.modality_slices.values()):
            table[:, columns] *= self.has_row[:, m, None]
        indices, cosines = kept_neighbours(
            self.dataset_folder, table, self.has_row.any(dim=1), s.knn_k, include_self=False
        )
        lengths = table.norm(dim=1)
        product = lengths.unsqueeze(1) * lengths[indices]
        cosines = cosines * product / (product + s.shrink).clamp(min=1e-12)
        if s.form == "knn":
            return neighbour_matrix(indices, cosines)
        return s.content_weight * neighbour_graph(indices, cosines, "cosine", "random_walk")

    def history_scores(self, histories: sp.csr_matrix) -> Tensor:
        """Scores of all items for users given by their items, ``[B, n_items]``."""
        step = max(1, _BLOCK // max(self.n_users, self.n_items))
        starts = range(0, histories.shape[0], step)
        return torch.cat([self._block_scores(histories[start : start + step]) for start in starts])

    def _block_scores(self, histories: sp.csr_matrix) -> Tensor:
        if self.settings.form == "knn":
            return torch.from_numpy((histories @ self.neighbours).toarray()).to(self.device)
        # One user reaches many others, for whom a dense product is faster than a sparse one.
        scores = (histories @ self.to_users).toarray() @ self.to_items
        if self.neighbours is not None:
            scores += (histories @ self.neighbours).toarray()
        return torch.from_numpy(scores).to(self.device) / self.divisor + self.prior


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The matrices of the walk and of the neighbours, and two blocks of scores."""
    wanted = settings["form"] == "knn" or settings["content_weight"]
    edges = sizes.items * int(settings["knn_k"]) if wanted else 0
    return {
        "graphs": ENTRY * (sizes.interactions + edges),
        "features": 2 * FLOAT * sizes.items * sizes.width if wanted else 0,
        "forward pass": 3 * FLOAT * max(_BLOCK, sizes.users, sizes.items),
    }


SPEC = ModelSpec(
    "RP3beta",
    RP3beta,
    RP3betaSettings,
    trainer=ClosedFormTrainer,
    memory=memory,
    groups=frozenset({"training-free"}),
    paper="Paudel et al., TiiS '17: updatable, accurate, diverse, and scalable recommendations",
    url="https://doi.org/10.1145/2955101",
    idea="Random walks from a user's items over other users, damped by popularity; "
    "optionally with neighbours by features.",
)
