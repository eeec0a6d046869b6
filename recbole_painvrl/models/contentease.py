"""Linear models of the features with a closed form: EASE on features, bilinear, and CEASE."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike, Idle, Settings
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.closed_form import (
    bilinear_map,
    ease_weights,
    quadratic_forms,
    whitened_map,
)
from recbole_painvrl.models.base import require_modalities
from recbole_painvrl.models.closed_form import ClosedFormRecommender, ClosedFormTrainer
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes, short_size
from recbole_painvrl.specs import ModelSpec

_MAX_JOINT_ITEMS = 20_000
# Largest rounding error of q in the form whitened, relative to the largest q and to 1 - q.
_PRECISION = 1e-3


class ContentEASESettings(Settings):
    """ContentEASE."""

    form: Literal["whitened", "bilinear", "joint"] = Field(
        description="EASE fitted on the features, the directions of features that are liked "
        "together, or EASE on interactions and features (CEASE, item by item)."
    )
    reg_weight: float = Field(gt=0, description="Ridge lambda.")
    feature_reg_weight: float = Field(gt=0, description="Ridge mu of the form bilinear.")
    feature_weight: float = Field(
        ge=0, description="Weight of the features beside the interactions in the form joint."
    )
    modality_weights: dict[str, float] | None = Field(
        description="Weight of every modality; ~ for equal weights."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("feature_reg_weight",), {"form": ("whitened", "joint")}),
        Idle(("feature_weight",), {"form": ("whitened", "bilinear")}),
    )


class ContentEASE(ClosedFormRecommender):
    """Linear scores from features in closed form; nothing is trained.

    F has the modalities side by side, modality m times ``sqrt(w_m)``, and r_u are the items of a
    user, R of all, d_j the users of an item, X = R F::

        whitened:  s_uj = <x_u G, f_j> / (1 - f_j^T G f_j),  G = (F^T F + lambda I)^-1
        bilinear:  s_uj = <x_u W, f_j>,
                   W = (X^T X + lambda I)^-1 F^T (R^T R - diag d) F (F^T F + mu I)^-1
        joint:     s_u = r_u B,  B_ij = -P_ij / P_jj off the diagonal, 0 on it,
                   P = (R^T R + feature_weight F F^T + lambda I)^-1

    The first is EASE fitted on the features, the content half of ADD-EASE, and the third CEASE, of
    Olivier Jeunen, Jan Van Balen and Bart Goethals, *Closed-Form Models for Collaborative Filtering
    with Side-Information*, RecSys '20; EASE is Steck, WWW '19. The second is ours (compare Sharma
    et al., arXiv 1904.11799). The first two are two tables, grow linearly with the catalogue and
    rank items without interactions; the third holds all pairs of items.

    Args:
        config: RecBole configuration; the settings are ``ContentEASESettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, ``modality_weights`` do not fit, the catalogue is
            too large for the form joint, or a ridge is too small for the data.

    Deviations:
        *whitened* leaves the term of an item with itself, which EASE takes out of the score of a
        pair seen in training: it is no product of two vectors, and no evaluation ranks such a pair.
        *Features* are dense with rows of length 1; the paper has sparse tags.
    """

    settings_class = ContentEASESettings
    content_only = True
    settings: ContentEASESettings
    column_weights: Tensor
    content_map: Tensor

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """``joint`` is EASE of the interactions alone where the features weigh nothing."""
        return bool(config["form"] != "joint" or config["feature_weight"])

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        s = self.settings
        self.scores_are_products = s.form != "joint"
        require_modalities(self, config, "its scores come from the features")
        scale = self.column_scale(s.modality_weights)
        self.register_buffer("column_weights", scale, persistent=False)
        items = self.features * scale
        try:
            if s.form == "joint":
                self._check_size()
                self.other_parameter_name = ("item_similarity",)
                self.item_similarity = self._item_weights(items)
                return
            self.register_buffer("content_map", self._content_map(items))
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise self._too_small() from error

    def _item_weights(self, items: Tensor) -> npt.NDArray[np.float32]:
        """B of the form joint, ``[n_items, n_items]``."""
        s = self.settings
        gram = torch.from_numpy((self.interaction_matrix.T @ self.interaction_matrix).toarray())
        gram = gram.to(self.device).addmm_(items, items.T, alpha=s.feature_weight)
        weights: npt.NDArray[np.float32] = ease_weights(gram, s.reg_weight).cpu().numpy()
        return weights

    def _content_map(self, items: Tensor) -> Tensor:
        """G or W of the other forms, ``[d, d]``."""
        s = self.settings
        if s.form == "whitened":
            table = items.double()
            exact_map = whitened_map(table, s.reg_weight)
            content_map = exact_map.to(items.dtype)
            # Where columns depend on one another, as with more of them than items, G has entries of
            # about 1 / lambda that cancel in q = f^T G f, and 1 - q is about lambda.
            exact = quadratic_forms(table, exact_map)
            error = (quadratic_forms(items, content_map) - exact).abs().max()
            if not bool(error <= _PRECISION * torch.minimum((1 - exact).min(), exact.max())):
                raise self._too_small()
            return content_map
        profiles = self._profiles(self.interaction_matrix)
        degrees = torch.from_numpy(self.interaction_matrix.getnnz(axis=0)).to(self.device)
        return bilinear_map(profiles, items, degrees, s.reg_weight, s.feature_reg_weight)

    def _too_small(self) -> UserError:
        s, name = self.settings, "`reg_weight`"
        found, advice = f"{s.reg_weight:g}", "raise it"
        if s.form == "bilinear":
            name, found = f"{name}, `feature_reg_weight`", f"{found}, {s.feature_reg_weight:g}"
            advice = "raise them"
        return UserError(
            f"{name}: found {found}, too small for the form {s.form} on these data, whose scores "
            f"would be rounding errors; {advice}"
        )

    def _check_size(self) -> None:
        if self.n_items - 1 > _MAX_JOINT_ITEMS:
            raise UserError(
                f"`form`: joint holds all pairs of {self.n_items - 1:,} items, "
                f"{short_size(_joint_bytes(self.n_items))}, expected at most "
                f"{_MAX_JOINT_ITEMS:,} items; choose whitened or bilinear"
            )

    def _profiles(self, histories: sp.csr_matrix) -> Tensor:
        """Sums of the features of users' items, ``[B, n_items] -> [B, d]``."""
        items = (self.features * self.column_weights).cpu().numpy()
        return torch.from_numpy(histories @ items).to(self.device)

    def tables(self) -> tuple[Tensor, Tensor]:
        """``X W`` or ``X G`` of all users, and of all items the other factor of the score.

        Raises:
            NotImplementedError: in the form joint.
        """
        items = self.content_vectors(self.features)
        if items is None:
            raise NotImplementedError
        if self.settings.form == "whitened":
            # G includes every item's own row, which EASE leaves out; new items are not part of G.
            items = items / (1 - quadratic_forms(items, self.content_map)).unsqueeze(1)
        return self._profiles(self.interaction_matrix) @ self.content_map, items

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """The factor of new items by their features, ``[n, d]``; None in the form joint.

        In the form whitened it gives the scores of a fit with the item among the others.
        """
        return None if self.settings.form == "joint" else features * self.column_weights

    def history_scores(self, histories: sp.csr_matrix) -> Tensor:
        """Scores of all items for users given by their items, ``[B, n_items]``."""
        if self.settings.form == "joint":
            return torch.from_numpy(histories @ self.item_similarity).to(self.device)
        return self._profiles(histories) @ self.content_map @ self._evaluation_tables()[1].T


def _joint_bytes(n_items: int) -> int:
    """The Gram matrix and its inverse, both n_items x n_items."""
    return 2 * FLOAT * n_items**2


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Tables of users and items and squares of their width, or all pairs of items."""
    if settings["form"] == "joint":
        return {"item pairs": _joint_bytes(sizes.items)}
    return {
        "graphs": ENTRY * sizes.interactions,
        "features": 3 * FLOAT * sizes.width * (2 * sizes.users + 2 * sizes.items),
        "parameters": 12 * FLOAT * sizes.width**2,
    }


SPEC = ModelSpec(
    "ContentEASE",
    ContentEASE,
    ContentEASESettings,
    trainer=ClosedFormTrainer,
    needs_modalities=True,
    memory=memory,
    groups=frozenset({"training-free"}),
    paper="Jeunen et al., RecSys '20: closed-form models for collaborative filtering",
    url="https://doi.org/10.1145/3383313.3418480",
    idea="Linear item-item models in closed form: of the features, or of the features "
    "and the interactions.",
    ranks_cold_items=True,
)
